"""Read `.wandb` files: LevelDB logs of protobuf records, as W&B's client writes them."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

BLOCK, FULL, LAST = 32 * 1024, 1, 4


def records(path: Path) -> Iterator[Record]:
    """Yield all complete records; the last one may be truncated if the process was killed."""
    data, at, parts = path.read_bytes(), 7, b""  # 7 bytes: ":W&B", magic, version
    while at + 7 <= len(data):
        if BLOCK - at % BLOCK < 7:  # no room for a header: the rest of the block is padding
            at += BLOCK - at % BLOCK
            continue
        _, size, kind = struct.unpack_from("<IHB", data, at)
        parts += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (FULL, LAST) and at <= len(data):
            yield Record.FromString(parts)
            parts = b""


def logged(path: Path) -> list[dict[str, Any]]:
    """Return the rows passed to `run.log`, without W&B's own keys."""
    rows = []
    for record in records(path):
        if record.WhichOneof("record_type") == "history":
            items = {
                (item.key or ".".join(item.nested_key)): json.loads(item.value_json)
                for item in record.history.item
            }
            rows.append({k: v for k, v in items.items() if not k.startswith("_")})
    return rows
