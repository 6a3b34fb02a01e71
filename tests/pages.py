"""Serve the page to a browser, and use it as a person does."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Visit = Callable[..., Any]


class FileHandler(http.server.SimpleHTTPRequestHandler):
    """Serve files without a log."""

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serve(handler: Callable[..., Any]) -> Iterator[str]:
    """Yield the URL of a running server."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


def wait_until_ready(page: Any) -> None:
    page.wait_for_selector("[data-state=ready]")


def upload(page: Any, path: Path) -> None:
    """Choose a recording, and wait for its words."""
    page.set_input_files("#file", path)
    wait_until_ready(page)  # the file before may have the same name
    page.wait_for_selector(f"#name:text-is('{path.name}')")
    page.wait_for_selector("#summary:not(:empty)")


KEEP_FILE = """() => {
    const make = window.make ??= URL.createObjectURL;
    URL.createObjectURL = (blob) => make.call(URL, window.saved = blob);
}"""


def save(page: Any, extension: str) -> str:
    """Return the content of a file that the page saves. Browsers limit frequent downloads."""
    page.evaluate(KEEP_FILE)
    page.click(f"[data-format={extension}]")
    return str(page.evaluate("() => window.saved.text()"))


def read_transcript(page: Any) -> dict[str, Any]:
    """Return the transcript that the page shows."""
    return dict(json.loads(save(page, "json")))


def record(page: Any, seconds: float, *, live: bool = False) -> None:
    """Record from the microphone, if `live` at least until words appear, and wait for the words."""
    page.click("#record")
    page.wait_for_selector("[data-state=recording]")
    if live:
        page.wait_for_selector("#words button")
    while int(page.inner_text("#clock").rpartition(":")[2]) < seconds:
        page.wait_for_timeout(50)
    page.click("#record")
    page.wait_for_selector("#summary:not(:empty)")
