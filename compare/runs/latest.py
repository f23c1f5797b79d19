"""`runs/<track>/latest`: the run of a track that was completed last.

A symbolic link where the system makes one; on Windows that needs a right which most users lack, so
there it is a text file that holds the run's name.
"""

from __future__ import annotations

from pathlib import Path

NAME = "latest"


def point_latest_at(run: Path) -> None:
    """Make the run in directory `run` its track's latest; readers see the old one or this one."""
    # Made in the run's own directory, which only this process writes to: other runs may end
    # at the same moment.
    new = run / f".{NAME}"
    new.unlink(missing_ok=True)
    try:
        new.symlink_to(run.name)  # read from where it will be
    except OSError:
        new.write_text(run.name, "utf-8")
    new.replace(run.parent / NAME)


def resolve(path: Path) -> Path:
    """The run directory that `path` means: itself, unless it is a track's `latest`."""
    if path.is_symlink():
        return path.parent / path.readlink()
    if path.name == NAME and path.is_file():
        return path.parent / path.read_text("utf-8").strip()
    return path


def latest_run(track: Path) -> Path | None:
    """The directory of the run that was completed last in a track's directory, if there is one."""
    run = resolve(track / NAME)
    return run if run != track / NAME and run.exists() else None
