"""Run directories in `runs/`: records, histories and models, and their copies on W&B.

May import the modules directly in `compare`, `compare.corpus` and `compare.ruler`.
The tracks write run directories; `compare.report`, `compare.publish`, `compare.verify`,
`compare.demo` and `compare.generate` read them.

    start.py     creates a run's directory, or finds it to resume
    identity.py  the options and inputs by which runs are resumed and grouped
    record.py    the typed run record, run.json: reads, validates and writes it
    history.py   the lines of history.jsonl and samples.jsonl, typed
    writer.py    writes the record, history and samples
    find.py      finds and reads complete runs
    study.py     groups them by recipe and base: the runs that a report compares
    subjects.py  what a user names: a run, a model directory, or a repository on the Hub
    latest.py    runs/<track>/latest: a link, or a file on systems without links
    models.py    loads models, and decides whose code may run
    kept.py      scores and samples, computed once and kept in runs/.kept/
    tracking.py  W&B, whose failures never stop a run
    receipt.py   what was pushed to the Hub, and which run was published where
"""
