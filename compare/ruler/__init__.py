"""Scoring: the nats that a model needs for a text, metrics, and intervals for differences.

May import the modules directly in `compare`, and `compare.corpus`.
Used by the tracks and by all other subpackages except `compare.corpus`.
"""
