"""What the page looks like: the system's fonts, and colors with enough contrast to be read."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

STYLE = (Path(__file__).parent / "style.css").read_text("utf-8")


def make_theme() -> gr.themes.Base:
    """Return Gradio's plain theme, without web fonts, and with darker grays and blues."""
    theme = gr.themes.Base(
        primary_hue="blue",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
    return theme.set(
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        color_accent="*primary_600",
        input_border_width="1px",
        input_border_color="*neutral_400",
        input_border_color_dark="*neutral_500",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_800",
    )
