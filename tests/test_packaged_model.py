"""The model of English that comes with the package."""

import csv
from collections.abc import Callable
from pathlib import Path

import jiwer
import numpy as np
import pytest
from entry import Call, caller

import asr
from asr import transcribe
from asr.config.app import compose
from asr.config.build import instantiate
from asr.files import PACKAGED
from asr.inference.transcriber import Transcriber
from asr.nn.checkpoint import read_checkpoint
from asr.text import normalize

SHARED = Path(__file__).parents[2] / "shared" / "data"
MB = 1e6


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    return caller(monkeypatch, capsys)


@pytest.fixture(scope="module")
def english() -> Transcriber:
    return asr.load()


def test_the_files_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in PACKAGED.iterdir()}
    assert sizes["english.safetensors"] < 16 * MB
    assert sizes["english.arpa.gz"] + sizes["english.words"] < 8 * MB


def test_the_model_card_states_the_parameters() -> None:
    _, weights = read_checkpoint(Path("english"))
    parameters = sum(w.size for n, w in weights.items() if not n.startswith("features."))
    assert f"{parameters / 1e6:.1f} million parameters" in (
        PACKAGED / "MODEL_CARD.md"
    ).read_text(encoding="utf-8")


def test_silence_has_no_words(english: Transcriber) -> None:
    assert english.transcribe(np.zeros(80_000, np.float32), sample_rate=16_000).text == ""


def test_onnx_runtime_gives_the_words_of_torch(
    english: Transcriber, real: Callable[..., list[np.ndarray]]
) -> None:
    other = asr.load(engine="torch")
    for waveform in real("an4", 8, 1.0, 6.0):
        here, there = (
            model.transcribe(waveform, sample_rate=16_000) for model in (english, other)
        )
        assert here.text == there.text


def test_words_are_printed_without_a_checkpoint(
    call: Call, shared_file: Callable[[str, str], Path]
) -> None:
    path = shared_file("an4", "ogg")
    for override in ([], ["decoder=english"]):
        finished = call(transcribe.main, path, *override)
        assert finished.code == 0, finished.err
        assert finished.out.strip()


def test_a_language_model_lowers_the_error_rate_of_speakers_that_it_has_not_heard(
    english: Transcriber,
) -> None:
    index = SHARED / "speechocean762" / "index.tsv"
    if not index.is_file():
        pytest.skip(f"needs the shared corpora in {SHARED}")
    with index.open(encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file, delimiter="\t") if r["split"] == "test"][
            ::8
        ]
    paths = [index.parent / row["path"] for row in rows]
    references = [normalize(row["text"]) for row in rows]
    decoder = instantiate("decoder", compose("transcribe", ["decoder=english"]).decoder)
    greedy, beam = (
        jiwer.wer(references, [result.text for result in each.transcribe_many(paths)])
        for each in (english, Transcriber(english.model, decoder))
    )
    assert beam < greedy - 0.1
    assert beam < 0.62
