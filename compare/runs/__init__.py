"""The run directories in `runs/`: records, histories, models, and W&B's copy.

May use the ground floor, `compare.corpus` and `compare.ruler`.
The tracks write here; the report, `compare.publish` and `compare.generate` read.
"""
