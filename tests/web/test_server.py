"""The page with the real server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import Visit, read_transcript, record, upload, wait_until_ready

import asr

KEY = "se/cr(et)=1"


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[str]:
    """Yield the URL of a server that requires a key."""
    pytest.importorskip("asr.server.app")
    command = [sys.executable, "-m", "asr.serve", f"checkpoint={model}", "port=0"]
    environment = os.environ | {"ASR_API_KEY": KEY}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1] + "/"
        process.terminate()


def test_the_page_shows_what_the_server_recognizes(
    server: str, model: Path, clips: list[Path], visit: Visit
) -> None:
    page = visit(server, expected_errors=True)  # the browser logs that the key is missing
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
