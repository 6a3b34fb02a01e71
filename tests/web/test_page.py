"""The page of a server: what people see and do, in a browser with a stand-in for the server."""

import json
import re
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from pages import (
    FileHandler,
    Visit,
    read_transcript,
    record,
    save,
    serve,
    upload,
    wait_until_ready,
)

WORDS = [
    {"word": "nine", "start": 0.2, "end": 0.5, "confidence": 0.98},
    {"word": "apples", "start": 0.5, "end": 0.9, "confidence": 0.4},
    {"word": "please", "start": 2.1, "end": 2.5, "confidence": 0.9},
]


class StandIn:
    """Answers of a server of the API that the page uses. It recognizes the same words always."""

    def __init__(self) -> None:
        self.key = ""
        self.failures: list[tuple[int, str]] = []
        self.forms: list[str] = []
        self.url = ""

    def answer_get(self, handler: Any) -> tuple[int, dict[str, Any]]:
        if self.key and handler.headers["Authorization"] != f"Bearer {self.key}":
            return 401, {"error": {"message": "the API key is missing or wrong"}}
        return 200, {"data": [{"id": "asr"}]}

    def answer_post(self, handler: Any) -> tuple[int, dict[str, Any]]:
        content = handler.rfile.read(int(handler.headers["Content-Length"]))
        self.forms.append(content.decode("latin1"))
        if self.failures:
            status, message = self.failures.pop(0)
            return status, {"error": {"message": message}}
        text = " ".join(str(word["word"]) for word in WORDS)
        return 200, {"text": text, "duration": 3.0, "words": WORDS}


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    server = StandIn()

    class Handler(FileHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(files("asr").joinpath("web")))

        def do_GET(self) -> None:  # noqa: N802
            if self.path == "/v1/models":
                self.reply(*server.answer_get(self))
            else:
                super().do_GET()

        def do_POST(self) -> None:  # noqa: N802
            self.reply(*server.answer_post(self))

        def reply(self, status: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    with serve(Handler) as server.url:
        yield server


@pytest.fixture
def page(stand_in: StandIn, visit: Visit) -> Any:
    page = visit(stand_in.url)
    wait_until_ready(page)
    return page


@pytest.fixture
def talk(recording: Callable[..., Path]) -> Path:
    return recording("talk.wav", 3.0)


def shown_words(page: Any) -> list[str]:
    return [button.inner_text() for button in page.query_selector_all("#words button")]


def test_an_uploaded_recording_has_words_with_shading(
    page: Any, talk: Path, stand_in: StandIn
) -> None:
    upload(page, talk)
    assert shown_words(page) == ["nine", "apples", "please"]
    assert page.inner_text("#summary") == "0:03 · 3 words · 76 % sure"
    lines = [line.inner_text().split() for line in page.query_selector_all("#words p")]
    assert lines == [["0:00", "nine", "apples"], ["0:02", "please"]]
    shading = "button => getComputedStyle(button).backgroundColor"
    sure, unsure, _ = (
        page.eval_on_selector(f"#words button:text-is('{word['word']}')", shading)
        for word in WORDS
    )
    assert sure != unsure
    (form,) = stand_in.forms
    for name, value in (
        ("response_format", "verbose_json"),
        ("timestamp_granularities[]", "word"),
    ):
        assert f'name="{name}"\r\n\r\n{value}\r\n' in form
    assert 'filename="talk.wav"' in form


def test_a_dropped_file_is_transcribed(page: Any, talk: Path) -> None:
    content = list(talk.read_bytes())
    transfer = page.evaluate_handle(
        """content => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(content)], "dropped.wav"));
            return transfer;
        }""",
        content,
    )
    page.dispatch_event("body", "dragenter", {"dataTransfer": transfer})
    assert "dragging" in page.get_attribute("body", "class")
    page.dispatch_event("body", "drop", {"dataTransfer": transfer})
    page.wait_for_selector("#summary:not(:empty)")
    assert page.inner_text("#name") == "dropped.wav"
    assert "dragging" not in page.get_attribute("body", "class")


def test_the_waveform_and_the_features_are_drawn(page: Any, talk: Path) -> None:
    upload(page, talk)
    for canvas in ("wave", "mel"):
        colors = page.eval_on_selector(
            f"#{canvas}",
            """canvas => {
                const size = [0, 0, canvas.width, canvas.height];
                const { data } = canvas.getContext("2d").getImageData(...size);
                return new Set(new Uint32Array(data.buffer)).size;
            }""",
        )
        assert colors > 3


def watch_player(page: Any) -> Callable[[int], None]:
    """Return a function that waits until the player has started and paused a number of times."""
    page.evaluate(
        """() => {
            const button = document.getElementById("play");
            window.labels = [];
            const log = () => labels.push(button.ariaLabel);
            new MutationObserver(log).observe(button, {attributeFilter: ["aria-label"]});
        }"""
    )

    def wait(times: int) -> None:
        while page.evaluate("labels").count("Play") < times:
            page.wait_for_timeout(50)
        assert page.evaluate("labels") == ["Pause", "Play"] * times

    return wait


def test_a_click_on_a_word_plays_only_that_word(page: Any, talk: Path) -> None:
    upload(page, talk)
    wait_for_player = watch_player(page)
    page.click("#words button:text-is('apples')")
    wait_for_player(1)
    page.wait_for_selector("#words button.now:text-is('apples')")
    page.wait_for_selector("#timeline[aria-valuenow='0.5']")


def test_the_keyboard_moves_between_words_and_plays_them(page: Any, talk: Path) -> None:
    upload(page, talk)
    wait_for_player = watch_player(page)
    page.focus("#words button")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    wait_for_player(1)
    page.wait_for_selector("#words button.now:text-is('please')")
    page.keyboard.press("Home")
    assert page.inner_text("#words button:focus") == "nine"
    page.keyboard.press("Tab")  # one stop for all words
    assert page.evaluate("document.activeElement.id") == "copy"


def test_the_timeline_is_a_slider(page: Any, talk: Path) -> None:
    upload(page, talk)
    page.focus("#timeline")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#timeline[aria-valuenow='2.0']")
    page.keyboard.press("End")
    page.wait_for_selector("#timeline[aria-valuenow='3.0']")
    box = page.locator("#timeline").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 4, box["y"] + 10)
    page.wait_for_selector("#timeline[aria-valuenow='0.8']")
    assert page.get_attribute("#timeline", "aria-valuetext") == "0:00 of 0:03"


