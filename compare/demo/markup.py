"""Texts and results as HTML.  Whatever was typed or generated is shown literally."""

from __future__ import annotations

import html
from collections.abc import Sequence

from compare.demo.reading import Reading
from compare.demo.sides import Side
from compare.demo.writing import Continuation
from compare.rendering import split_at_spans

STRONGEST = 8  # bits per character from which a token has the full color, as in the report
NAMES_OF_BLANKS = {"\n": "line break", " ": "space", "\t": "tab"}


def literal(text: str) -> str:
    """Escape `text` so that it stays text in HTML.

    Gradio's HTML component is a template, so braces and dollar signs are escaped, too.
    """
    return html.escape(text).replace("{", "&#123;").replace("}", "&#125;").replace("$", "&#36;")


def headline(sentence: str) -> str:
    """Return the answer of the report."""
    return f'<p class="answer">From the report of this study: {literal(sentence)}</p>'


def status(message: str) -> str:
    """Return a message that screen readers announce when it changes."""
    return f'<p role="status" class="quiet">{literal(message)}</p>'


def alert(message: str) -> str:
    """Return an error message that screen readers announce at once."""
    return f'<p role="alert" class="alert">{literal(message)}</p>'


def card(side: Side, content: str) -> str:
    """Return the card of a model: its name, what is known about it, and `content`."""
    return (
        f'<section class="side"><h2>{literal(side.name)}</h2>'
        f'<p class="quiet">{literal(side.description)}</p>{content}</section>'
    )


def written(side: Side, prompt: str, continuations: Sequence[Continuation]) -> str:
    """Return the card of a model with its continuations, in which copied passages are marked."""
    texts = []
    for continuation in continuations:
        copied = list(continuation.copied or ())
        parts = "".join(
            f"<mark>{literal(part)}</mark>" if is_copied else literal(part)
            for part, is_copied in split_at_spans(continuation.text, copied)
        )
        texts.append(f'<pre><span class="quiet">{literal(prompt)}</span>{parts}</pre>')
        if continuation.copied is not None:
            texts.append(f'<p class="quiet">{_describe_copies(continuation)}</p>')
    return card(side, "".join(texts))


def _describe_copies(continuation: Continuation) -> str:
    words = [len(continuation.text[start:end].split()) for start, end in continuation.copied or ()]
    seed = f"Seed {continuation.seed}: "
    if not words:
        return f"{seed}no five words in a row are copied from the training text."
    passages = "1 passage" if len(words) == 1 else f"{len(words)} passages"
    return f"{seed}{passages} copied from the training text, {sum(words)} words in all."


def read(side: Side, reading: Reading) -> str:
    """Return the card of a model with a text in which each token is colored by its surprisal."""
    colored = "".join(
        f'<span class="token" style="--share:{_share(text, bits):.2f}" '
        f'title="{bits:.1f} bits">{literal(text)}</span>'
        for text, bits in reading.tokens
    )
    surprising = ", ".join(
        f"<q>{literal(_visible(text))}</q> ({bits:.1f})" for text, bits in reading.most_surprising
    )
    return card(
        side,
        f'<p><strong class="number">{reading.bits_per_byte:.3f}</strong> bits per byte: '
        f"{reading.bits:,.0f} bits for {reading.bytes:,} bytes</p><pre>{colored}</pre>"
        f'<p class="quiet">Most surprising, in bits: {surprising}</p>',
    )


def _share(text: str, bits: float) -> float:
    """Return how strong a token's color is, from 0 to 1."""
    return min(bits / len(text) / STRONGEST, 1)


def _visible(text: str) -> str:
    """Return the text of a token without the blanks around it, or their name if it has no more."""
    return text.strip() or NAMES_OF_BLANKS.get(text[:1], "blank")


def copies_legend() -> str:
    """Return what the marks in continuations mean."""
    return (
        '<p class="quiet"><mark>Marked</mark>: five or more words in a row that are copied from '
        "the training text.</p>"
    )


def surprisal_legend() -> str:
    """Return what the colors of tokens mean."""
    steps = "".join(
        f'<span class="token" style="--share:{bits / STRONGEST:.2f}">{bits}'
        f"{' or more' if bits == STRONGEST else ''}</span>"
        for bits in (0, 2, 4, STRONGEST)
    )
    return (
        '<p class="quiet scale">The stronger its color, the more a token surprises the model, in '
        f"bits per character: {steps}</p>"
    )
