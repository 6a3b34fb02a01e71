"""A browser and an exported page."""

import functools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from pages import FileHandler, Visit, serve

from asr import audio
from asr.errors import ConfigError
from asr.inference.browser import RUNTIME_FILES, download_runtime
from asr.nn.ctc import CTCModel
from asr.nn.emissions import BoundaryOffsets, Calibration
from asr.text import Tokenizer

WAIT = 600_000  # milliseconds; only a page that hangs needs them
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MICROPHONE = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")


@pytest.fixture(scope="session")
def clips(corpus: Path) -> list[Path]:
    return audio.find_recordings(corpus)


@pytest.fixture(scope="session")
def chromium(clips: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return a headless Chromium whose microphone records the first clip, or skip the test."""
    api = pytest.importorskip("playwright.sync_api")
    path = shutil.which(os.environ.get("ASR_CHROMIUM", "")) or next(
        filter(None, map(shutil.which, NAMES)), None
    )
    if path is None:
        pytest.skip("needs Chromium in PATH or in ASR_CHROMIUM")
    spoken = tmp_path_factory.mktemp("microphone") / "spoken.wav"
    soundfile.write(spoken, audio.load(clips[0]), audio.SAMPLE_RATE)
    arguments = [*MICROPHONE, f"--use-file-for-fake-audio-capture={spoken}%noloop"]
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", *arguments], timeout=WAIT
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Any) -> Iterator[Visit]:
    """Return open(url, **context), which opens a page.

    At the end, no page may have logged an error or sent a request to another host.
    """
    contexts, problems, requests = [], [], []

    def visit(url: str, *, expected_errors: bool = False, **options: Any) -> Any:
        context = chromium.new_context(**options)
        context.set_default_timeout(WAIT)
        context.set_default_navigation_timeout(WAIT)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: requests.append((url, request.url)))
        page.on("pageerror", lambda error: problems.append(str(error)))
        if not expected_errors:
            page.on(
                "console", lambda message: problems.append((message.type, message.text))
            )
        page.goto(url)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert [problem for problem in problems if problem[0] != "verbose"] == []
    for url, request in requests:
        assert request.startswith((url, f"blob:{url}")), request


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory, build: Callable[..., CTCModel]) -> Path:
    """Return an untrained model that emits words, with a calibration and offsets of words."""
    model = build(tokenizer=Tokenizer(tuple(" abcd")))
    with torch.no_grad():
        model.head.weight *= 3
        model.head.bias[model.tokenizer.index(" ")] += 0.3
    model.calibration = Calibration(0.8, 0.6, 0.2)
    model.boundary_offsets = BoundaryOffsets(0.03, 0.05)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    model.save(path)
    return path


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files of ONNX Runtime, or skip the test."""
    try:
        contents = download_runtime()
    except ConfigError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("runtime")
    for name in RUNTIME_FILES:
        (folder / name).write_bytes(contents[name])
    return folder


@pytest.fixture(scope="session")
def site(
    model: Path, runtime: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Yield the URL of an exported folder."""
    from asr.export import export

    folder = tmp_path_factory.mktemp("site")
    settings = ["target=web", f"output={folder}", f"runtime={runtime}"]
    assert list(export([str(model)], settings)) == []
    with serve(functools.partial(FileHandler, directory=folder)) as url:
        yield url
