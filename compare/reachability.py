"""Short reachability checks, because HTTP clients retry for minutes when there is no network."""

from __future__ import annotations

import queue
import threading
from functools import cache

import httpx
from huggingface_hub import constants


@cache
def reachable(url: str, seconds: float = 3.0) -> bool:
    """Return whether `url` sends any HTTP response within `seconds`, DNS lookup included.

    The result is cached for the lifetime of the process.
    """
    answers: queue.Queue[bool] = queue.Queue()

    def probe() -> None:
        try:
            httpx.head(url, timeout=seconds)
            answers.put(True)
        except Exception:  # a proxy that httpx cannot use raises ImportError or ValueError
            answers.put(False)

    # In a thread, because a hanging DNS lookup ignores the client's timeout.
    threading.Thread(target=probe, daemon=True).start()
    try:
        return answers.get(timeout=seconds)
    except queue.Empty:
        return False


def hub_reachable() -> bool:
    """Return whether the Hugging Face Hub responds; if not, put its client into offline mode."""
    if constants.is_offline_mode() or not reachable(constants.ENDPOINT):
        constants.HF_HUB_OFFLINE = True
        return False
    return True
