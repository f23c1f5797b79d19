"""General-purpose compressors as floors: no training, no model of language.

They adapt while they read, so a text costs what it adds to the training split's compressed size:
size(training split + text) - size(training split).  That is easier than the frozen models' task.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable

import pyppmd
import zstandard

WINDOW_LOG = 27  # 128 MiB: zstd then looks back over the whole training split
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
    """Bits that `text` adds per byte to the compressed training split."""
    compress = COMPRESSORS[compressor]
    before, after = (len(compress(data.encode())) for data in (train, train + text))
    return 8 * (after - before) / len(text.encode())
