"""What identifies a run: the options and inputs by which it is resumed, or grouped with others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from compare.runs.record import RunRecord

# Options that do not change the weights, except for rounding errors and for what dropout selects.
# The default of `accumulation` depends on the device and on the number of processes.
IGNORED_ON_RESUME = (
    "tracking",
    "project",
    "checkpoint_steps",
    "sample_characters",
    "device",
    "accumulation",
    "gradient_checkpointing",
    "compile",
)
# Options that name an input, which is known by its checksum: a file or a base may be spelled in
# several ways, such as novel.txt and ./novel.txt.
NAMES_OF_INPUTS = ("corpus", "base")


@dataclass(frozen=True)
class Identity:
    """The options of a run that may change its weights, and the SHA-256 of what it was given."""

    options: Mapping[str, Any]
    corpus_sha256: str
    base_sha256: str | None = None
    """Of the weights of the base; None in the scratch track."""
    teachers_sha256: tuple[str, ...] = ()
    corpus_name: str = field(default="", compare=False)
    """Shown in messages, as is the name of the base."""
    base_name: str = field(default="", compare=False)

    @classmethod
    def of(cls, record: RunRecord) -> Identity:
        """Return the identity of the run with this `record`."""
        return cls(
            options_of(record.config),
            record.corpus.sha256,
            record.base.weights_sha256 if record.base else None,
            tuple(record.teachers_sha256),
            corpus_name=str(record.config["corpus"]),
            base_name=str(record.config.get("base", "")),
        )

    def has_inputs_of(self, other: Identity) -> bool:
        """Return whether the text and the base are the same."""
        mine, theirs = ((each.corpus_sha256, each.base_sha256) for each in (self, other))
        return mine == theirs

    def without(self, *options: str) -> Identity:
        """Return this identity without some of its options."""
        kept = {name: value for name, value in self.options.items() if name not in options}
        return replace(self, options=kept)

    def without_teachers(self) -> Identity:
        """Return this identity without the weights of the teachers.

        Each seed has its own.  How they are chosen is an option, which stays.
        """
        return replace(self, teachers_sha256=())

    def differences_from(self, previous: Identity) -> list[str]:
        """Describe how this identity differs from a `previous` one."""
        was, now = previous._by_name(), self._by_name()
        return [
            f"{name} was {was.get(name)} and is now {now.get(name)}"
            for name in sorted(was.keys() | now.keys())
            if was.get(name) != now.get(name)
        ]

    def _by_name(self) -> dict[str, Any]:
        return {
            **self.options,
            "corpus": _Input(self.corpus_sha256, self.corpus_name),
            "base": _Input(self.base_sha256, self.base_name),
            "teachers sha256": list(self.teachers_sha256),
        }


@dataclass(frozen=True)
class _Input:
    """A text, or the weights of a base: the same if the checksum is, whatever it is called."""

    sha256: str | None
    name: str = field(compare=False)

    def __str__(self) -> str:
        return f"{self.name} (sha256 {(self.sha256 or 'unknown')[:12]})"


def options_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options in `config`, those of a run's record, that may change its weights.

    The names of its inputs are left out, because `Identity` has their checksums.  An option that is
    None is left out, too: it changes nothing, and the records of runs from before it existed do not
    have it.
    """
    return {
        name: value
        for name, value in config.items()
        if name not in IGNORED_ON_RESUME + NAMES_OF_INPUTS and value is not None
    }
