"""General-purpose compressors as baselines: no training, and no language model.

Compressors adapt while they read.  The cost of a text is therefore what it adds to the compressed
size of the training split: size(training split + text) - size(training split).  This is an easier
task than that of the frozen models, because a compressor also learns from the text it is scored on.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyppmd
import zstandard

from compare import files
from compare.runs.kept import Store

WINDOW_LOG = 27  # 128 MiB, so that zstd can refer back to the whole training split
PPMD_ORDER, PPMD_MEMORY = 6, 256 << 20

COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, 9),
    "bzip2": lambda data: bz2.compress(data, 9),
    "xz": lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME),
    "zstd": lambda data: zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters.from_level(
            22, window_log=WINDOW_LOG, source_size=len(data)
        )
    ).compress(data),
    "PPMd": lambda data: pyppmd.compress(data, max_order=PPMD_ORDER, mem_size=PPMD_MEMORY),
}


def bits_per_byte(compressor: str, train: str, text: str) -> float:
    """Return the bits per byte that `text` adds to the compressed training split."""
    before, after = (_compressed_size(compressor, data) for data in (train, train + text))
    return 8 * (after - before) / len(text.encode())


def _compressed_size(compressor: str, text: str) -> int:
    """Return the bytes of the compressed `text`, which are computed once and then kept."""
    store = Store({"compressors code": files.sha256(Path(__file__))})
    kept = store.get(
        lambda: {"bytes": np.array([len(COMPRESSORS[compressor](text.encode()))])},
        compressor=compressor,
        versions=[sys.version, zstandard.__version__, version("pyppmd")],
        text=text,
    )
    return int(kept["bytes"][0])
