"""Import Gradio, and keep it from using the network.

Gradio reports its use to its makers, and asks them for newer versions, unless the environment says
otherwise.
"""

from __future__ import annotations

import os

from compare.errors import Misuse

INSTALL = "pip install --require-hashes --no-deps --requirement compare/demo/demo.lock"


def require_gradio() -> None:
    """Import Gradio with its reports switched off.  Raises Misuse if it is not installed."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    # Gradio asks its own server whether it has started.  A proxy could not answer that.
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1,localhost")))
    try:
        import gradio  # noqa: F401
    except ImportError:
        raise Misuse(f"compare.demo needs the package gradio: {INSTALL}") from None
