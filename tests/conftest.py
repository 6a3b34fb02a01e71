"""What the tests share: sounds, recordings, small models, a server, and the real corpora where they are at hand."""

import contextlib
import http.server
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml
from hypothesis import settings

from asr import audio
from asr.data.manifest import Utterance
from asr.nn.ctc import CTCModel
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
    """sound(seconds, rate, seed): tones that come and go over a little noise, float32 of -1..1, (S,)."""

    def make(seconds: float, rate: int = 16_000, seed: int = 0) -> np.ndarray:
        rng = np.random.default_rng(seed)
        time = np.arange(round(seconds * rate)) / rate
        swell = 0.5 - 0.5 * np.cos(2 * np.pi * 3 * time)
        tones = sum(
            np.sin(2 * np.pi * f * time + p)
            for f, p in zip(rng.uniform(150, 2500, 4), range(4), strict=True)
        )
        return (0.15 * swell * tones + 0.003 * rng.standard_normal(len(time))).astype(np.float32)

    return make


@pytest.fixture
def recording(tmp_path: Path, sound: Callable[..., np.ndarray]) -> Callable[..., Path]:
    """recording(name, seconds, rate=, seed=): a file in the test's own folder, its format by the ending."""

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
    """Six recordings of different lengths with transcripts."""
    texts = ("one", "two three", "", "four", "five six seven", "eight")
    lengths = (0.5, 0.81, 0.33, 0.62, 1.2, 0.47)
    return [
        Utterance(recording(f"{i}.wav", seconds, seed=i), seconds, text, speaker=f"s{i % 2}")
        for i, (seconds, text) in enumerate(zip(lengths, texts, strict=True))
    ]


@pytest.fixture(scope="session")
def build() -> Callable[..., CTCModel]:
    """build(**encoder settings): an untrained model, small and for English unless told otherwise."""

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
    """size("tiny"): the model that conf/model/tiny.yaml describes, untrained, without dropout."""
    return lambda name: build(
        **{**yaml.safe_load((ROOT / f"conf/model/{name}.yaml").read_text()), "dropout": 0.0}
    )


@pytest.fixture(scope="session")
def real() -> Callable[..., list[np.ndarray]]:
    """real(corpus, count, shortest, longest): real utterances, each unlike its neighbours in length."""

    def pick(corpus: str, count: int, shortest: float, longest: float) -> list[np.ndarray]:
        if not (SHARED / corpus).is_dir():
            pytest.skip(f"needs the shared corpora beside the repository, in {SHARED}")
        by_length = defaultdict(list)
        for path in audio.find_recordings(SHARED / corpus):
            seconds = audio.info(path).duration
            if shortest <= seconds <= longest:
                by_length[seconds].append(path)
        rounds = zip_longest(*by_length.values())
        return [
            audio.load(path) for path in islice(filter(None, chain.from_iterable(rounds)), count)
        ]

    return pick


@pytest.fixture
def exact_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU's products in float32 as a CPU has them; cuDNN rounds factors to 10 bits unless told not to."""
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.fixture(scope="session")
def shared_file() -> Callable[[str, str], Path]:
    """shared_file(corpus, ending): one recording of a shared corpus in that format."""

    def pick(corpus: str, ending: str) -> Path:
        found = next((SHARED / corpus).rglob(f"*.{ending}"), None)
        if found is None:
            pytest.skip(f"needs the shared corpora beside the repository, in {SHARED}")
        return found

    return pick


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a small built-in corpus, manifests included: about a minute of synthetic speech."""
    from recipes import synthetic

    root = tmp_path_factory.mktemp("corpus")
    synthetic.prepare(root=root, hours=0.02)
    return root


@pytest.fixture(scope="session")
def trained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two epochs over the small corpus with a very small model."""
    from asr.config import app as cli
    from asr.train import train

    folder = tmp_path_factory.mktemp("run")
    model = ["model.hidden_size=24", "model.num_layers=1", "model.channels=4"]
    data = [f"data.root={corpus}", "data.workers=0", "data.batch_seconds=20"]
    train(
        cli.compose(
            "train",
            [*model, *data, f"dir={folder}", "trainer.accelerator=cpu", "trainer.max_epochs=2"],
        )
    )
    return folder


class Server:
    """Files by path over HTTP.

    `drops`: for each answer to come, the bytes after which it breaks off; `silence`: seconds before each answer.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.ranges = True
        self.drops: list[int] = []
        self.status: list[int] = []  # for each answer to come
        self.asked: list[tuple[str, str | None]] = []  # path and range of each request
        self.silence = 0.0
        self.url = ""

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        asked = request.headers.get("Range")
        self.asked.append((request.path, asked))
        time.sleep(self.silence)
        body = self.files.get(request.path)
        if self.status or body is None:
            request.send_error(self.status.pop(0) if self.status else 404)
            return
        first, _, last = (
            (asked or "").removeprefix("bytes=").partition("-") if self.ranges else ("", "", "")
        )
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
