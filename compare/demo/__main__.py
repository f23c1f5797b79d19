"""Show both models side by side in the browser.

python -m compare.demo                                         # the newest run of each track
python -m compare.demo --run runs/scratch_lm/latest student/my-model
python -m compare.demo --port 0 --no-browser                   # any free port; print the address
"""

from __future__ import annotations

from dataclasses import dataclass

from simple_parsing import field

from compare import cli


@dataclass(frozen=True)
class DemoOptions:
    """Show two models side by side in the browser: they continue a prompt, and read a text.

    The page is served from this machine, and loads nothing from elsewhere.  Ctrl-C ends it.
    """

    run: list[str] = field(default_factory=list, nargs="*", metavar="WHAT")  # noqa: RUF009
    """One or two models: directories of runs or models, or repositories on the Hub (OWNER/NAME, or
    their address); by default, the latest run of each track."""
    corpus: str | None = None
    """Training text of models that have no run record, given as in scratch_lm.train --corpus;
    passages copied from it are marked.  By default, it is unknown, and nothing is marked."""
    host: str = "127.0.0.1"
    """Address to serve on; with 0.0.0.0, everyone on the network can use the page."""
    port: int = 7860
    """Port to serve on, or the next one that is free; 0 for any free port."""
    no_browser: bool = field(default=False, action="store_true")
    """Print the address without opening it in a browser."""

    def __post_init__(self) -> None:
        cli.check(self, "port", 0, 2**16 - 1)
        if len(self.run) > 2:
            raise ValueError(f"--run names {len(self.run)} models: the page has room for two")


if __name__ == "__main__":
    options = cli.parse(DemoOptions)

import sys

from compare.demo.offline import require_gradio
from compare.demo.ports import find_free_port
from compare.demo.sides import load_sides
from compare.errors import Misuse
from compare.report import storage, story


def main(options: DemoOptions) -> None:
    """Load the models, and serve the page until Ctrl-C.

    Raises Misuse if Gradio is not installed, if a model is not found or if no port is free, and
    Failure if a model cannot be loaded.
    """
    require_gradio()
    # These import Gradio, which is optional.
    from compare.demo import page as pages
    from compare.demo import server

    port = find_free_port(options.host, options.port)
    page = pages.make_page(load_sides(options.run, options.corpus), read_answer())
    address = server.launch(page, options.host, port, opens_browser=not options.no_browser)
    print(f"serving {address}\nCtrl-C stops it", flush=True)
    server.wait_for_ctrl_c(page)


def read_answer() -> str | None:
    """Return the report's answer in plain words, or None if there is no report.

    A report that cannot be read is no reason not to show the models: a message says so.
    """
    if not storage.PATH.exists():
        return None
    try:
        return story.answer(storage.read())
    except Misuse as error:
        print(f"the page does not show the report's answer: {error}", file=sys.stderr)
        return None


if __name__ == "__main__":
    cli.run(main, options)
