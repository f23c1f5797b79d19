"""Learning from what other models expect, and not from the text alone (Hinton et al. 2015).

The mean of several models' probabilities is a better prediction than any of theirs, and says of
every place in the text what else could have stood there.  `--teachers` names the models' runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

from compare import finished, models
from compare.blocks import IGNORED
from compare.cli import Misuse
from compare.corpus import Corpus
from compare.runs import ROOT
from compare.scoring import windows

SHARE = 0.5  # of the loss is the teachers', where there are any
LIKELIEST = 64  # tokens kept of a prediction: 4 + 2 bytes each are 384 for a token of the text
WINDOWS = 16  # at once


def folders(names: Sequence[str], corpus: Corpus, tokenizer: PreTrainedTokenizerBase) -> list[Path]:
    """Where the models of the runs called `names` are.

    Raises Misuse for a run that is missing, unfinished, of another tokenizer, or of another text,
    whose training split could hold what this one's validation and test splits do.
    """
    found = []
    for name in names:
        try:
            run = finished.load(ROOT / "scratch_lm" / name)
        except Misuse as error:
            raise Misuse(
                f"--teachers {name}: {error}; train the teachers first (for --preset record: "
                "--preset tuned with --seed 1, 2 and 3)"
            ) from None
        models.require_whole(run)
        if run["corpus"]["sha256"] != corpus.record()["sha256"]:
            raise Misuse(f"--teachers {name}: {run['path']} was trained on {run['corpus']['name']}")
        folder = run["path"] / "model"
        _, own = models.load(folder)
        if own.get_vocab() != tokenizer.get_vocab():
            raise Misuse(f"--teachers {name}: another tokenizer; train it with this --vocabulary")
        found.append(folder)
    return found


@dataclass(frozen=True)
class Lessons:
    """What the teachers expect at each place of a text: the likeliest tokens."""

    tokens: np.ndarray  # (text, LIKELIEST) int32
    probabilities: np.ndarray  # (text, LIKELIEST) float16

    def at(self, places: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens and probabilities, (..., LIKELIEST) each, for `places` in the text.

        Of a place of -1, which is not in the text, nothing is known but the target.
        """
        index, own = places.numpy(), places < 0
        tokens = torch.from_numpy(self.tokens[index].astype(np.int64))
        probabilities = torch.from_numpy(self.probabilities[index]).float()
        tokens[own, 0] = targets[own].clamp(min=0)  # IGNORED is no token, and does not count
        probabilities[own] = 0
        probabilities[own, 0] = 1
        return tokens, probabilities


@torch.inference_mode()
def lessons(teachers: Sequence[Path], end_of_text: int, ids: np.ndarray) -> Lessons:
    """What models in the directories `teachers` expect, on average, of each of the token `ids`.

    They read in the windows of `compare.scoring`, from the token `end_of_text` on.
    """
    loaded = [models.load(folder)[0] for folder in teachers]
    length = min(model.config.max_position_embeddings for model in loaded)
    sequence = torch.from_numpy(np.concatenate(([end_of_text], ids)).astype(np.int64))
    kept = min(LIKELIEST, loaded[0].config.vocab_size)
    tokens = np.empty((len(ids), kept), np.int32)
    probabilities = np.empty((len(ids), kept), np.float16)
    plan = list(windows(len(ids), length, length // 2))
    for at in tqdm(range(0, len(plan), WINDOWS), "lessons", leave=False, disable=None):
        batch = plan[at : at + WINDOWS]
        inputs = torch.stack([sequence[begin:end] for begin, _, end in batch])
        inputs = inputs.to(loaded[0].device)
        mean = sum(model(inputs).logits.float().softmax(-1) for model in loaded) / len(loaded)
        likeliest = mean.topk(kept)
        for row, (begin, first, end) in enumerate(batch):
            tokens[first - 1 : end] = likeliest.indices[row, first - 1 - begin :].cpu()
            probabilities[first - 1 : end] = likeliest.values[row, first - 1 - begin :].cpu()
    return Lessons(tokens, probabilities)


def nats(logits: Tensor, targets: Tensor, tokens: Tensor, probabilities: Tensor) -> Tensor:
    """The sum of cross-entropies with a lesson's probabilities, over the targets that count."""
    expected = F.log_softmax(logits, -1).gather(-1, tokens)
    return -(probabilities * expected).sum(-1)[targets != IGNORED].sum()
