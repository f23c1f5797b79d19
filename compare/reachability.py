"""Is a server there?  Asked once and briefly, since clients' own retries take minutes offline."""

from __future__ import annotations

import queue
import threading
from functools import cache

import httpx
from huggingface_hub import constants


@cache
def reachable(url: str, seconds: float = 3.0) -> bool:
    """Whether any HTTP answer comes from `url` within `seconds`, name resolution included."""
    answers: queue.Queue[bool] = queue.Queue()

    def probe() -> None:
        try:
            httpx.head(url, timeout=seconds)
            answers.put(True)
        except (httpx.HTTPError, httpx.InvalidURL, OSError):
            answers.put(False)

    # In a thread, because a resolver that hangs ignores the client's timeout.
    threading.Thread(target=probe, daemon=True).start()
    try:
        return answers.get(timeout=seconds)
    except queue.Empty:
        return False


def hub_reachable() -> bool:
    """Whether the Hugging Face Hub answers; if not, its client is told not to try either."""
    if constants.is_offline_mode() or not reachable(constants.ENDPOINT):
        constants.HF_HUB_OFFLINE = True
        return False
    return True
