"""Scoring: the nats that a model needs for a text, metrics, and intervals for differences.

May import the modules directly in `compare`, and `compare.corpus`.
Used by the tracks and by all other subpackages except `compare.corpus` and `compare.notebook`.

    scoring.py      nats per token over half-overlapping windows
    evaluation.py   puts a model into evaluation mode temporarily
    metrics.py      bits per byte and the perplexities, defined once
    bits_per_byte/  the same as an `evaluate` metric
    verbatim.py     how many tokens of a text a model repeats word for word
    text_units.py   a text as speeches, lines or pieces, of which blocks are made
    intervals.py    paired intervals over blocks of neighboring text and over seeds
    sampling.py     prompts, sampling settings, seeds
    parameters.py   the type of parameter counts
    flops.py        counts parameters and floating-point operations
"""
