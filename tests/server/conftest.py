"""Fixtures: running servers, and recordings for them."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from serving import LIMITS, Gated, Running, Serve, wait_until

from asr import audio
from asr.data.manifest import read_manifest
from asr.inference.transcriber import Transcriber
from asr.server.app import create_app
from asr.server.limits import Limits
from asr.server.metrics import Metrics
from asr.server.run import bind, create_server
from asr.server.service import Service


@pytest.fixture(scope="session")
def transcriber(trained: Path) -> Transcriber:
    return Transcriber.load(trained / "model.safetensors")


@pytest.fixture
def serve(transcriber: Transcriber) -> Iterator[Serve]:
    """Return start(transcriber=, key=, ..., limit=value), which starts a server."""
    running: list[Running] = []

    def start(other: Transcriber | None = None, **options: Any) -> Running:
        changed = {name: options.pop(name) for name in LIMITS if name in options}
        limits = Limits(**{**LIMITS, **changed})
        metrics = Metrics()
        app = create_app(Service(other or transcriber, limits, metrics), **options)
        listener = bind("127.0.0.1", 0)
        port = listener.getsockname()[1]
        server = create_server(app, limits)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        running.append(Running(port, server, metrics, thread))
        wait_until(lambda: server.started)
        return running[-1]

    yield start
    for each in running:
        each.stop()


@pytest.fixture
def gated(transcriber: Transcriber) -> Iterator[Gated]:
    gated = Gated(transcriber)
    yield gated
    gated.gate.set()


@pytest.fixture(scope="session")
def clips(corpus: Path) -> list[Path]:
    """Return three recordings of speech."""
    manifest = corpus / "manifests" / "synthetic" / "test.jsonl"
    return [utterance.audio for utterance in read_manifest(manifest)[:3]]


@pytest.fixture(scope="session")
def speech(clips: list[Path]) -> bytes:
    """Return the content of a recording."""
    return clips[0].read_bytes()


@pytest.fixture(scope="session")
def talk(clips: list[Path]) -> np.ndarray:
    """Return a waveform (S,) at 16 kHz of the clips with pauses of two seconds between them."""
    pause = np.zeros(2 * audio.SAMPLE_RATE, np.float32)
    return np.concatenate([part for clip in clips for part in (audio.load(clip), pause)])


@pytest.fixture
def talk_file(talk: np.ndarray, tmp_path: Path) -> Path:
    path = tmp_path / "talk.wav"
    soundfile.write(path, talk, audio.SAMPLE_RATE)
    return path
