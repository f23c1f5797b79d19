"""A seeded sample, and how much of what the model writes is copied from its training text."""

from __future__ import annotations

from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from compare.corpus import Corpus
from compare.report.memorization import measure_memorization
from compare.ruler.sampling import Settings, prompts, sample
from compare.verify.calls import raise_if_out_of_memory
from compare.verify.points import Point, judged, not_checkable, passed

SAMPLE = ("sample", "Writes text")
MEMORIZATION = ("memorization", "Does not recite its training text")
CHARACTERS = 300  # of each continuation
RECITES = 0.5  # of all sequences of ten words; other text by the same author shares almost none


@dataclass(frozen=True)
class Generated:
    """What a model made of the prompts."""

    points: list[Point]
    shown: str | None
    """The first prompt and its continuation."""
    texts: list[str]
    """The continuations, without the prompts."""


def check_generation(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, corpus: Corpus, seed: int
) -> Generated:
    """Continue the corpus's prompts, and look the continuations up in the training split."""
    settings = Settings(characters=CHARACTERS, seed=seed)
    asked = prompts(corpus)
    try:
        texts = [sample(model, tokenizer, prompt, settings) for prompt in asked]
    except Exception as error:  # code of the hand-in may raise anything, or lack `generate`
        raise_if_out_of_memory(error)
        reason = f"model.generate raises {type(error).__name__}: {error}".splitlines()[0]
        return Generated(
            [not_checkable(*SAMPLE, reason), not_checkable(*MEMORIZATION, "there is no sample")],
            None,
            [],
        )
    if not any(text.strip() for text in texts):
        return Generated(
            [
                judged(*SAMPLE, False, "the continuations of all prompts are empty"),
                not_checkable(*MEMORIZATION, "the samples are empty"),
            ],
            None,
            [],
        )
    written = measure_memorization("samples", texts, corpus.train)
    length = sum(map(len, texts))
    real = measure_memorization("test split", [corpus.test[:length]], corpus.train)
    points = [
        passed(
            *SAMPLE,
            f"{len(texts)} continuations of {settings.characters} characters, seed {seed}, "
            f"temperature {settings.temperature}, top-k {settings.top_k}; "
            f"{written.distinct_1:.0%} of their words are distinct",
        ),
        judged(
            *MEMORIZATION,
            written.copied_10 < RECITES,
            f"{written.copied_10:.0%} of the sequences of 10 words in the samples, and "
            f"{written.copied_5:.0%} of those of 5, are in the training split (of the test split: "
            f"{real.copied_10:.0%} and {real.copied_5:.0%}); the longest copy is "
            f"{written.longest_characters} characters: {written.longest.strip()[:80]!r}",
        ),
    ]
    return Generated(points, asked[0] + texts[0], texts)
