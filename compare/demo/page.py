"""The page: a tab in which the models write, and one in which they read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import gradio as gr

from compare import corpus as corpora
from compare.corpus import Corpus
from compare.demo import limits, markup
from compare.demo.answers import Answer, empty_cards, read_answers, write_answers
from compare.demo.limits import Limit
from compare.demo.sides import Side
from compare.demo.stops import Stops
from compare.report import surprisal
from compare.ruler import sampling
from compare.ruler.sampling import Settings

TITLE = "From scratch versus fine-tuned"
DEFAULTS = Settings()
# One request at a time, whichever tab it comes from: two would compete for the same processor.
QUEUED: dict[str, Any] = {
    "concurrency_id": "models",
    "concurrency_limit": 1,
    "show_progress": "hidden",
    "api_visibility": "private",
}
AT_ONCE: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


def make_page(sides: Sequence[Side], answer: str | None) -> gr.Blocks:
    """Return the page for the models of `sides`; `answer` is the report's, if there is one."""
    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        gr.HTML(f"<h1>{TITLE}</h1>" + (markup.headline(answer) if answer else ""))
        corpus = sides[0].corpus or corpora.load("tiny-shakespeare")
        with gr.Tab("Write"):
            _add_write_tab(sides, corpus)
        with gr.Tab("Read"):
            _add_read_tab(sides, corpus)
    return page


def _add_write_tab(sides: Sequence[Side], corpus: Corpus) -> None:
    """Add the tab in which the models continue a prompt, to begin with one of `corpus`."""
    prompt = gr.Textbox(
        sampling.prompts(corpus)[0],
        label="Prompt",
        info="The models continue this text.",
        lines=3,
    )
    with gr.Row():
        temperature = _add_slider(
            limits.TEMPERATURE, DEFAULTS.temperature, 0.1, "Higher is more varied."
        )
        top_k = _add_slider(
            limits.TOP_K, DEFAULTS.top_k, 1, "Sample from this many of the most likely tokens."
        )
        characters = _add_slider(
            limits.CHARACTERS, DEFAULTS.characters, 20, "In characters, of each text."
        )
    with gr.Row():
        seed = gr.Number(
            DEFAULTS.seed,
            label=limits.SEED.name,
            info="The same seed gives the same text.",
            precision=0,
        )
        samples = _add_slider(limits.SAMPLES, 1, 1, "Each further text has the next seed.")
    with gr.Row():
        start = gr.Button("Write", variant="primary")
        stop = gr.Button("Stop")
    if any(side.corpus for side in sides):
        gr.HTML(markup.copies_legend())
    message = gr.HTML(markup.status(""))
    cards = _add_cards(sides)
    _connect(
        partial(write_answers, sides),
        starts=[start.click, prompt.submit],
        stop=stop,
        inputs=[prompt, temperature, top_k, characters, seed, samples],
        outputs=[message, *cards],
    )


def _add_read_tab(sides: Sequence[Side], corpus: Corpus) -> None:
    """Add the tab in which the models read a text, to begin with a passage of `corpus`."""
    start_at, end = surprisal.passage(corpus.validation)
    text = gr.Textbox(
        corpus.validation[start_at:end],
        label="Your text",
        info=(
            f"Up to {limits.TEXT_CHARACTERS:,} characters; to begin with, a passage from the "
            f"validation split of {corpus.name}."
        ),
        lines=8,
        max_lines=16,
    )
    with gr.Row():
        start = gr.Button("Read", variant="primary")
        stop = gr.Button("Stop")
    gr.HTML(markup.surprisal_legend())
    message = gr.HTML(markup.status(""))
    cards = _add_cards(sides)
    _connect(
        partial(read_answers, sides),
        starts=[start.click, text.submit],
        stop=stop,
        inputs=[text],
        outputs=[message, *cards],
    )


def _add_slider(limit: Limit, value: float, step: float, info: str) -> gr.Slider:
    return gr.Slider(limit.low, limit.high, value, step=step, label=limit.name, info=info)


def _add_cards(sides: Sequence[Side]) -> list[gr.HTML]:
    """Add a row with an empty card for each side."""
    added = []
    with gr.Row():
        for card in empty_cards(sides):
            with gr.Column(min_width=320):
                added.append(gr.HTML(card))
    return added


def _connect(
    answers: Callable[..., Iterator[Answer]],
    starts: list[Any],
    stop: gr.Button,
    inputs: list[Any],
    outputs: list[gr.HTML],
) -> None:
    """Let the events `starts` show what `answers` yields.

    An answer ends early when the button `stop` is clicked, or when its visitor starts another one.
    """
    stops = Stops()
    # The browser sends its value with each request that joins the queue.  A gr.State would have
    # the value of the newest request by the time an earlier one leaves the queue.
    number = gr.Number(visible=False)

    # Not queued: if another visitor's request is being answered, this one waits, and Stop must
    # count from the click on.
    def begin(request: gr.Request) -> tuple[str, int]:
        return markup.status("Waiting…"), stops.begin(str(request.session_hash))

    def answer(request: gr.Request, number: int, *values: Any) -> Iterator[Answer]:
        is_stopped = partial(stops.is_stopped, str(request.session_hash), number)
        yield from answers(*values, is_stopped=is_stopped)

    def stop_answer(request: gr.Request) -> None:
        stops.stop(str(request.session_hash))

    message = outputs[0]
    begun = gr.on(starts, begin, outputs=[message, number], **AT_ONCE)
    # By default ("once"), a click has no effect as long as an earlier answer is not finished.
    begun.then(
        answer,
        inputs=[number, *inputs],
        outputs=outputs,
        trigger_mode="multiple",
        **QUEUED,
    )
    stop.click(stop_answer, **AT_ONCE)
