"""Continue a prompt with the newest model of each track, side by side.

python -m compare.generate                                     # the study's first prompt
python -m compare.generate --prompt "JULIET:" --temperature 1
python -m compare.generate --run runs/scratch_lm/course-seed1  # one model only
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from compare import cli


@dataclass(frozen=True)
class GenerateOptions:
    """Continue a prompt with the newest model of each track, side by side."""

    prompt: str = "ROMEO:\n"
    """Text to continue; the default, %(default)r, ends with a line break."""
    run: Path | None = None
    """Run directory of a single model; by default, the newest run of each track, without controls
    from random weights."""
    characters: int = 300
    """Length of the continuation in characters."""
    temperature: float = 0.8
    """Sampling temperature: text varies more above 1, and less below 1."""
    top_k: int = 50
    """Sample from this many of the most likely tokens."""
    top_p: float = 1.0
    """Sample from the most likely tokens whose probabilities add up to this value; 1 keeps all."""
    seed: int = 1
    """Seed of the first continuation; each further one adds 1."""
    count: int = 1
    """Number of continuations."""

    def __post_init__(self) -> None:
        cli.check(self, "characters", 1, 100_000)
        cli.check(self, "temperature", 0.01, 10)
        cli.check(self, "top_k", 1, 1_000_000)
        cli.check(self, "top_p", 0.01, 1)
        cli.check(self, "seed", 0, cli.LARGEST_SEED)
        cli.check(self, "count", 1, 1000)


if __name__ == "__main__":
    options = cli.parse(GenerateOptions)

import shutil
import textwrap
from itertools import zip_longest

from compare.kinds import Track
from compare.ruler.sampling import Settings, complete_characters, sample
from compare.runs import find, models


def generate(options: GenerateOptions) -> None:
    """Print continuations of the prompt, by one model or by both models side by side.

    Raises Misuse if a run is missing or unfinished, and Failure if its model has changed since
    training or cannot be loaded.
    """
    runs = [find.load(options.run)] if options.run else list(map(find.latest, Track))
    loaded = {}
    for run in runs:
        models.require_unchanged(run)
        name, folder = run.record.display_name, run.model
        best = run.record.best_scores.bits_per_byte
        print(f"{name}: {folder}, {best:.4f} bits/byte on validation")
        loaded[name] = models.load(folder)
    for seed in range(options.seed, options.seed + options.count):
        print(f"\nseed {seed}" if options.count > 1 else "")
        settings = Settings(
            options.temperature, options.top_k, options.top_p, options.characters, seed
        )
        if options.run:
            (model_and_tokenizer,) = loaded.values()
            print(options.prompt, end="", flush=True)
            sample(*model_and_tokenizer, options.prompt, settings, _StreamPrinter())
            print()
        else:
            _print_side_by_side(
                {
                    name: options.prompt + sample(*pair, options.prompt, settings)
                    for name, pair in loaded.items()
                }
            )


class _StreamPrinter:
    """Prints what a growing text has gained since the last call, up to its last whole character."""

    def __init__(self) -> None:
        self.printed = 0

    def __call__(self, text: str) -> None:
        complete = complete_characters(text)
        print(complete[self.printed :], end="", flush=True)
        self.printed = max(self.printed, len(complete))


def _print_side_by_side(texts: dict[str, str]) -> None:
    """Print one column per text, with its key as title, in the width of the terminal."""
    width = (shutil.get_terminal_size((100, 24)).columns - 3) // 2
    columns = [
        [title, "-" * width, *(part for line in text.splitlines() for part in _wrap(line, width))]
        for title, text in texts.items()
    ]
    for left, right in zip_longest(*columns, fillvalue=""):
        print(f"{left:<{width}} | {right}".rstrip())


def _wrap(line: str, width: int) -> list[str]:
    return textwrap.wrap(line, width) or [""]


if __name__ == "__main__":
    cli.run(generate, options)
