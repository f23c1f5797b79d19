"""Ctrl-C and SIGTERM let a training finish its step and write a checkpoint before it ends."""

from __future__ import annotations

import signal
import sys
from types import FrameType


class Interruption:
    """From now on, keeps the number of the first signal; a second one acts as it always did."""

    def __init__(self) -> None:
        self.signal = 0  # none yet
        numbers = (signal.SIGINT, signal.SIGTERM)
        self._handlers = {number: signal.signal(number, self._note) for number in numbers}

    def anywhere(self) -> int:
        """The number of a signal that this process has got, or another that trains with it."""
        import torch  # not before: `compare.cli` has no time for it
        from torch import distributed

        if not distributed.is_initialized():
            return self.signal
        on_gpu = distributed.get_backend() == "nccl"
        box = torch.tensor(self.signal, device="cuda" if on_gpu else "cpu")
        distributed.all_reduce(box, distributed.ReduceOp.MAX)
        return int(box)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        for each, handler in self._handlers.items():
            signal.signal(each, handler)
        print("\nstopping after this step; once more stops at once", file=sys.stderr)
