"""Everything in `reports/`: rows, baselines, closer looks, claims, figures and pages.

May import the modules directly in `compare`, and `compare.corpus`, `compare.ruler` and
`compare.runs`.
`compare.publish`, `compare.verify` and `compare.demo` read the `report.json` that it writes, and
reuse some of its measurements.

    storage.py            reads and writes report.json
    results.py            the types of all results, which report.json holds
    differences.py        the study's questions, and the types of their answers
    worth_results.py      the types of what pretraining is worth in text
    run_results.py        the results of each run, and its history
    assemble.py           runs all measurements and builds the `Results`
    candidates.py         the models to score: the runs or the base behind each row
    measure.py            all measurements of one row
    large.py              large models are measured on less text
    bases.py              what the pretrained models are
    costs.py              training costs of a row
    baselines.py          baseline rows: uniform bytes, compressors, n-gram model
    compressors.py        gzip, bzip2, xz, zstd and PPMd, primed with the training split
    ngram.py              a frozen n-gram model; its order is selected on validation
    contexts.py           scores with other strides and shorter contexts
    word_classes.py       where models differ: speaker names, line starts, common and rare words
    memorization.py       verbatim copies of the training text in samples
    contamination.py      has a base read the test text? how often it repeats it
    surprisal.py          one passage, and each model's surprisal on it
    other_plays.py        scores on the 29 plays that are in no split
    claims.py             the study's questions, answered by intervals that hold simultaneously
    sealed_scores.py      the same on the sealed text, once it is opened
    worth.py              how much more text the scratch track would need to score as well
    published_results.py  published GPT-2 results, to detect a broken run
    course_checklist.py   the course's requirements, with evidence
    story.py              the answer in plain words, and three figures
    worth_story.py        what pretraining is worth in text, in words
    figures.py            the figures
    drawing.py            how figures look: colors, labels beside lines, numbers under the pointer
    pages.py              writes reports/ from the results
"""
