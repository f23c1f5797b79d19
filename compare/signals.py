"""Graceful shutdown: on Ctrl-C or SIGTERM, training stops at its next checkpoint.

It finishes the current step, or the evaluation after an epoch, and writes the checkpoint at once.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """Records the first SIGINT or SIGTERM that arrives after construction.

    The first signal also restores the previous handlers, so that a second one takes effect
    immediately.  `signal` is the number of the recorded signal, or 0 if none has arrived.
    """

    def __init__(self) -> None:
        self.signal = 0
        numbers = (signal.SIGINT, signal.SIGTERM)
        self._previous_handlers = {
            number: signal.signal(number, self._record) for number in numbers
        }

    def signal_of_any_process(self) -> int:
        """Return the highest signal number recorded by any process of this training run, or 0.

        In distributed training this is a collective operation: every process must call it.
        """
        import torch  # imported here to keep `--help` fast
        from torch import distributed

        if not distributed.is_initialized():
            return self.signal
        on_gpu = distributed.get_backend() == "nccl"
        number = torch.tensor(self.signal, device="cuda" if on_gpu else "cpu")
        distributed.all_reduce(number, distributed.ReduceOp.MAX)
        return int(number)

    def restore_handlers(self) -> None:
        """Restore the previous handlers: from now on, a signal takes effect immediately.

        To be called when training has ended.  Afterwards, only a signal that came before this call
        is left to check.
        """
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)

    def _record(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self.restore_handlers()
        print(
            "\nstopping after the current step or evaluation; send the signal again to stop "
            "immediately",
            file=sys.stderr,
        )


@contextmanager
def restored_signal_handlers() -> Iterator[None]:
    """Restore the signal handlers on exit, for a process that goes on after a training run."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
