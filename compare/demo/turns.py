"""Several models write at the same time, taking turns: one token each.

`compare.ruler.sampling.sample` runs until its text is complete.  Each model therefore writes in its
own thread, which waits after every token.  PyTorch's random state belongs to the whole process, so
it is exchanged at every turn: each model draws the same numbers as if it were alone.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from threading import Semaphore, Thread

import torch

from compare.demo.sides import Side
from compare.ruler.sampling import Settings, complete_characters, sample


def write_in_turns(
    sides: Sequence[Side], prompt: str, settings: Settings
) -> Generator[tuple[str, ...], None, None]:
    """Yield what each side has written so far, after every round of one token each.

    The last texts are those that `sample` returns.  If the iterator is closed earlier, the models
    stop.  The global random state is preserved.  Raises whatever `sample` raises.
    """
    writers = [_Writer(side, prompt, settings) for side in sides]
    try:
        while unfinished := [writer for writer in writers if not writer.is_finished]:
            for writer in unfinished:
                writer.write_token()
            yield tuple(writer.text for writer in writers)
    finally:
        for writer in writers:
            writer.stop()


class _Stopped(Exception):
    """Ends a thread whose text is no longer needed."""


class _Writer:
    """One model in its own thread.  The thread runs only while `write_token` or `stop` waits."""

    def __init__(self, side: Side, prompt: str, settings: Settings) -> None:
        self.text = ""
        self.is_finished = False
        self._side, self._prompt, self._settings = side, prompt, settings
        self._device = side.model.device
        self._random_state = _random_state(self._device)
        self._error: Exception | None = None
        self._is_stopped = False
        self._turn_begins, self._turn_ends = Semaphore(0), Semaphore(0)
        # A daemon, so that Ctrl-C ends the process although a thread still waits for its turn.
        self._thread = Thread(target=self._write, daemon=True)

    def write_token(self) -> None:
        """Let the model write one more token, and update `text`.  Raises what `sample` raises."""
        before = _random_state(self._device)
        _set_random_state(self._device, self._random_state)
        if self._thread.ident is None:
            self._thread.start()
        self._turn_begins.release()
        self._turn_ends.acquire()
        self._random_state = _random_state(self._device)
        _set_random_state(self._device, before)
        if self._error:
            raise self._error

    def stop(self) -> None:
        """End the thread if it has begun, and has not finished."""
        self._is_stopped = True
        if self._thread.ident is None:
            return
        if not self.is_finished:
            self.write_token()
        self._thread.join()

    def _write(self) -> None:
        self._turn_begins.acquire()
        try:
            side = self._side
            self.text = sample(
                side.model, side.tokenizer, self._prompt, self._settings, self._show_and_wait
            )
        except _Stopped:
            pass
        except Exception as error:  # raised again in the thread that asked for the token
            self._error = error
        self.is_finished = True
        self._turn_ends.release()

    def _show_and_wait(self, text: str) -> None:
        self.text = complete_characters(text)
        self._turn_ends.release()
        self._turn_begins.acquire()
        if self._is_stopped:
            raise _Stopped


def _random_state(device: torch.device) -> list[torch.Tensor]:
    """Return the state of the random generators that sampling on `device` draws from."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    elif device.type == "mps":
        states.append(torch.mps.get_rng_state())
    return states


def _set_random_state(device: torch.device, states: list[torch.Tensor]) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)
    elif device.type == "mps":
        torch.mps.set_rng_state(states[1])
