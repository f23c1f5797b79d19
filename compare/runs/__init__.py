"""Run directories in `runs/`: records, histories and models, and their copies on W&B.

May import the modules directly in `compare`, `compare.corpus` and `compare.ruler`.
The tracks write run directories; `compare.report`, `compare.publish` and `compare.generate` read
them.
"""
