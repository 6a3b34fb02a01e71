"""The pages of results in headless Chromium."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from asr.data.manifest import Utterance
from asr.decode.hypothesis import Hypothesis, Word
from asr.evaluation.report import Evaluation, Result
from asr.evaluation.report_page import write_report
from asr.evaluation.systems import compare_systems
from asr.evaluation.wer import score_utterance

playwright = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
CHROMIUM = os.environ.get("ASR_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
WAIT = 600_000  # milliseconds; only a page that hangs needs them
TEXTS = [
    ("one two", "one too"),
    ("a b c", "a"),
    ("yes", "no yes"),
    ("", "it is"),
    ("x", "x"),
]


@pytest.fixture(scope="module")
def pages(build, sound, tmp_path_factory) -> SimpleNamespace:
    """Write a report and a comparison."""
    import soundfile

    folder = tmp_path_factory.mktemp("pages")
    for system in ("a", "b"):
        results = []
        for i, (reference, text) in enumerate(TEXTS):
            text = text if system == "a" else reference
            words = [
                Word(w, 0.5 * j, 0.5 * j + 0.4, 0.4) for j, w in enumerate(text.split())
            ]
            path = folder / f"{i}.wav"
            soundfile.write(path, sound(2.0, seed=i), 16_000)
            utterance = Utterance(path, 2.0, reference, speaker=f"speaker {i}")
            scored = score_utterance(reference, text)
            results.append(
                Result(utterance, Hypothesis(text, -1.0, tuple(words)), scored, 9.0)
            )
        evaluation = Evaluation(results, 1.0, [("e.wav", "e.wav: no such file")])
        evaluation.write(folder / system)
        if system == "a":
            write_report(
                folder / "report.html",
                evaluation,
                build(),
                title="mine, test",
                settings={"seed": 1},
                examples=50,
            )
    compare_systems(folder / "a", folder / "b", folder / "compare.html", 10)
    return SimpleNamespace(report=folder / "report.html", compare=folder / "compare.html")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        options = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=options)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser) -> Iterator[Any]:
    """Return a function that opens a file. The page must log nothing and request nothing else."""
    opened: list[Any] = []
    problems: list[str] = []

    def open_page(path: Path, *, width: int = 1280, scheme: str = "light") -> Any:
        size = {"width": width, "height": 800}
        page = browser.new_page(viewport=size, color_scheme=scheme)
        page.set_default_timeout(WAIT)
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        requests: list[str] = []
        page.goto(path.as_uri())
        opened.append(page)
        assert [url for url in requests if not url.startswith("data:")] == [path.as_uri()]
        return page

    yield open_page
    assert problems == []
    for page in opened:
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("name", ["report", "compare"])
def test_pages_fit_any_screen_and_are_accessible(pages, open_page, name, width, scheme):
    page = open_page(getattr(pages, name), width=width, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    result = axe.Axe().run(page)
    assert result.violations_count == 0, result.generate_report()
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")


def test_a_table_is_sorted_by_the_keyboard(pages, open_page):
    page = open_page(pages.report)
    table = page.locator("table").first

    def column(number: int) -> list[str]:
        return table.locator(f"tbody tr > :nth-child({number})").all_inner_texts()

    speakers = column(1)
    heading = table.locator("th", has_text="speaker").first
    heading.locator("button").press("Enter")
    assert column(1) == sorted(speakers) != speakers
    assert heading.get_attribute("aria-sort") == "ascending"
    words = table.locator("th", has_text="words").first
    words.locator("button").press("Space")
    assert column(6) == ["3", "2", "1", "1", "0"]
    assert words.get_attribute("aria-sort") == "descending"
    assert heading.get_attribute("aria-sort") == "none"
    words.locator("button").click()
    assert column(6) == ["0", "1", "1", "2", "3"]


def test_a_word_plays_and_its_place_is_shown(pages, open_page):
    page = open_page(pages.report)
    example = page.locator("article", has_text="1 errors in 2 words")
    example.locator(".words button", has_text="too").press("Enter")
    audio = example.locator("audio")
    # the word may have ended before the next call
    page.wait_for_function("a => a.paused && a.currentTime > 0", arg=audio.element_handle())
    seconds, duration = audio.evaluate("a => [a.currentTime, a.duration]")
    assert 0.9 <= seconds < 2.0
    assert duration == pytest.approx(2.0, abs=0.05)
    position = example.locator(".timeline").evaluate(
        "t => Number(t.style.getPropertyValue('--position'))"
    )
    assert position == pytest.approx(seconds / 2, abs=0.1)


def test_a_click_on_a_picture_plays_from_there_and_stops_other_players(pages, open_page):
    page = open_page(pages.report)
    first, second = (page.locator("article").nth(i) for i in (0, 1))
    first.locator(".emissions img").click(position={"x": 5, "y": 5})
    page.wait_for_function("document.querySelectorAll('audio')[0].currentTime > 0")
    box = second.locator(".mel img").bounding_box()
    second.locator(".mel img").click(position={"x": box["width"] / 2, "y": 5})
    page.wait_for_function("document.querySelectorAll('audio')[1].currentTime >= 1")
    assert first.locator("audio").evaluate("a => a.paused")


def test_pictures_and_diagram_are_drawn(pages, open_page):
    page = open_page(pages.report)
    images = page.locator("article img")
    assert images.count() == 2 * page.locator("article").count() == 8
    for i in range(images.count()):
        images.nth(i).scroll_into_view_if_needed()
        assert (
            images.nth(i).evaluate("async i => { await i.decode(); return i.naturalWidth }")
            > 0
        )
    assert page.locator("svg circle").count() > 0


def test_the_printed_page_shows_everything(pages, open_page):
    page = open_page(pages.report)
    page.emulate_media(media="print")
    assert not page.locator("audio").first.is_visible()
    assert (
        page.locator(".pictures").first.evaluate("p => getComputedStyle(p).overflow")
        == "visible"
    )
