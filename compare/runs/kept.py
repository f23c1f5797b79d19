"""Results that are computed once and then kept: scores, samples and word-for-word repetitions.

They are kept in `runs/.kept/`.  A score depends on the model's files, the text, the stride and the
context length; a sample depends on the model's files, the prompt and the sampling settings.  Each
is kept under the SHA-256 of all of these, and of the kind of device, the code and the library
versions that computed it, so that a change of any of them leads to a new computation.  Delete the
directory to compute everything again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from compare import files, ruler
from compare.corpus import encoding
from compare.files import write_atomically
from compare.ruler import sampling, scoring, verbatim
from compare.ruler.scoring import Score
from compare.runs import models
from compare.runs.writer import ROOT

FOLDER = ROOT / ".kept"
LIBRARIES = ("torch", "transformers", "tokenizers")


class Store:
    """Arrays in `runs/.kept/`, each kept under a SHA-256 of all that it is computed from.

    Args:
        identity: what all results in this store are computed from, such as a model and the code.
            JSON must be able to represent it.
    """

    def __init__(self, identity: Mapping[str, object]) -> None:
        self._identity = dict(identity)

    def get(
        self, compute: Callable[[], dict[str, np.ndarray]], **arguments: object
    ) -> dict[str, np.ndarray]:
        """Return what `compute` returned for the same `arguments`, or call it now."""
        key = json.dumps(self._identity | arguments, sort_keys=True)
        path = FOLDER / f"{hashlib.sha256(key.encode()).hexdigest()}.safetensors"
        arrays = _read(path)
        if arrays is None:
            arrays = compute()
            _write(path, arrays)
        return arrays


class KeptModel:
    """A model in evaluation mode, from the directory `folder`, with its tokenizer.

    `checksums` are the SHA-256 of its files by name, if they are known already.  Raises Failure if
    the model cannot be loaded.
    """

    def __init__(self, folder: Path, checksums: Mapping[str, str] | None = None) -> None:
        self.model, self.tokenizer = models.load(folder)
        self._store = Store(
            {
                "model": _combine(checksums or files.checksums(folder)),
                "device": self.model.device.type,
                "code": _code_sha256(),
                "versions": {name: version(name) for name in LIBRARIES},
            }
        )

    def score(
        self,
        text: str,
        stride: int | None = None,
        label: str | None = None,
        context_length: int | None = None,
    ) -> Score:
        """Return what `compare.ruler.scoring.score` returns for `text`."""

        def compute() -> dict[str, np.ndarray]:
            score = scoring.score(self.model, self.tokenizer, text, stride, label, context_length)
            return {"nats": score.nats, "byte_ends": score.byte_ends}

        kept = self._store.get(compute, text=text, stride=stride, context_length=context_length)
        return Score(kept["nats"], kept["byte_ends"], text)

    def sample(self, prompt: str, settings: sampling.Settings) -> str:
        """Return what `compare.ruler.sampling.sample` returns for `prompt`."""

        def compute() -> dict[str, np.ndarray]:
            text = sampling.sample(self.model, self.tokenizer, prompt, settings)
            return {"utf-8": np.frombuffer(text.encode(), np.uint8)}

        kept = self._store.get(compute, prompt=prompt, settings=asdict(settings))
        return kept["utf-8"].tobytes().decode()

    def repeated_tokens(self, text: str, label: str | None = None) -> np.ndarray:
        """Return what `compare.ruler.verbatim.repeated_tokens` returns for `text`."""

        def compute() -> dict[str, np.ndarray]:
            lengths = verbatim.repeated_tokens(self.model, self.tokenizer, text, label)
            return {"repeated_tokens": lengths}

        return self._store.get(compute, repeated_tokens_of=text)["repeated_tokens"]

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of `text`."""

        def compute() -> dict[str, np.ndarray]:
            return {"tokens": np.array([len(encoding.token_ids(self.tokenizer, text))])}

        return int(self._store.get(compute, tokens_of=text)["tokens"][0])


def _combine(checksums: Mapping[str, str]) -> str:
    """Return a SHA-256 over the names and checksums of all files in a model directory."""
    lines = [f"{name} {checksum}\n" for name, checksum in sorted(checksums.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@cache
def _code_sha256() -> str:
    """Return a SHA-256 over the code that computes what is kept."""
    sources = [Path(encoding.__file__), *sorted(Path(ruler.__file__).parent.glob("*.py"))]
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()


def _content_sha256(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode() + arrays[name].tobytes())
    return digest.hexdigest()


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with contextlib.suppress(OSError):  # the report works without kept files
        write_atomically(path, save(arrays, {"sha256": _content_sha256(arrays)}))


def _read(path: Path) -> dict[str, np.ndarray] | None:
    """Return the kept arrays, or None if the file is missing or damaged."""
    try:
        with safe_open(path, "np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}
            intact = file.metadata()["sha256"] == _content_sha256(arrays)
    except Exception:  # damage can raise almost anything, and the file can be computed again
        return None
    return arrays if intact else None
