"""Compare the page of asr.export with Python: words of recordings, and speed.

    python benchmarks/browser.py outputs/demo/model.safetensors data/synthetic/test

Needs Chromium and npm. The page runs with one thread, as on most web servers.
"""

import argparse
import functools
import http.server
import json
import os
import shutil
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, sync_playwright

import asr
from asr.audio import find_recordings
from asr.inference.browser import write_page
from asr.nn.checkpoint import read_checkpoint
from asr.nn.onnx_export import build_onnx

WAIT = 600_000  # milliseconds


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serve files without a log."""

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def upload(page: Page, path: Path) -> float:
    """Transcribe a recording, and return the seconds that it takes."""
    start = time.perf_counter()
    page.set_input_files("#file", path)
    page.wait_for_selector(f"#name:text-is('{path.name}')")
    page.wait_for_selector("#summary:not(:empty)")
    return time.perf_counter() - start


def read_transcript(page: Page) -> dict:
    """Return the transcript that the page shows."""
    if page.is_visible("#none"):
        return {"text": "", "duration": 0.0}
    with page.expect_download() as download:
        page.click("[data-format=json]")
    return json.loads(Path(download.value.path()).read_text(encoding="utf-8"))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="model.safetensors")
    parser.add_argument("recordings", type=Path, nargs="+", help="files or folders")
    parser.add_argument("--count", type=int, default=20, help="recordings (20)")
    parser.add_argument("--int8", action="store_true", help="export 8-bit weights")
    options = parser.parse_args()
    paths = [
        p for r in options.recordings for p in (find_recordings(r) if r.is_dir() else [r])
    ]
    paths = paths[:: max(1, len(paths) // options.count)][: options.count]
    transcriber = asr.load(options.model)
    chromium = shutil.which(os.environ.get("ASR_CHROMIUM", "chromium"))
    requests = set()
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        write_page(
            build_onnx(*read_checkpoint(options.model), int8=options.int8), Path(folder)
        )
        server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(Handler, directory=folder)
        )
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"]
        )
        page = browser.new_page()
        page.set_default_timeout(WAIT)
        page.on("request", lambda request: requests.add(request.url.split("/")[2]))
        start = time.perf_counter()
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.wait_for_selector("[data-state=ready]")
        print(f"ready after {time.perf_counter() - start:.1f} s")
        upload(page, paths[0])  # warms up
        equal, seconds, elapsed = 0, 0.0, 0.0
        for path in paths:
            elapsed += upload(page, path)
            shown = read_transcript(page)
            seconds += shown["duration"]
            expected = transcriber.transcribe(path).text
            equal += shown["text"] == expected
            if shown["text"] != expected:
                print(f"{path}\n  browser: {shown['text']}\n  Python:  {expected}")
        print(f"{equal} of {len(paths)} recordings have the same words")
        print(f"real-time factor {elapsed / seconds:.3f} for {seconds:.0f} s of audio")
        print(f"hosts: {', '.join(sorted(requests))}")
        browser.close()
        server.shutdown()


if __name__ == "__main__":
    main()
