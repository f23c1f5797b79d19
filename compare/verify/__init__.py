"""Check hand-ins (runs, model directories, repositories on the Hub) without trusting any record.

May import the modules directly in `compare`, `compare.corpus`, `compare.ruler`, `compare.runs`,
`compare.report` and `compare.publish`.
No other package imports it.

    points.py        the types of the outcome: points with verdict, basis and evidence
    check.py         checks all points of one hand-in
    calls.py         calls a model of unknown code, and finds its context length
    structure.py     parameters, modules, tied weights
    behavior.py      causality, rows of a batch, the same output twice
    provenance.py    from scratch, or fine-tuned?
    known_models.py  shapes of pretrained models
    scores.py        the score, compared with what is claimed
    claims.py        reads the scores that cards and records claim
    loss_curves.py   reads the losses in a card's table of epochs
    tables.py        reads tables and numbers in cards
    generation.py    samples, and what they copy
    leakage.py       does the model know the test split?
    range_coding.py  compresses the text, and decompresses it
    training.py      epochs, losses, W&B: what records and cards say
    card.py          the card, its metadata and tags
    comparison.py    hand-ins with the same weights
    terminal.py      prints the points, or a table
"""
