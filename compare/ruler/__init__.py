"""The ruler: the nats that a model needs for a text, their units, and how sure a difference is.

May use the ground floor and `compare.corpus`.
Used by the tracks, by `compare.runs` and by everything above.
"""
