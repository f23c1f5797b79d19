"""Parse command lines into dataclasses, and report errors as one line and an exit code.

A command's module parses its options before it imports torch, so that `--help` and errors appear
immediately:

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
import inspect
import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar

import simple_parsing
from simple_parsing.helpers.custom_actions import BooleanOptionalAction

from compare.device import DeviceName
from compare.errors import Diverged, Failure, Interrupted, Misuse

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

LARGEST_SEED = 2**32 - 1
# What argparse says of `--full=1`, for which it has no type: "argument --full/--no-full: ...".
VALUE_OF_FLAG = re.compile(
    r"argument (?P<flag>[^/:]+)[^:]*: ignored explicit argument (?P<value>.*)", re.DOTALL
)
Options = TypeVar("Options", bound="DataclassInstance")


@dataclass(frozen=True)
class StudyOptions:
    """The options that both tracks share."""

    corpus: str = "tiny-shakespeare"
    """Text to train on: tiny-shakespeare, wikitext-2, or the path of a UTF-8 text file."""
    train_share: float = 1.0
    """Fraction of the training split to train on, between 0.01 and 1, taken evenly from the whole
    split; the report plots the scores of models trained on 1/8, 1/4, 1/2 and all of it."""
    leave_out: str = ""
    """Title of a play to leave out of the training split, such as "Coriolanus"; by default,
    none."""
    seed: int = 1
    """Seed for the weights, the batch order, dropout and the samples."""
    project: str = "tiny-shakespeare-study"
    """W&B project; use the same one for both tracks."""
    tracking: Literal["auto", "online", "offline", "disabled"] = "auto"
    """W&B mode; auto is what WANDB_MODE or a command such as `wandb offline` has chosen, or else
    online if logged in and the server is reachable, and offline if not."""
    sample_characters: int = 300
    """Length of the samples that are generated after each epoch, in characters."""
    device: DeviceName = "auto"
    """Device to train on; auto selects an NVIDIA or AMD GPU (cuda), an Apple GPU (mps), or the CPU,
    in this order.  Of several GPUs, each process uses one."""
    resume: bool = False
    """Continue this command's unfinished run; do nothing if its newest run is complete."""

    def __post_init__(self) -> None:
        check(self, "train_share", 0.01, 1)
        check(self, "seed", 0, LARGEST_SEED)
        check(self, "sample_characters", 1, 100_000)
        if not self.project.strip():
            raise ValueError("--project is empty: name a W&B project")


def check(options: Any, name: str, low: float, high: float) -> None:
    """Raise ValueError unless `low` <= options.<name> <= `high`.  NaN is always rejected."""
    value = getattr(options, name)
    if not low <= value <= high:
        flag = "--" + name.replace("_", "-")
        raise ValueError(f"{flag} is {value}: it must be between {low:,} and {high:,}")


class _HelpFormatter(simple_parsing.SimpleHelpFormatter):
    def _get_help_string(self, action: argparse.Action) -> str | None:
        # Positional arguments have no default to show.  An empty one says little: the help explains
        # what applies instead.
        if not action.option_strings or action.default in (None, "", []):
            return action.help
        return super()._get_help_string(action)


class _Flag(argparse.Action):
    """A boolean option, which takes no value: `--drills`, and `--no-drills` or `--nodrills`."""

    def __init__(
        self, option_strings: Sequence[str], dest: str, default: bool, help: str, **_: Any
    ) -> None:
        names = [each.removeprefix("--") for each in option_strings]
        self.negative_flags = [f"{no}{name}" for name in names for no in ("--no-", "--no")]
        all_flags = [*option_strings, *self.negative_flags]
        super().__init__(all_flags, dest, nargs=0, default=default, help=help)

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, option_string not in self.negative_flags)


class _Value(argparse.Action):
    """An option whose value may be left out only if `const` says what it is then."""

    def __init__(
        self,
        option_strings: Sequence[str],
        dest: str,
        nargs: int | str | None = None,
        **rest: Any,
    ) -> None:
        # For the type `int | None`, simple_parsing asks for `[int]`: without a value, it is None.
        if option_strings and nargs == "?" and rest.get("const") is None:
            nargs, rest["metavar"] = None, None
        super().__init__(option_strings, dest, nargs, **rest)

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, values)


class _Parser(simple_parsing.ArgumentParser):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        # In place of simple_parsing's action for bool, and of argparse's for all other types.
        self.register("action", BooleanOptionalAction, _Flag)
        self.register("action", None, _Value)

    def add_argument_group(self, title: str | None = None, *args: Any, **kwargs: Any) -> Any:
        # simple_parsing adds headings with the class name and docstring, which would repeat the
        # description: keep only argparse's own headings.
        is_standard = title in ("positional arguments", "options")
        return super().add_argument_group(title if is_standard else None)

    def error(self, message: str) -> NoReturn:
        if match := VALUE_OF_FLAG.fullmatch(message):
            message = f"{match['flag']} takes no value, but got {match['value']}: leave it out"
        fail(message, 2)


