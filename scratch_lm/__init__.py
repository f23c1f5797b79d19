"""A decoder-only language model under 1,000,000 parameters, trained from scratch.

Start with `model` and `train`; the other files hold what a recipe needs beyond them.
May use `compare` up to `compare.runs`; nothing uses this package.
"""
