"""Shared fixtures: sounds, recordings, small models, a server, and real corpora if available."""

import contextlib
import errno
import http.server
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any

os.environ.setdefault(
    "OMP_WAIT_POLICY", "passive"
)  # threads that spin need an idle machine

import numpy as np
import pytest
import soundfile
import torch
import yaml
from hypothesis import settings

from asr import audio
from asr.data.manifest import Utterance
from asr.nn.ctc import CTCModel
from asr.processes import can_start_workers
from asr.text import Tokenizer

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"
LOGMEL = {"_target_": "asr.nn.features.LogMel"}
ENCODER = {
    "_target_": "asr.nn.encoder.Encoder",
    "channels": 4,
    "hidden_size": 12,
    "num_layers": 2,
    "dropout": 0.1,
}

settings.register_profile("asr", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("asr")


@pytest.fixture(scope="session")
def sound() -> Callable[..., np.ndarray]:
    """Return make(seconds, rate, seed), which returns a waveform (S,) of tones and noise."""

    def make(seconds: float, rate: int = 16_000, seed: int = 0) -> np.ndarray:
        rng = np.random.default_rng(seed)
        time = np.arange(round(seconds * rate)) / rate
        swell = 0.5 - 0.5 * np.cos(2 * np.pi * 3 * time)
        tones = sum(
            np.sin(2 * np.pi * f * time + p)
            for f, p in zip(rng.uniform(150, 2500, 4), range(4), strict=True)
        )
        return (0.15 * swell * tones + 0.003 * rng.standard_normal(len(time))).astype(
            np.float32
        )

    return make


@pytest.fixture
def recording(tmp_path: Path, sound: Callable[..., np.ndarray]) -> Callable[..., Path]:
    """Return write(name, seconds, rate=, seed=), which writes a sound and returns its path."""

    def write(
        name: str, seconds: float, *, rate: int = 16_000, seed: int = 0, **options: Any
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, sound(seconds, rate, seed), rate, **options)
        return path

    return write


@pytest.fixture
def utterances(recording: Callable[..., Path]) -> list[Utterance]:
    """Return six recordings of different lengths with transcripts."""
    texts = ("one", "two three", "", "four", "five six seven", "eight")
    lengths = (0.5, 0.81, 0.33, 0.62, 1.2, 0.47)
    return [
        Utterance(
            recording(f"{i}.wav", seconds, seed=i), seconds, text, speaker=f"s{i % 2}"
        )
        for i, (seconds, text) in enumerate(zip(lengths, texts, strict=True))
    ]


@pytest.fixture(scope="session")
def build() -> Callable[..., CTCModel]:
    """Return make(**encoder settings), which returns an untrained model, by default a small one."""

    def make(
        *,
        tokenizer: Tokenizer | None = None,
        features: dict[str, Any] | None = None,
        **encoder: Any,
    ) -> CTCModel:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return CTCModel(
                features={**LOGMEL, **(features or {})},
                encoder={**ENCODER, **encoder},
                tokenizer=tokenizer or Tokenizer.english(),
            ).eval()

    return make


@pytest.fixture(scope="session")
def size(build: Callable[..., CTCModel]) -> Callable[[str], CTCModel]:
    """Return a function that maps "tiny" to an untrained model with the default features."""

    def read(path: str) -> dict[str, Any]:
        return dict(yaml.safe_load((ROOT / "conf" / path).read_text()))

    def make(name: str) -> CTCModel:
        encoder = {**read(f"model/{name}.yaml"), "dropout": 0.0}
        model = build(features=read("features/logmel.yaml"), **encoder)
        model.features.cmvn_mean.fill_(-8.0)  # about AN4's
        model.features.cmvn_std.fill_(2.5)
        return model

    return make


@pytest.fixture(scope="session")
def real() -> Callable[..., list[np.ndarray]]:
    """Return pick(corpus, count, shortest, longest), which loads utterances of varying lengths."""

    def pick(corpus: str, count: int, shortest: float, longest: float) -> list[np.ndarray]:
        if not (SHARED / corpus).is_dir():
            pytest.skip(f"needs the shared corpora in {SHARED}")
        by_length = defaultdict(list)
        for path in audio.find_recordings(SHARED / corpus):
            seconds = audio.info(path).duration
            if shortest <= seconds <= longest:
                by_length[seconds].append(path)
        rounds = zip_longest(*by_length.values())
        paths = filter(None, chain.from_iterable(rounds))
        return [audio.load(path) for path in islice(paths, count)]

    return pick


@pytest.fixture
def without_semaphores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make the system fail to create semaphores, like a sandbox without /dev/shm."""

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr("multiprocessing.synchronize.SemLock.__init__", fail)
    can_start_workers.cache_clear()
    yield
    can_start_workers.cache_clear()


@pytest.fixture
def exact_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make products on a GPU as exact as on a CPU. By default cuDNN rounds factors to 10 bits."""
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.fixture(scope="session")
def shared_file() -> Callable[[str, str], Path]:
    """Return pick(corpus, extension): the path of a recording of a shared corpus."""

    def pick(corpus: str, extension: str) -> Path:
        path = next((SHARED / corpus).rglob(f"*.{extension}"), None)
        if path is None:
            pytest.skip(f"needs the shared corpora in {SHARED}")
        return path

    return pick


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small synthetic corpus with manifests: about a minute of speech."""
    from recipes import synthetic

    root = tmp_path_factory.mktemp("corpus")
    synthetic.prepare(root=root, hours=0.02)
    return root


@pytest.fixture(scope="session")
def trained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a very small model for two epochs on the small corpus and return the run's folder."""
    from asr.config import app as cli
    from asr.train import train

    folder = tmp_path_factory.mktemp("run")
    model = ["model.hidden_size=24", "model.num_layers=1", "model.channels=4"]
    data = [f"data.root={corpus}", "data.workers=0", "data.batch_seconds=20"]
    train(
        cli.compose(
            "train",
            [
                *model,
                *data,
                f"dir={folder}",
                "trainer.accelerator=cpu",
                "trainer.max_epochs=2",
            ],
        )
    )
    return folder


class Server:
    """An HTTP server of files by path."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.ranges = True  # whether the server supports byte ranges
        self.drops: list[int] = []  # bytes after which each of the next answers breaks off
        self.status: list[int] = []  # error codes of the next answers
        self.asked: list[tuple[str, str | None]] = []  # path and range of each request
        self.silence = 0.0  # seconds before each answer
        self.url = ""

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        """Answer a GET request with a file, a range of it, or an error."""
        requested = request.headers.get("Range")
        self.asked.append((request.path, requested))
        time.sleep(self.silence)
        body = self.files.get(request.path)
        if self.status or body is None:
            request.send_error(self.status.pop(0) if self.status else 404)
            return
        byte_range = (requested or "") if self.ranges else ""
        first, _, last = byte_range.removeprefix("bytes=").partition("-")
        start, stop = int(first or 0), min(int(last or len(body)) + 1, len(body))
        if start and start >= len(body):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(body)}")
            request.end_headers()
            return
        request.send_response(206 if first else 200)
        request.send_header("Content-Length", str(stop - start))
        request.end_headers()
        end = start + self.drops.pop(0) if self.drops else stop
        with contextlib.suppress(ConnectionError):  # the client closed the connection
            request.wfile.write(body[start:end])


@pytest.fixture
def server() -> Iterator[Server]:
    """Return a running server, which stops after the test."""
    server = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.answer(self)

        def log_message(self, *args: object) -> None:
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{httpd.server_port}"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    httpd.shutdown()
    httpd.server_close()
    thread.join()
