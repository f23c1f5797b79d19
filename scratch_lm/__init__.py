"""A decoder-only language model under 1,000,000 parameters, trained from scratch.

Start with `model` and `train`; the other modules contain the rest of the training recipes.
It may import `compare` up to `compare.runs`; no other package imports it.
"""
