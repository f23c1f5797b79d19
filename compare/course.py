"""Limits set by the course."""

PARAMETER_LIMIT = 1_000_000  # a model from scratch must have fewer
MIN_EPOCHS = 3