def test_subtitles_and_json_can_be_saved(page: Any, talk: Path) -> None:
    upload(page, talk)
    assert save(page, "srt") == (
        "1\n00:00:00,200 --> 00:00:01,300\nnine apples\n\n"
        "2\n00:00:02,100 --> 00:00:02,900\nplease\n"
    )
    assert save(page, "vtt").startswith("WEBVTT\n\n00:00:00.200 --> 00:00:01.300\nnine")
    transcript = read_transcript(page)
    assert transcript["text"] == "nine apples please"
    assert [word["text"] for word in transcript["words"]] == ["nine", "apples", "please"]
    assert transcript["duration"] == 3.0


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_state_is_accessible_and_fits_the_screen(
    width: int, scheme: str, stand_in: StandIn, visit: Visit, talk: Path
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    size = {"width": width, "height": 800}
    options = {"viewport": size, "color_scheme": scheme, "expected_errors": True}
    page = visit(stand_in.url, **options)
    wait_until_ready(page)

    def check() -> None:
        results = axe.run(page)
        assert results.violations_count == 0, results.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth") <= width

    check()
    upload(page, talk)
    check()
    stand_in.failures.append((400, "talk.wav has a damaged header."))
    page.set_input_files("#file", talk)
    page.wait_for_selector("#error:not([hidden])")
    check()
    page.click("#record")
    page.wait_for_selector("[data-state=recording]")
    check()


@pytest.mark.parametrize(
    ("status", "message", "shown"),
    [
        (400, "talk.wav: not audio.", r"talk\.wav: not audio\."),
        (429, "queue full", r"The server is busy\. Try again in a few seconds\."),
        (413, "too large", r"The recording is too large for this server\."),
    ],
)
def test_an_error_is_one_sentence_and_the_next_recording_works(
    status: int,
    message: str,
    shown: str,
    stand_in: StandIn,
    visit: Visit,
    talk: Path,
) -> None:
    page = visit(stand_in.url, expected_errors=True)  # the browser logs the status
    wait_until_ready(page)
    stand_in.failures.append((status, message))
    page.set_input_files("#file", talk)
    page.wait_for_selector("#error:not([hidden])")
    assert re.fullmatch(shown, page.inner_text("#error"))
    upload(page, talk)
    assert not page.is_visible("#error")


def test_a_key_is_asked_for_if_the_server_needs_one(
    stand_in: StandIn, visit: Visit, talk: Path
) -> None:
    stand_in.key = "secret"
    page = visit(stand_in.url, expected_errors=True)
    page.wait_for_selector("#error:text-is('This server needs an API key.')")
    page.fill("#key", "wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("#error:text-is('The server refuses this API key.')")
    page.fill("#key", "secret")
    page.keyboard.press("Enter")
    wait_until_ready(page)
    assert not page.is_visible("#key")
    upload(page, talk)


def test_a_recording_that_the_browser_cannot_play_is_still_transcribed(
    page: Any, tmp_path: Path
) -> None:
    path = tmp_path / "talk.amr"
    path.write_bytes(b"#!AMR\n" + bytes(100))
    upload(page, path)
    assert shown_words(page) == ["nine", "apples", "please"]
    assert not page.is_visible("#timeline")
    assert not page.is_visible("#play")


def test_a_recording_is_uploaded_if_the_server_has_no_streams(
    stand_in: StandIn, visit: Visit
) -> None:
    page = visit(stand_in.url, expected_errors=True)  # the stream is refused
    wait_until_ready(page)
    record(page, 1)
    assert shown_words(page) == ["nine", "apples", "please"]
    assert 'filename="recording.wav"' in stand_in.forms[0]
