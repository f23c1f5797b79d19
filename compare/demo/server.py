"""Serve the page, on this machine only unless asked otherwise."""

from __future__ import annotations

import time
from typing import Any

import gradio as gr

from compare.demo.theme import STYLE, make_theme


def launch(page: gr.Blocks, host: str, port: int, opens_browser: bool) -> str:
    """Start serving `page` in the background, and return its address.

    Nothing is loaded from elsewhere, shared or recorded: fonts are the system's, and Gradio's
    public links, history of calls, monitoring and programming interface are off.
    """
    _, address, _ = page.launch(
        server_name=host,
        server_port=port,
        inbrowser=opens_browser,
        theme=make_theme(),
        css=STYLE,
        footer_links=[],
        share=False,
        run_history=False,
        enable_monitoring=False,
        mcp_server=False,
        ssr_mode=False,
        pwa=False,
        quiet=True,
        prevent_thread_lock=True,
    )
    return str(address)


def wait_for_ctrl_c(page: Any) -> None:
    """Return when Ctrl-C was pressed, and stop serving `page`."""
    try:
        while True:  # on Windows, Ctrl-C does not interrupt waiting for a threading.Event
            time.sleep(1)
    except KeyboardInterrupt:
        page.close(verbose=False)