def parse(
    options: type[Options],
    presets: Mapping[str, Mapping[str, Any]] | None = None,
    argv: list[str] | None = None,
) -> Options:
    """Return an instance of the dataclass `options`, filled in from the command line.

    The values in `presets[--preset]` replace the defaults, also in `--help`.  `argv` is `sys.argv`
    without the program by default.  An invalid command line ends the process with exit code 2.
    """
    defaults: dict[str, Any] = {}
    if presets:
        preset_parser = argparse.ArgumentParser(
            add_help=False, allow_abbrev=False, exit_on_error=False
        )
        preset_field = next(field for field in fields(options) if field.name == "preset")
        preset_parser.add_argument("--preset", default=preset_field.default)
        name = str(preset_field.default)
        with contextlib.suppress(argparse.ArgumentError):  # the main parser reports the error
            name = preset_parser.parse_known_args(argv)[0].preset
        defaults = {"preset": name, **presets.get(name, {})}
    module = sys.modules["__main__"].__spec__
    parser = _Parser(
        prog=f"python -m {module.name.removesuffix('.__main__')}" if module else None,
        description=inspect.cleandoc(options.__doc__ or ""),
        formatter_class=_HelpFormatter,
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
    """Return the shell command that produces `options`, without --resume and default values.

    `program` is the beginning of the command, and `presets` are those passed to `parse`.  Example:
    `python -m scratch_lm.train --preset tuned --seed 2`.
    """
    preset = (presets or {}).get(getattr(options, "preset", ""), {})
    defaults = replace(type(options)(), **preset)
    words = program.split()
    for field in fields(options):
        name, value = field.name, getattr(options, field.name)
        if name == "resume" or value == getattr(defaults, name):
            continue
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no{flag}")
        else:
            values = [*map(str, value)] if isinstance(value, list | tuple) else [str(value)]
            if len(values) == 1 and values[0].startswith("-"):  # as a word, it would be an option
                words.append(f"--{flag}={values[0]}")
            else:
                words += [f"--{flag}", *values]
    return shlex.join(words)


def resume_command(command: str) -> str:
    """Return how to continue the interrupted training run that `command` starts.

    Under torchrun on one machine, it is started with the same number of processes.  What other
    launchers were called with is not known.
    """
    processes = os.environ.get("LOCAL_WORLD_SIZE")
    if processes is None:
        return f"{command} --resume"
    is_fsdp = os.environ.get("ACCELERATE_USE_FSDP") == "true"
    if is_fsdp or processes != os.environ.get("WORLD_SIZE"):
        return "repeat the same command with --resume"
    return command.replace("python", f"torchrun --nproc-per-node {processes}", 1) + " --resume"


def run(main: Callable[[Options], object], options: Options) -> None:
    """Call `main(options)`; report expected errors and Ctrl-C as one line and an exit code.

    The exit code is 2 for Misuse; 1 for Failure, OSError, a GPU whose memory is full, or if another
    torchrun process has failed; 130 for Ctrl-C; and that of the exception for Interrupted.
    """
    try:
        main(options)
    except Misuse as error:
        fail(str(error), 2)
    except Diverged as error:
        _fail_together(str(error), 1)
    except Interrupted as stop:
        _fail_together(str(stop), stop.code)
    except (Failure, OSError) as error:
        fail(str(error), 1)
    except RuntimeError as error:
        if type(error).__name__ == "OutOfMemoryError":  # torch's, which is not imported here
            advice = _advice_for_full_gpu(options)
            fail(f"the GPU has too little memory ({error}); {advice}", 1)
        if not _is_lost_process(error):
            raise
        fail(
            "another process of this training run has ended or cannot be reached; when all have "
            "ended, repeat the command with --resume, with as many processes as you like",
            1,
        )
    except KeyboardInterrupt:
        if _accepts_resume(options):
            fail("interrupted; to continue, repeat the command with --resume", 130)
        fail("interrupted; run the same command again", 130)


def _advice_for_full_gpu(options: Any) -> str:
    """Return how to run the command with these options although a GPU has too little memory."""
    if isinstance(options, StudyOptions):
        return (
            "to use less memory, see the batch and precision options in --help, or use --device cpu"
        )
    if hasattr(options, "device"):
        return "to use the CPU instead, add --device cpu"
    return "to use the CPU instead, set CUDA_VISIBLE_DEVICES to nothing"


def _accepts_resume(options: Any) -> bool:
    """Return whether the command with these options may be repeated with --resume."""
    try:
        replace(options, resume=True)
    except (TypeError, ValueError):  # there is no such option, or the command refuses it
        return False
    return True


def _is_lost_process(error: RuntimeError) -> bool:
    """Return whether one of several processes of torchrun does not answer.

    torch has types for such errors (DistBackendError and others), but reports those of Gloo, which
    connects processes on CPUs, as a RuntimeError with a path in its source code.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return False
    return type(error).__name__.startswith("Dist") or "/gloo/" in str(error)


def fail(message: str, code: int) -> NoReturn:
    """Print `error: <message>` to stderr, on one line, and exit with `code`."""
    print("error: " + " ".join(message.split()), file=sys.stderr)
    raise SystemExit(code)


def _fail_together(message: str, code: int) -> NoReturn:
    """As `fail`, for an error that all processes of a training run raise at the same step.

    Only the first process on each machine prints it.  Other errors are printed by every process
    that raises them: it may be the only one, and torchrun ends the others soon after it.
    """
    if os.environ.get("LOCAL_RANK", "0") != "0":
        raise SystemExit(code)
    fail(message, code)


def as_record(options: Any) -> dict[str, Any]:
    """Return all options except `resume` as a dict, for a run record."""
    return {name: value for name, value in asdict(options).items() if name != "resume"}
