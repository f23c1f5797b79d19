"""The referee: all that both tracks must share for the comparison to be fair, and the comparison.

The files in this directory are the ground floor, which uses none of its rooms.  The tracks may use
everything up to `compare.runs`; the referee knows neither track, only what lies in `runs/`.
"""
