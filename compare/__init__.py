"""Everything that both tracks share so that the comparison is fair, and the comparison itself.

The modules directly in this package import none of its subpackages; `compare.generate`, a command,
is the exception.  The tracks may import them and the subpackages `corpus`, `ruler` and `runs`.
This package imports neither track: it reads what they leave in `runs/`, and as files, to compare
models with them, `scratch_lm/model.py` and the weights of the stand-in.

    cli.py           command lines from dataclasses, one-line errors
    errors.py        exceptions and their exit codes
    files.py         atomic writes, checksums, locks, the cache directory
    signals.py       Ctrl-C and SIGTERM stop a training run after the current step
    device.py        --device: NVIDIA, AMD and Apple GPUs, or the CPU
    freed_memory.py  keeps freed memory in the process for the next training step
    peak_memory.py   peak memory of a process
    reachability.py  is a server reachable? asked once, for at most 3 seconds
    rendering.py     renders Jinja templates and escapes inserted values
    wording.py       lists, counts and shares of the text, as sentences have them
    course.py        the limits that the course sets
    kinds.py         enums: Track, RowKind, BaseKind, RunStatus and others
    strict_model.py  base classes of typed records
    teachers.py      which runs of `tuned` a run of `record` learns from
    plan.py          the commands of make study, for a shell, make or a scheduler
    generate.py      both newest models, side by side in the terminal
    corpus/          the text and its splits (`__init__`)
    ruler/           scoring: the same for all models
    runs/            the run directories in runs/
    report/          what compare.report measures and writes
    publish/         what compare.publish stages and pushes
    verify/          checks anybody's hand-in from its weights, whatever its record says
    notebook/        writes the notebook reports/study.ipynb
    demo/            both models in the browser
"""
