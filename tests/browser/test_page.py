"""report.html in a real browser, opened from disk without network access."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compare.report import pages, storage
from compare.report.results import Results
from tests.conftest import REPORT, Place

pytestmark = pytest.mark.slow
COMMITTED = Path(__file__).parents[2] / "reports"
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
NASTY = '<script>window.broken = 1</script><img src=x onerror="window.broken = 2"> **bold** | `'


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="make test-all installs it")
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine: install chromium, make test-all tries to")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(params=[(390, "light"), (390, "dark"), (1280, "light"), (1280, "dark")], ids=str)
def page(request: pytest.FixtureRequest, browser: Any) -> Iterator[Any]:
    width, scheme = request.param
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
    )
    page = context.new_page()
    page.complaints, page.requests = [], []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda request: page.requests.append(request.url))
    yield page
    context.close()


def look(page: Any, path: Path) -> None:
    """Open the page; check that it makes no requests, logs no errors and is not cut off."""
    page.goto(path.as_uri())
    outside = [url for url in page.requests if not url.startswith(("file:", "data:"))]
    assert not outside and not page.complaints
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def open_details(page: Any) -> None:
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")


def test_the_committed_report(page: Any) -> None:
    assert (COMMITTED / "report.html").stat().st_size < 3_000_000
    look(page, COMMITTED / "report.html")
    open_details(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    images = page.locator("figure > [role='img']")
    assert images.count() == len(list((COMMITTED / "figures").glob("*.svg")))
    for image in images.all():
        box = image.locator("svg").bounding_box()
        assert box["width"] > 300 and box["height"] > 150
        assert len(image.get_attribute("aria-label")) > 20
    assert page.evaluate(
        "new Set(Array.from(document.querySelectorAll('[id]'), e => e.id)).size"
    ) == (page.locator("[id]").count())


def test_a_point_tells_its_numbers_to_the_pointer(page: Any) -> None:
    look(page, COMMITTED / "report.html")
    row = json.loads((COMMITTED / "report.json").read_text("utf-8"))["rows"][0]
    point = page.locator("figure").first.locator("g", has=page.locator("title")).last
    box = point.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    title = page.evaluate(
        "([x, y]) => document.elementFromPoint(x, y).closest('g:has(> title)').textContent",
        [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2],
    )
    assert title.strip().startswith(f"{row['name']}: {row['bits_per_byte']:.3f} bits per byte")


def test_axe_finds_no_barriers(page: Any) -> None:
    """Contrast, headings, names of controls, tables and so on, with all details open."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="in tests/slow.lock")
    look(page, COMMITTED / "report.html")
    open_details(page)
    violations = axe.Axe().run(page).response["violations"]
    assert not [
        (each["id"], each["help"], [node["html"][:200] for node in each["nodes"]])
        for each in violations
    ]


def test_the_story_fits_in_three_screens_and_details_are_folded(page: Any) -> None:
    look(page, COMMITTED / "report.html")
    if page.viewport_size["width"] == 1280:
        details = page.get_by_role("heading", name="Details", exact=True)
        assert details.bounding_box()["y"] < 3 * page.viewport_size["height"]
    assert page.locator("details.fold").count() > 8
    assert page.locator("details.fold[open]").count() == 0
    assert not page.get_by_role("button", name="bits/byte", exact=True).is_visible()
    page.get_by_text("All models", exact=True).click()
    assert page.get_by_role("button", name="bits/byte", exact=True).is_visible()


def test_two_models_at_a_time_are_shown_with_their_surprisal(page: Any) -> None:
    """First those of the study's answer, then any that the reader selects, on their sides."""
    look(page, COMMITTED / "report.html")
    report = json.loads((COMMITTED / "report.json").read_text("utf-8"))
    models = list(report["surprisal"]["models"])
    cards = page.locator("[data-reader]")
    assert cards.count() == len(models)

    def shown() -> list[str | None]:
        visible = [card for card in cards.all() if card.is_visible()]
        places = {card: card.bounding_box() for card in visible}
        visible.sort(key=lambda card: (places[card]["y"], places[card]["x"]))
        return [card.get_attribute("data-reader") for card in visible]

    fine_tuned, scratch = (report["differences"][0][side] for side in "ab")
    assert shown() == [scratch, fine_tuned]
    for name in models:
        page.get_by_label("Right:").select_option(name)
        assert shown() == ([scratch, name] if name != scratch else [scratch])


def test_no_text_in_a_figure_is_cut_off(page: Any) -> None:
    look(page, COMMITTED / "report.html")
    open_details(page)
    cut_off = page.evaluate(
        """Array.from(document.querySelectorAll('figure svg text')).filter(text => {
            const inner = text.getBoundingClientRect();
            const outer = text.closest('svg').getBoundingClientRect();
            return inner.left < outer.left - 1 || inner.right > outer.right + 1
                || inner.top < outer.top - 1 || inner.bottom > outer.bottom + 1;
        }).map(text => text.textContent)"""
    )
    assert not cut_off


def test_the_main_table_sorts(page: Any) -> None:
    look(page, COMMITTED / "report.html")
    open_details(page)
    rows = json.loads((COMMITTED / "report.json").read_text("utf-8"))["rows"]
    first = page.locator(".sortable tbody tr td:first-child")
    for click, names in (
        ("bits/byte", [row["name"] for row in rows]),
        ("bits/byte", [row["name"] for row in reversed(rows)]),
        # In the browser's order, a hyphen comes before a parenthesis, as a space does in ASCII.
        (
            "model",
            sorted((row["name"] for row in rows), key=lambda n: n.casefold().replace("-", " ")),
        ),
    ):
        page.get_by_role("button", name=click, exact=True).click()
        shown = [text.removesuffix(" ³") for text in first.all_text_contents()]
        assert shown == names


def test_text_of_models_and_corpora_shows_as_text(page: Any, study: Place, tmp_path: Path) -> None:
    if not (study.path / storage.PATH).exists():
        study.run(*REPORT)
    report = json.loads((study.path / storage.PATH).read_text("utf-8"))
    report["corpus"]["name"] = NASTY
    sample = report["samples"][0]
    sample["prompt"] = NASTY
    for name in sample["texts"]:
        sample["texts"][name], sample["copied"][name] = NASTY, [[0, 9]]
    report["surprisal"]["models"] = {NASTY: [[NASTY, 3.0]]}
    pages.write(Results.model_validate_json(json.dumps(report)))
    look(page, tmp_path / "reports" / "report.html")
    assert page.evaluate("window.broken") is None
    assert page.locator("main pre", has_text=NASTY).count() >= len(sample["texts"]) + 1
    assert os.listdir(tmp_path) == ["reports"]
