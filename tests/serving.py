"""Servers that run in this process, for tests of `asr.server`."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx2

from asr.inference.transcriber import Transcriber
from asr.server.metrics import Metrics
from asr.server.run import Server

LIMITS: dict[str, Any] = {
    "upload_mb": 20,
    "disk_mb": 100,
    "audio_seconds": 600,
    "queue": 64,
    "workers": 4,
    "idle_seconds": 60,
    "upload_seconds": 600,
    "streams": 4,
    "stream_seconds": 600,
}


@dataclass
class Running:
    """A server in a thread."""

    port: int
    server: Server
    metrics: Metrics
    thread: threading.Thread

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def post(self, content: bytes, **fields: Any) -> httpx2.Response:
        """Send a recording."""
        files = {"file": ("talk.wav", content)}
        address = f"{self.url}/v1/audio/transcriptions"
        return httpx2.post(address, files=files, data=fields, timeout=600)

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)

    def stop(self) -> None:
        """Stop as after SIGTERM and wait for the end."""
        self.server.should_exit = True
        self.thread.join()


Serve = Callable[..., Running]


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds, at most ten minutes."""
    end = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


class Gated(Transcriber):
    """A transcriber that waits for an event before each recording."""

    def __init__(self, other: Transcriber) -> None:
        super().__init__(other.model, other.decoder)
        self.gate = threading.Event()
        self.has_started = threading.Event()

    def transcribe(self, *args: Any, **kwargs: Any) -> Any:
        self.has_started.set()
        assert self.gate.wait(600)
        return super().transcribe(*args, **kwargs)
