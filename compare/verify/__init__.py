"""Check a hand-in: a run, a model directory or a repository on the Hub, trusting no record.

May import everything else in `compare`.
No other package imports it.
"""
