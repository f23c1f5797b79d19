"""`runs/<track>/latest`, which points to the most recently completed run of a track.

It is a symbolic link if the system allows it.  On Windows, where most users may not create links,
it is a text file that contains the run's name.
"""

from __future__ import annotations

from pathlib import Path

from compare.errors import Failure

NAME = "latest"


def point_latest_at(run: Path) -> None:
    """Make the run directory `run` the latest of its track, atomically.

    Raises Failure if `latest` is a real directory, as after unpacking an archive that followed
    links.
    """
    latest = run.parent / NAME
    if latest.is_dir() and not latest.is_symlink():
        raise Failure(
            f"{latest} is a directory instead of a link: move it away, then repeat the command "
            "with --resume"
        )
    # The link is created in the run's own directory, to which only this process writes: other runs
    # may finish at the same time.
    link = run / f".{NAME}"
    link.unlink(missing_ok=True)
    try:
        link.symlink_to(run.name)  # relative to the place to which the link is moved below
    except OSError:
        link.write_text(run.name, "utf-8")
    link.replace(latest)


def resolve(path: Path) -> Path:
    """Return the run directory that `path` points to if it is a `latest`, else `path` itself."""
    if path.is_symlink():
        return path.parent / path.readlink()
    if path.name == NAME and path.is_file():
        return path.parent / path.read_text("utf-8").strip()
    return path


def latest_run(track: Path) -> Path | None:
    """Return the run directory that was completed last in the directory `track`, or None."""
    run = resolve(track / NAME)
    return run if run != track / NAME and run.exists() else None
