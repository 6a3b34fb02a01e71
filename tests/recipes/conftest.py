"""Tones as recordings, a server that misbehaves on demand, the shared corpora as publishers lay them out."""

import contextlib
import http.server
import runpy
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from asr.data.manifest import Utterance, read_manifest

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture(scope="session")
def tone() -> Callable[..., Path]:
    """tone(path, seconds, rate): a recording of a tone at `path`, in the format of its ending."""

    def write(path: Path, seconds: float = 0.1, rate: int = 16_000, **options: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * np.sin(np.arange(round(seconds * rate)) * 0.2), rate, **options)
        return path

    return write


@pytest.fixture(scope="session")
def manifest() -> Callable[[Path, str, str], list[Utterance]]:
    """manifest(root, corpus, split): the utterances of the manifest that a recipe wrote."""
    return lambda root, corpus, split: read_manifest(root / "manifests" / corpus / f"{split}.jsonl")


class Server:
    """Files by path over HTTP. `drops`: for each answer to come, the bytes after which it breaks off."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.ranges = True
        self.drops: list[int] = []
        self.status: list[int] = []  # for each answer to come
        self.asked: list[tuple[str, str | None]] = []  # path and range of each request
        self.url = ""

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        asked = request.headers.get("Range")
        self.asked.append((request.path, asked))
        body = self.files.get(request.path)
        if self.status or body is None:
            request.send_error(self.status.pop(0) if self.status else 404)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.ranges else 0
        if start and start >= len(body):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(body)}")
            request.end_headers()
            return
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(body) - start))
        request.end_headers()
        end = start + self.drops.pop(0) if self.drops else len(body)
        with contextlib.suppress(ConnectionError):  # a client that has had enough
            request.wfile.write(body[start:end])


@pytest.fixture
def server() -> Iterator[Server]:
    serving = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            serving.answer(self)

        def log_message(self, *args: object) -> None:
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving.url = f"http://127.0.0.1:{httpd.server_port}"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield serving
    httpd.shutdown()
    httpd.server_close()
    thread.join()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """shared("an4"): a folder with that corpus as its publisher lays it out; skips where it is absent.

    Links stand in for decoded copies: only headers are read, and libsndfile goes by content, not by name.
    """
    if not (SHARED / "unpack.py").exists():
        pytest.skip(f"needs the shared corpora beside the repository, in {SHARED}")
    unpack = SimpleNamespace(**runpy.run_path(str(SHARED / "unpack.py")))

    def link(source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source)

    def lay_out(corpus: str) -> Path:
        step = getattr(unpack, corpus)
        step.__globals__["decode"] = link
        root = tmp_path_factory.mktemp(corpus)
        step(root)
        return root

    return lay_out
