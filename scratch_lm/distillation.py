"""Knowledge distillation: learning from the predictions of other models (Hinton et al. 2015).

The mean of several models' probabilities is a better prediction than that of any one of them, and
tells at every position of the text what else would have been likely.  `--teachers` names the runs
of these models.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from compare.cli import as_record, command_line
from compare.corpus import Corpus
from compare.corpus.blocks import IGNORED
from compare.errors import Misuse
from compare.kinds import Track
from compare.ruler.scoring import windows
from compare.runs import find, models
from compare.runs.find import CompleteRun
from compare.runs.start import identity, recipe_identity
from compare.runs.writer import ROOT
from scratch_lm.config import PRESETS, ScratchOptions, expand_teachers

DISTILLATION_WEIGHT = 0.5  # of the loss, if there are any teachers
TOP_TOKENS = 64  # tokens kept per prediction: 4 + 2 bytes each make 384 bytes per token of the text
WINDOWS_PER_BATCH = 16


@dataclass(frozen=True)
class Teacher:
    """A model to learn from."""

    run: Path
    """The directory of the run that trained it."""
    model: PreTrainedModel
    weights_sha256: str


def load_teachers(
    options: ScratchOptions, corpus: Corpus, tokenizer: PreTrainedTokenizerBase
) -> list[Teacher]:
    """Load the models of `options.teachers`.

    Raises Misuse for a run that is missing, unfinished, of an outdated recipe, or with another
    tokenizer.  Also for a run on another text, because its training split might contain the
    validation and test splits of this text.
    """
    teachers = []
    for name in options.teacher_names:
        run = _find_run(name, options, corpus)
        models.require_whole(run)
        model, own = models.load(run.model)
        if own.get_vocab() != tokenizer.get_vocab():
            raise Misuse(
                f"--teachers {name}: {run.path} has another tokenizer; train a run with this "
                "--vocabulary, and give its directory"
            )
        teachers.append(Teacher(run.path, model, models.weights_sha256(run.model)))
    return teachers


def _find_run(name: str, options: ScratchOptions, corpus: Corpus) -> CompleteRun:
    """Return the run called `name`.

    If `name` is a path, it is that directory.  Otherwise it is the newest complete run on this text
    out of name, name-2, name-3 and so on.  The default teachers of a preset must have been trained
    with the present recipe of their own preset.
    """
    complete, reasons = [], []
    for path in [Path(name)] if len(Path(name).parts) > 1 else _newest_first(name):
        try:
            complete.append(find.load(path))
        except Misuse as error:
            reasons.append(str(error))
    if not complete:
        raise Misuse(
            f"--teachers {name}: {reasons[0]}; train the teachers first (for --preset record: "
            f"--preset tuned with the seeds of {', '.join(options.teacher_names)})"
        )
    here = [run for run in complete if run.record.corpus.sha256 == corpus.sha256]
    if not here:
        run = complete[0]
        raise Misuse(f"--teachers {name}: {run.path} was trained on {run.record.corpus.name}")
    own = re.fullmatch(r"(\w+)-seed(\d+)", name)
    if own is None or name not in expand_teachers(
        PRESETS[options.preset].get("teachers", []), options.seed
    ):
        return here[0]
    preset, seed = own[1], int(own[2])
    recipe = ScratchOptions(
        **PRESETS[preset] | {"preset": preset, "seed": seed, "corpus": options.corpus}
    )
    changes = [_changes(run, recipe, corpus) for run in here]
    for run, changed in zip(here, changes, strict=True):
        if not changed:
            return run
    command = command_line(Track.SCRATCH.command, recipe, PRESETS)
    raise Misuse(
        f"--teachers {name}: {here[0].path} is not of the present --preset {preset}: "
        f"{'; '.join(changes[0])}; train it with {command} --resume, or "
        f"name {here[0].path} in --teachers to learn from it all the same"
    )


def _newest_first(name: str) -> list[Path]:
    """Return the directories ..., name-3, name-2, name; the last one even if it is missing."""
    track = ROOT / Track.SCRATCH
    numbers = [
        int(found[1])
        for path in track.glob("*")
        if (found := re.fullmatch(rf"{re.escape(name)}-(\d+)", path.name))
    ]
    return [*(track / f"{name}-{number}" for number in sorted(numbers, reverse=True)), track / name]


def _changes(run: CompleteRun, recipe: ScratchOptions, corpus: Corpus) -> list[str]:
    """Describe how `recipe` differs from the recipe of `run`, apart from the name of the text."""
    then = identity(run.record) | {"corpus": None}
    now = recipe_identity(as_record(recipe), corpus.sha256) | {"corpus": None}
    return [
        f"{key} was {then.get(key)} and is now {now.get(key)}"
        for key in sorted(then.keys() | now.keys())
        if then.get(key) != now.get(key)
    ]


@dataclass(frozen=True)
class SoftTargets:
    """The mean prediction of the teachers at each position of a text: the likeliest tokens."""

    tokens: np.ndarray  # (text, TOP_TOKENS) int32
    probabilities: np.ndarray  # (text, TOP_TOKENS) float16

    def lookup(self, positions: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens and probabilities, (..., TOP_TOKENS) each, for `positions` in the text.

        At position -1, which is outside the text, the target itself has probability 1.
        """
        index, outside = positions.numpy(), positions < 0
        tokens = torch.from_numpy(self.tokens[index].astype(np.int64))
        probabilities = torch.from_numpy(self.probabilities[index]).float()
        tokens[outside, 0] = targets[outside].clamp(min=0)  # IGNORED is not a token; see below
        probabilities[outside] = 0
        probabilities[outside, 0] = 1
        return tokens, probabilities


@torch.inference_mode()
def compute_soft_targets(
    teachers: Sequence[Teacher], end_of_text: int, ids: np.ndarray
) -> SoftTargets:
    """Average the predictions of `teachers` for each of the token `ids`.

    They read the windows of `compare.ruler.scoring`, with the token `end_of_text` in front.
    """
    loaded = [teacher.model for teacher in teachers]
    length = min(model.config.max_position_embeddings for model in loaded)
    sequence = torch.from_numpy(np.concatenate(([end_of_text], ids)).astype(np.int64))
    kept = min(TOP_TOKENS, loaded[0].config.vocab_size)
    tokens = np.empty((len(ids), kept), np.int32)
    probabilities = np.empty((len(ids), kept), np.float16)
    plan = list(windows(len(ids), length, length // 2))
    for at in tqdm(
        range(0, len(plan), WINDOWS_PER_BATCH), "soft targets", leave=False, disable=None
    ):
        batch = plan[at : at + WINDOWS_PER_BATCH]
        inputs = torch.stack([sequence[begin:end] for begin, _, end in batch])
        inputs = inputs.to(loaded[0].device)
        mean = sum(model(inputs).logits.float().softmax(-1) for model in loaded) / len(loaded)
        likeliest = mean.topk(kept)
        for row, (begin, first, end) in enumerate(batch):
            tokens[first - 1 : end] = likeliest.indices[row, first - 1 - begin :].cpu()
            probabilities[first - 1 : end] = likeliest.values[row, first - 1 - begin :].cpu()
    return SoftTargets(tokens, probabilities)


def soft_cross_entropy(
    logits: Tensor, targets: Tensor, tokens: Tensor, probabilities: Tensor
) -> Tensor:
    """Return the summed cross-entropy with `probabilities` of `tokens`, in nats.

    Positions whose target is IGNORED are left out.
    """
    expected = F.log_softmax(logits, -1).gather(-1, tokens)
    return -(probabilities * expected).sum(-1)[targets != IGNORED].sum()
