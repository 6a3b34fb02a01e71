"""The page with the real server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pages import Visit, read_transcript, record, upload, wait_until_ready

import asr

KEY = "se/cr(et)=1"


@contextmanager
def serve(
    model: Path, *settings: str, key: str = ""
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Yield the URL of a server and its process."""
    pytest.importorskip("asr.server.app")
    command = [
        sys.executable,
        "-m",
        "asr.serve",
        f"checkpoint={model}",
        "port=0",
        *settings,
    ]
    environment = os.environ | ({"ASR_API_KEY": key} if key else {})
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1] + "/", process
        process.terminate()


def test_the_page_shows_what_the_server_recognizes(
    model: Path, clips: list[Path], visit: Visit
) -> None:
    with serve(model, key=KEY) as (url, _):
        check_words(visit(url, expected_errors=True), model, clips)


def check_words(page: Any, model: Path, clips: list[Path]) -> None:
    page.fill("#key", KEY)
    page.keyboard.press("Enter")
    wait_until_ready(page)
    upload(page, clips[0])
    expected = asr.load(model).transcribe(clips[0]).to_dict()
    shown = read_transcript(page)
    assert shown["text"] == expected["text"]
    assert [word["start"] for word in shown["words"]] == pytest.approx(
        [word["start"] for word in expected["words"]], abs=2e-3
    )
    uploads = []
    page.on("request", lambda request: uploads.append(request.method == "POST"))
    record(page, 2)  # through the WebSocket
    assert read_transcript(page)["words"]
    assert not any(uploads)


def test_a_stream_that_the_server_ends_keeps_its_words(model: Path, visit: Visit) -> None:
    with serve(model, "limits.stream_seconds=4") as (url, _):
        page = visit(url)
        uploads = []
        page.on("request", lambda request: uploads.append(request.method == "POST"))
        page.click("#record")
        page.wait_for_selector("#summary:not(:empty)")
        expected = "The recording was stopped: streams are limited to 4 s."
        assert page.inner_text("#error") == expected
        assert read_transcript(page)["words"]
        assert not any(uploads)


def test_a_recording_keeps_its_words_if_the_server_disappears(
    model: Path, visit: Visit
) -> None:
    with serve(model) as (url, process):
        page = visit(url, expected_errors=True)  # the browser logs the broken connection
        page.click("#record")
        page.wait_for_selector("#words button")
        process.kill()
        page.wait_for_selector("#summary:not(:empty)")
        assert page.inner_text("#error") == "The connection to the server broke. Try again."
        transcript = read_transcript(page)
        assert transcript["words"]
        assert transcript["duration"] > transcript["words"][-1]["end"]
