"""Both models continue a prompt, and what they copy from the training text is found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from compare.demo import limits
from compare.demo.sides import Side
from compare.demo.turns import write_in_turns
from compare.report.memorization import copied_passages
from compare.ruler.sampling import Settings


@dataclass(frozen=True)
class Continuation:
    """What one model has written after a prompt, perhaps not to the end yet."""

    seed: int
    text: str = ""
    copied: tuple[tuple[int, int], ...] | None = None
    """(start, end) offsets of passages from the training split.  None until the text is complete,
    or if it is not known what the model was trained on."""


def check_settings(
    temperature: float | None,
    top_k: float | None,
    characters: float | None,
    seed: float | None,
    samples: float | None,
) -> tuple[Settings, int]:
    """Return sampling settings, and the number of samples.

    Raises Misuse if a number is missing or out of range.
    """
    settings = Settings(
        temperature=limits.TEMPERATURE.check(temperature),
        top_k=int(limits.TOP_K.check(top_k)),
        characters=int(limits.CHARACTERS.check(characters)),
        seed=int(limits.SEED.check(seed)),
    )
    return settings, int(limits.SAMPLES.check(samples))


def write(
    sides: Sequence[Side], prompt: str, settings: Settings, samples: int
) -> Iterator[list[list[Continuation]]]:
    """Yield each side's continuations of `prompt` as they grow, token by token.

    The seed of the first one is `settings.seed`; each further one adds 1.  Raises Misuse if the
    prompt is empty or too long.
    """
    limits.check_text(prompt, "The prompt", limits.PROMPT_CHARACTERS)
    finished: list[list[Continuation]] = [[] for _ in sides]
    for seed in range(settings.seed, settings.seed + samples):
        texts: tuple[str, ...] = ("",) * len(sides)
        for texts in write_in_turns(sides, prompt, replace(settings, seed=seed)):
            yield [
                [*before, Continuation(seed, text)]
                for before, text in zip(finished, texts, strict=True)
            ]
        for side, before, text in zip(sides, finished, texts, strict=True):
            copied = tuple(copied_passages(text, side.corpus.train)) if side.corpus else None
            before.append(Continuation(seed, text, copied))
        yield [list(before) for before in finished]
