"""Command lines from dataclasses, and how every command of the study ends.

A command's module parses its options before it imports torch, so that `--help` and wrong values
answer at once:

    if __name__ == "__main__":
        options = cli.parse(Options)
    import torch
    ...
    if __name__ == "__main__":
        cli.run(main, options)
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar

import simple_parsing

from compare.device import DeviceName
from compare.errors import Failure, Interrupted, Misuse

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Options = TypeVar("Options", bound="DataclassInstance")


@dataclass(frozen=True)
class StudyOptions:
    """What both tracks ask for in the same words."""

    corpus: str = "tiny-shakespeare"
    """Text to train on: tiny-shakespeare, wikitext-2, or the path of a UTF-8 text file."""
    train_share: float = 1.0
    """Share of the training split to train on, taken evenly from all of it; the report draws what
    the models need after 1/8, 1/4, 1/2 and all of it."""
    leave_out: str = ""
    """Title of a play to leave out of the training split, such as "Coriolanus"."""
    seed: int = 1
    """Seed of weights, batch order, dropout and samples."""
    project: str = "tiny-shakespeare-study"
    """W&B project; give both tracks the same one."""
    tracking: Literal["auto", "online", "offline", "disabled"] = "auto"
    """W&B mode; auto is online when logged in and reachable, else offline."""
    device: DeviceName = "auto"
    """Where to train; auto is an NVIDIA or AMD GPU (cuda), an Apple GPU (mps), or else the CPU."""
    resume: bool = False
    """Continue this command's unfinished run; do nothing if its newest run is complete."""

    def __post_init__(self) -> None:
        check(self, "train_share", 0.01, 1)
        check(self, "seed", 0, 2**32 - 1)
        if not self.project.strip():
            raise ValueError("--project is empty: name a W&B project")


def check(options: Any, name: str, low: float, high: float) -> None:
    """Raises ValueError unless low <= options.name <= high (NaN is in no interval)."""
    value = getattr(options, name)
    if not low <= value <= high:
        flag = "--" + name.replace("_", "-")
        raise ValueError(f"{flag} is {value}: it must be between {low:g} and {high:g}")


class _Parser(simple_parsing.ArgumentParser):
    def add_argument_group(self, title: str | None = None, *args: Any, **kwargs: Any) -> Any:
        # The library's headings name the Python class; the description above says it already.
        own = title in ("positional arguments", "options")
        return super().add_argument_group(title if own else None)

    def error(self, message: str) -> NoReturn:
        fail(message, 2)


def parse(
    options: type[Options],
    presets: Mapping[str, Mapping[str, Any]] | None = None,
    argv: list[str] | None = None,
) -> Options:
    """`options` filled from the command line; a wrong value ends the process with code 2.

    The values of `presets[--preset]` replace the defaults, in `--help` too.
    """
    defaults: dict[str, Any] = {}
    if presets:
        first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
        preset_field = next(field for field in fields(options) if field.name == "preset")
        first.add_argument("--preset", default=preset_field.default)
        name = str(preset_field.default)
        with contextlib.suppress(argparse.ArgumentError):  # a wrong one is refused below
            name = first.parse_known_args(argv)[0].preset
        defaults = {"preset": name, **presets.get(name, {})}
    module = sys.modules["__main__"].__spec__
    parser = _Parser(
        prog=f"python -m {module.name}" if module else None,
        description=options.__doc__,
        add_option_string_dash_variants=simple_parsing.DashVariant.DASH,
        allow_abbrev=False,
    )
    try:
        parser.add_arguments(options, "options", default=replace(options(), **defaults))
        return parser.parse_args(argv).options
    except ValueError as error:
        fail(str(error), 2)


def command_line(
    program: str, options: Any, presets: Mapping[str, Mapping[str, Any]] | None = None
) -> str:
    """The shell command that gives `options`, leaving out --resume and what is a default.

    `presets` are those of `parse`.  Example: `python -m scratch_lm.train --preset tuned --seed 2`.
    """
    preset = (presets or {}).get(getattr(options, "preset", ""), {})
    usual = replace(type(options)(), **preset)
    words = program.split()
    for field in fields(options):
        name, value = field.name, getattr(options, field.name)
        if name == "resume" or value == getattr(usual, name):
            continue
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no{flag}")
        else:
            values = value if isinstance(value, list | tuple) else [value]
            words += [f"--{flag}", *map(str, values)]
    return shlex.join(words)


def run(main: Callable[[Options], object], options: Options) -> None:
    """`main(options)`, with misuse, failure and Ctrl-C turned into one line and an exit code."""
    try:
        main(options)
    except Misuse as error:
        fail(str(error), 2)
    except (Failure, OSError) as error:
        fail(str(error), 1)
    except Interrupted as stop:
        fail(str(stop), stop.code)
    except KeyboardInterrupt:
        fail("interrupted; the same command with --resume continues a training run", 130)


def fail(message: str, code: int) -> NoReturn:
    """`error: message` on stderr, on one line, and exit."""
    print("error: " + " ".join(message.split()), file=sys.stderr)
    raise SystemExit(code)


def as_record(options: Any) -> dict[str, Any]:
    """The options that decide a run's outcome, ready for JSON."""
    return {name: value for name, value in asdict(options).items() if name != "resume"}
