"""Which runs of the preset `tuned` a run of `record` learns from: `--teachers own`.

The scratch track loads them, and `compare.plan` plans them.
"""

from __future__ import annotations

OWN_TEACHERS = 3  # of each run; the help of --teachers names their seeds


def own_teacher_seeds(seed: int) -> range:
    """Return the seeds of the teachers of a run with `seed`, which must be at least 1.

    No two seeds share a teacher, because runs that share teachers would vary less than independent
    runs do.
    """
    return range(OWN_TEACHERS * (seed - 1) + 1, OWN_TEACHERS * seed + 1)
