"""Check hand-ins against the points of the course, without trusting any record.

python -m compare.verify runs/scratch_lm/latest           # a run
python -m compare.verify student/my-model                 # a repository on the Hub
python -m compare.verify model/ --trust-code              # run the code beside its weights
python -m compare.verify a/model b/model c/model          # several: a table
python -m compare.verify student/my-model --bytes         # compress the text with it
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from simple_parsing import field

from compare import cli
from compare.device import DeviceName

DEFAULT_BYTES = "2000"


@dataclass(frozen=True)
class VerifyOptions:
    """Check a run, a model directory or a repository on the Hub, from any project.

    Whatever the weights can show is recomputed from them.  What only a record or a card says is
    marked as claimed.  A model of the size of GPT-2 takes a few minutes on a CPU, or less with
    --quick.  The exit code is 1 if a point fails, or if a hand-in cannot be checked at all.
    """

    what: list[str] = field(default_factory=list, positional=True, nargs="*", metavar="WHAT")  # noqa: RUF009
    """Directories of runs or models, or repositories on the Hub (OWNER/NAME, or their address)."""
    trust_code: bool = field(default=False, action="store_true")
    """Run the code beside the weights if a model or its tokenizer needs it.  It can do whatever you
    can do: read it first."""
    corpus: str | None = None
    """Text to score: tiny-shakespeare, wikitext-2, or the path of a UTF-8 text file.  By default,
    the text in a run's record, or else tiny-shakespeare."""
    assignment: Literal["auto", "scratch", "fine-tuned"] = "auto"
    """What was handed in; auto goes by the run's record or the card, and treats a model with
    neither as trained from scratch."""
    quick: bool = field(default=False, action="store_true")
    """Score only the first 8,000 characters of the test split; claimed scores are then not
    checked."""
    bytes: str | None = field(default=None, nargs="?", const=DEFAULT_BYTES, metavar="[N]", type=str)
    """With the model, compress the first N characters of the test split into bytes, decompress them
    again and compare (nothing is kept); 2000 without N, or "all".  Every token takes two calls of
    the model."""
    seed: int | None = None
    """Seed for the samples, for the tokens that are changed or scored alone, and for the passage of
    the training split that is scored.  By default, a random one that is printed, so that no model
    can be prepared for it."""
    device: DeviceName = "auto"
    """Device to run the models on."""
    json: bool = field(default=False, action="store_true")
    """Print JSON instead of text."""

    def __post_init__(self) -> None:
        if self.seed is not None:
            cli.check(self, "seed", 0, cli.LARGEST_SEED)
        if self.bytes not in (None, "all") and not (self.bytes.isdecimal() and int(self.bytes)):
            raise ValueError(
                f"--bytes {self.bytes}: give a number of characters, or all; what to check comes "
                "before --bytes"
            )

    @property
    def characters_to_code(self) -> int | None:
        """How many characters to code at most; None for no coding."""
        if self.bytes is None:
            return None
        return 2**62 if self.bytes == "all" else int(self.bytes)


if __name__ == "__main__":
    options = cli.parse(VerifyOptions)

import json
import secrets
import shutil
import sys

from tqdm.auto import tqdm

from compare import corpus as corpora
from compare.device import choose_device
from compare.errors import Failure, Misuse
from compare.runs.subjects import find_subject
from compare.verify import terminal
from compare.verify.calls import raise_if_gpu_is_full
from compare.verify.check import Settings, verify
from compare.verify.comparison import notes
from compare.verify.points import Assignment, Outcome, Outcomes, Unavailable
from compare.verify.range_coding import require_coder


def main(options: VerifyOptions) -> None:
    """Check every hand-in, and print what was found; exit with code 1 unless all is well.

    Raises Misuse if nothing is named, if an option cannot be fulfilled, or if the only hand-in is
    not found, and Failure if the Hub cannot be reached.
    """
    if not options.what:
        raise Misuse("name what to check: a run, a model directory, or OWNER/NAME on the Hub")
    if options.bytes:
        require_coder()
    choose_device(options.device)
    settings = Settings(
        corpus=corpora.load(options.corpus) if options.corpus else None,
        assignment=None if options.assignment == "auto" else Assignment(options.assignment),
        trust_code=options.trust_code,
        is_quick=options.quick,
        characters_to_code=options.characters_to_code,
        seed=secrets.randbelow(cli.LARGEST_SEED + 1) if options.seed is None else options.seed,
        device=options.device,
    )
    bar = tqdm(options.what, "hand-ins", leave=False, disable=None if options.what[1:] else True)
    found: list[Outcome] = []
    for what in bar:
        found.append(_check(what, settings, is_alone=len(options.what) == 1))
        if options.what[1:]:  # so that nothing is lost if the others are interrupted
            bar.write(terminal.describe_briefly(found[-1]), file=sys.stderr)
    outcomes = Outcomes(found, notes(found), settings.seed)
    if options.json:
        print(json.dumps(outcomes.to_json(), indent=2, ensure_ascii=False))
    else:
        print(*terminal.show(outcomes, shutil.get_terminal_size((100, 24)).columns), sep="\n")
    if not outcomes.ok:
        raise SystemExit(1)


def _check(what: str, settings: Settings, is_alone: bool) -> Outcome:
    """Check one hand-in; if there are others, one that cannot be checked does not stop them.

    Code of a hand-in may raise anything, and may even call `sys.exit`.

    Raises torch.OutOfMemoryError if a GPU's memory is full.
    """
    try:
        return verify(find_subject(what), settings)
    except (Misuse, Failure, OSError) as error:
        if is_alone:
            raise
        return Unavailable(what, str(error))
    except (Exception, SystemExit) as error:
        raise_if_gpu_is_full(error)  # the same happens to the others
        described = " ".join(f"{type(error).__name__}: {error}".split())
        reason = f"the check stopped with {described}"
        if is_alone:
            raise Failure(f"{what}: {reason}") from error
        return Unavailable(what, reason)


if __name__ == "__main__":
    cli.run(main, options)
