"""The demo in a real browser: both models write and read, and nothing leaves this machine."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.browser.test_page import browser  # noqa: F401  (a fixture)
from tests.conftest import HANGS, Place, killed_if_it_hangs

pytestmark = pytest.mark.slow
NAMES = ("left-model", "right-model")
PROMPT = 'JULIET:\n<img src=x onerror="window.broken = 1"> {{value}} ${window.broken = 2}'
PATIENCE = 600_000  # ms; no step takes as long, however busy the machine is


@pytest.fixture(scope="module")
def address(
    tmp_path_factory: pytest.TempPathFactory, caches: Path, tiny_base: Path
) -> Iterator[str]:
    """Serve two small random models, and return the address of the page."""
    if not find_spec("gradio"):
        pytest.skip("no gradio: make test-all installs it")
    place = Place(tmp_path_factory.mktemp("demo"), caches)
    for name in NAMES:
        shutil.copytree(tiny_base, place.path / name)
    process = subprocess.Popen(
        [sys.executable, "-m", "compare.demo", "--port", "0", "--no-browser", "--run", *NAMES],
        cwd=place.path,
        env=place.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    try:
        with killed_if_it_hangs(process):
            line = process.stdout.readline()
        served = re.fullmatch(r"serving (http://127\.0\.0\.1:\d+/)\n", line)
        assert served
        yield served[1]
        process.send_signal(signal.SIGINT)
        assert process.wait(HANGS) == 0
        assert sorted(path.name for path in place.path.iterdir()) == sorted(NAMES)  # as it was
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def one_writes_and_one_waits(
    browser: Any,  # noqa: F811
    address: str,
) -> Iterator[tuple[Any, Any]]:
    """Return the pages of two visitors: the models write for the first, and the second waits."""
    contexts = [browser.new_context(), browser.new_context()]
    for context in contexts:
        context.set_default_timeout(PATIENCE)
    first, second = (context.new_page() for context in contexts)
    for page in (first, second):  # before anything is written, so that the first does not finish
        page.goto(address)
    write_at_length(first)
    first.get_by_text("Writing…").wait_for()
    write_at_length(second)
    second.get_by_text("Waiting…").wait_for()
    yield first, second
    for context in contexts:
        context.close()


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_both_models_write_and_read_and_nothing_is_loaded_from_elsewhere(
    browser: Any,  # noqa: F811
    address: str,
    width: int,
    scheme: str,
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    requests: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)

    page.get_by_label("Prompt").fill(PROMPT)
    write_at_length(page)
    sides = page.locator("section.side:visible")
    for name in NAMES:
        sides.filter(has_text=name).filter(has_text=PROMPT.split("\n")[1]).wait_for()
    page.get_by_role("button", name="Stop", exact=True).click()
    status = page.locator("[role=status]:visible")
    status.filter(has_text="Stopped.").wait_for()

    page.get_by_label("number input for Length").fill("20")
    page.get_by_label("number input for Number of texts").fill("1")
    page.get_by_role("button", name="Write", exact=True).click()
    status.filter(has_text="Done.").wait_for()
    for name in NAMES:
        written = sides.filter(has_text=name).locator("pre").text_content()
        # The models are random; browsers drop some of the control characters that they write.
        assert written.startswith(PROMPT) and len(written) > len(PROMPT) + 10

    page.get_by_role("tab", name="Read").click()
    text = "né: wherefore art thou <b>Romeo</b>?"
    page.get_by_label("Your text").fill(text)
    page.get_by_role("button", name="Read", exact=True).click()
    status.filter(has_text="Done.").wait_for()
    for name in NAMES:
        tokens = sides.filter(has_text=name).locator("pre .token")
        assert "".join(tokens.all_text_contents()) == text
        paint = "tokens => tokens.map(token => getComputedStyle(token).backgroundColor)"
        assert len(set(tokens.evaluate_all(paint))) > 1

    page.get_by_label("Your text").fill("")
    page.get_by_role("button", name="Read", exact=True).click()
    page.get_by_role("alert").filter(has_text="empty").wait_for()

    assert page.evaluate("window.broken") is None
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert not complaints
    assert not [url for url in requests if not url.startswith((address, "data:", "blob:"))]
    context.close()


def test_stop_also_ends_a_request_that_waits_for_another_visitors(
    one_writes_and_one_waits: tuple[Any, Any],
) -> None:
    first, second = one_writes_and_one_waits
    second.get_by_role("button", name="Stop", exact=True).click()
    first.get_by_role("button", name="Stop", exact=True).click()
    second.get_by_text("Stopped.").wait_for()


def test_a_request_after_stop_is_answered_instead_of_the_one_that_waits(
    one_writes_and_one_waits: tuple[Any, Any],
) -> None:
    first, second = one_writes_and_one_waits
    second.get_by_role("button", name="Stop", exact=True).click()
    second.get_by_label("Prompt").fill("PUCK:")
    second.get_by_label("number input for Length").fill("20")
    second.get_by_label("number input for Number of texts").fill("1")
    second.get_by_role("button", name="Write", exact=True).click()
    second.get_by_text("Waiting…").wait_for()
    first.get_by_role("button", name="Stop", exact=True).click()
    second.get_by_text("Done.").wait_for()
    for written in second.locator("section.side:visible pre").all_text_contents():
        assert written.startswith("PUCK:")


def write_at_length(page: Any) -> None:
    """Let the models write for longer than it takes to press Stop."""
    page.get_by_label("number input for Length").fill("2000")
    page.get_by_label("number input for Number of texts").fill("5")
    page.get_by_role("button", name="Write", exact=True).click()
