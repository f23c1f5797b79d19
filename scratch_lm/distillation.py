"""Knowledge distillation: learning from the predictions of other models (Hinton et al. 2015).

The mean of several models' probabilities is a better prediction than that of any single one.  It
also shows, at every position of the text, which other tokens would have been likely.  `--teachers`
names the runs of these models.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from compare.cli import LARGEST_SEED, as_record, command_line
from compare.corpus import Corpus
from compare.corpus.blocks import IGNORED
from compare.device import choose_device
from compare.errors import Misuse
from compare.kinds import Track
from compare.ruler.scoring import windows
from compare.runs import find, models
from compare.runs.find import CompleteRun
from compare.runs.identity import Identity, options_of
from compare.runs.start import numbered_runs
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

    Raises Misuse if a run is missing, unfinished or of an outdated recipe, or if it has a different
    tokenizer.  Runs on a different text are rejected, too, because their training split might
    contain the validation and test splits of this text.  Raises Failure if a model has changed
    since training.
    """
    teachers = []
    for name in options.teacher_names:
        run = _find_run(name, options, corpus)
        models.require_unchanged(run)
        model, teacher_tokenizer = models.load(run.model, device=choose_device(options.device))
        if teacher_tokenizer.get_vocab() != tokenizer.get_vocab():
            raise Misuse(
                f"--teachers {name}: {run.path} has a different tokenizer; train a run with the "
                "same --vocabulary, and give its directory"
            )
        teachers.append(Teacher(run.path, model, models.weights_sha256(run.model)))
    return teachers


def _find_run(name: str, options: ScratchOptions, corpus: Corpus) -> CompleteRun:
    """Return the teacher run that `name` refers to.

    If `name` is a path, it is the run in that directory.  Otherwise it is the newest complete run
    on this text out of `name`, `name`-2, `name`-3 and so on.  The default teachers of a preset, and
    those that `own` stands for, must have been trained with the current recipe of their preset.
    """
    recipe = _recipe_of(name, options)
    advice = ""
    if recipe:
        command = command_line(Track.SCRATCH.command, recipe, PRESETS)
        advice = f"; train one with {command} --resume"
    folders = _folders(name)
    complete, reasons = [], []
    for path in folders:
        try:
            complete.append(find.load(path))
        except Misuse as error:
            reasons.append(str(error))
    if not complete:
        # An unfinished run's message says how to finish it.
        is_missing = not any(path.exists() for path in folders)
        raise Misuse(f"--teachers {name}: {reasons[0]}{advice if is_missing else ''}")
    on_this_text = [run for run in complete if run.record.corpus.sha256 == corpus.sha256]
    if not on_this_text:
        run = complete[0]
        raise Misuse(
            f"--teachers {name}: {run.path} was trained on {run.record.corpus.name}, and not on "
            f"{corpus.name}{advice}"
        )
    defaults = [*PRESETS[options.preset].get("teachers", [])]
    if "own" in options.teachers:
        defaults.append("own")
    if recipe is None or name not in expand_teachers(defaults, options.seed):
        return on_this_text[0]
    differences = [_list_differences(run, recipe, corpus) for run in on_this_text]
    for run, differing in zip(on_this_text, differences, strict=True):
        if not differing:
            return run
    newest = on_this_text[0].path
    teachers = [str(newest) if each == name else each for each in options.teacher_names]
    raise Misuse(
        f"--teachers {name}: {newest} was not trained with the current --preset {recipe.preset}: "
        f"{'; '.join(differences[0])}{advice}, or give --teachers {shlex.join(teachers)} to learn "
        "from this run anyway"
    )


def _recipe_of(name: str, options: ScratchOptions) -> ScratchOptions | None:
    """Return the options with which a run called `name` is trained on the text of `options`.

    Returns None if `name` is not that of a preset without teachers.
    """
    match = re.fullmatch(r"([\w-]+)-seed(\d+)", name)
    if match is None or match[1] not in PRESETS or "teachers" in PRESETS[match[1]]:
        return None
    preset, seed = match[1], int(match[2])
    if seed > LARGEST_SEED:
        return None
    return ScratchOptions(
        **PRESETS[preset] | {"preset": preset, "seed": seed, "corpus": options.corpus}
    )


def _list_differences(run: CompleteRun, recipe: ScratchOptions, corpus: Corpus) -> list[str]:
    """Describe how `recipe` differs from the recipe of `run`."""
    current = Identity(options_of(as_record(recipe)), corpus.sha256, corpus_name=recipe.corpus)
    return current.differences_from(Identity.of(run.record))


@dataclass(frozen=True)
class SoftTargets:
    """The most likely tokens in the teachers' mean prediction, for each position of a text."""

    tokens: np.ndarray  # (text, TOP_TOKENS) int32
    probabilities: np.ndarray  # (text, TOP_TOKENS) float16

    def lookup(self, positions: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens and probabilities, (..., TOP_TOKENS) each, for `positions` in the text.

        At position -1, which is outside the text, the target itself has probability 1.  If that
        target is IGNORED, the result is meaningless; `soft_cross_entropy` leaves it out.
        """
        index, outside = positions.numpy(), positions < 0
        tokens = torch.from_numpy(self.tokens[index].astype(np.int64))
        probabilities = torch.from_numpy(self.probabilities[index]).float()
        tokens[outside, 0] = targets[outside].clamp(min=0)  # IGNORED is negative: not a token
        probabilities[outside] = 0
        probabilities[outside, 0] = 1
        return tokens, probabilities


@torch.inference_mode()
def compute_soft_targets(
    teachers: Sequence[Teacher], end_of_text: int, ids: np.ndarray
) -> SoftTargets:
    """Return the mean prediction of `teachers` for each token of a text, whose ids are `ids`.

    The teachers read the text in windows of `compare.ruler.scoring`, with the token `end_of_text`
    in front.
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


def _folders(name: str) -> list[Path]:
    """Return the directories that `name` may stand for, the newest first: it is one, or names one.

    A name stands for the runs `name`, `name`-2, `name`-3, ... of this track.
    """
    if len(Path(name).parts) > 1:
        return [Path(name)]
    return [path for _, path in numbered_runs(ROOT / Track.SCRATCH, name)]
