"""Engines: torch and ONNX Runtime give the same words, from a model or an exported file."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import asr
from asr import audio
from asr.data.manifest import read_manifest
from asr.errors import ConfigError, ModelError
from asr.inference import model as module
from asr.inference.longform import compute_emissions
from asr.inference.model import load_model
from asr.inference.onnx_model import OnnxModel
from asr.inference.transcriber import Transcriber
from asr.nn.checkpoint import read_checkpoint
from asr.nn.ctc import CTCModel
from asr.nn.onnx_export import DEFAULTS, build_onnx


@pytest.fixture(scope="module")
def checkpoint(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a random head, which emits many letters, because the trained one emits none."""
    model = CTCModel.load(trained / "model.safetensors")
    torch.manual_seed(0)
    with torch.no_grad():
        model.head.weight.normal_()
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    model.save(path)
    return path


@pytest.fixture(scope="module")
def exported(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    path.write_bytes(build_onnx(*read_checkpoint(checkpoint)).SerializeToString())
    return path


def test_both_engines_and_the_exported_file_give_the_same_words(
    checkpoint: Path, exported: Path, corpus: Path
) -> None:
    recordings = read_manifest(corpus / "manifests" / "synthetic" / "test.jsonl")[:5]
    by_torch = asr.load(checkpoint, engine="torch")
    for other in (asr.load(checkpoint, engine="onnx"), asr.load(exported)):
        for recording in recordings:
            expected = by_torch.transcribe(recording.audio)
            hypothesis = other.transcribe(recording.audio)
            assert len(expected.text) > 5
            assert hypothesis.text == expected.text
            assert hypothesis.score == pytest.approx(expected.score, abs=1e-2)
            for word, reference in zip(hypothesis.words, expected.words, strict=True):
                assert word[:3] == pytest.approx(reference[:3])
                assert word.confidence == pytest.approx(reference.confidence, abs=1e-3)


def test_long_recordings_are_computed_in_windows(checkpoint: Path, recording) -> None:
    path = recording("long.wav", 65.0)
    by_torch, by_onnx = (load_model(checkpoint, engine=e) for e in ("torch", "onnx"))
    rows = [compute_emissions(model, path).rows()[0] for model in (by_torch, by_onnx)]
    assert rows[0].shape == rows[1].shape
    assert np.abs(rows[0] - rows[1]).max() < 1e-3


@pytest.mark.parametrize("samples", [0, 1, 511, 512, 671, 672, 16_000, 16_001])
def test_numbers_of_frames_are_those_of_torch(
    checkpoint: Path, exported: Path, samples: int
) -> None:
    model = OnnxModel(exported)
    assert model.num_frames(samples) == CTCModel.load(checkpoint).num_frames(samples)
    emissions = model.compute_emissions([np.zeros(samples, np.float32)])
    assert emissions.lengths.tolist() == [model.num_frames(samples)]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_share_a_batch_and_keep_its_order(
    checkpoint: Path, sound, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
    model = OnnxModel(checkpoint)
    waveforms = [sound(seconds, seed=i) for i, seconds in enumerate([0.8, 0.01, 1.5, 0.4])]
    rows = model.compute_emissions(waveforms).rows()
    for row, waveform in zip(rows, waveforms, strict=True):
        (alone,) = model.compute_emissions([waveform]).rows()
        assert len(row) == model.num_frames(len(waveform))
        np.testing.assert_allclose(row, alone, atol=1e-4)


def test_auto_is_onnx_on_a_cpu_and_torch_without_the_package(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(load_model(checkpoint), OnnxModel)
    assert isinstance(load_model(checkpoint, engine="torch"), CTCModel)
    monkeypatch.setattr(module, "is_installed", lambda name: False)
    assert isinstance(load_model(checkpoint), CTCModel)
    with pytest.raises(ConfigError, match=r"pip install 'asr\[onnx\]'"):
        load_model(checkpoint, engine="onnx")


def test_auto_is_torch_for_a_model_that_onnx_cannot_express(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DEFAULTS["encoder"], "class", "Other")
    assert isinstance(load_model(checkpoint), CTCModel)
    with pytest.raises(ModelError, match="ONNX supports the encoder class Other"):
        load_model(checkpoint, engine="onnx")


@pytest.mark.parametrize("threads", ["", "2", "4,2", "x"])
def test_every_value_of_openmp_is_accepted(
    exported: Path, monkeypatch: pytest.MonkeyPatch, threads: str
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    assert OnnxModel(exported).num_frames(16_000)


def test_a_folder_with_the_name_of_a_package_is_not_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "no_such_package").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert not module.is_installed("no_such_package")
    assert module.is_installed("numpy")


def test_wrong_files_and_devices_are_refused_in_one_line(
    exported: Path, checkpoint: Path, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.onnx"
    wrong.write_bytes(b"not a graph")
    with pytest.raises(ModelError, match=r"wrong.onnx: not a file of asr.export"):
        load_model(wrong)
    with pytest.raises(ModelError, match="no such model"):
        load_model(tmp_path / "none.onnx")
    older = tmp_path / "older.onnx"
    older.write_bytes(exported.read_bytes().replace(b"asr-onnx-1", b"asr-onnx-0"))
    with pytest.raises(ModelError, match="export the model again"):
        load_model(older)
    with pytest.raises(ConfigError, match="engine=torch needs"):
        load_model(exported, engine="torch")
    with pytest.raises(ConfigError, match="device=cuda"):
        load_model(checkpoint, engine="onnx", device="cuda")
    with pytest.raises(ConfigError, match="device=cuda"):
        load_model(exported, device="cuda")


def test_8_bit_weights_give_nearly_the_same_words(
    checkpoint: Path, tmp_path: Path, corpus: Path
) -> None:
    path = tmp_path / "int8.onnx"
    model = build_onnx(*read_checkpoint(checkpoint), int8=True)
    path.write_bytes(model.SerializeToString())
    recordings = read_manifest(corpus / "manifests" / "synthetic" / "test.jsonl")[:5]
    waveforms = [audio.load(each.audio) for each in recordings]
    full, rounded = (
        m.compute_emissions(waveforms) for m in (load_model(checkpoint), OnnxModel(path))
    )
    for row, other in zip(full.rows(), rounded.rows(), strict=True):
        assert 0 < np.abs(np.exp(row) - np.exp(other)).max() < 0.1


def test_onnx_does_not_import_torch(checkpoint: Path, recording) -> None:
    code = (
        "import sys\nfrom asr.transcribe import main\n"
        f"sys.argv = ['', {str(recording('a.wav', 0.5))!r}, "
        f"'checkpoint={checkpoint}', 'engine=onnx', 'format=json']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False"


def test_a_transcriber_takes_any_model(exported: Path, recording) -> None:
    path = recording("a.wav", 0.5)
    hypothesis = Transcriber(OnnxModel(exported)).transcribe(path)
    assert hypothesis == asr.load(exported).transcribe(path)


def test_the_ten_lines_of_the_documentation_print_the_words(
    checkpoint: Path, exported: Path, corpus: Path, tmp_path: Path
) -> None:
    page = Path(__file__).parents[2] / "docs" / "how-to" / "onnx.md"
    (code,) = re.findall(
        r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL
    )
    utterance = read_manifest(corpus / "manifests" / "synthetic" / "test.jsonl")[0]
    command = [sys.executable, "-c", code, exported, utterance.audio]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    expected = asr.load(checkpoint, engine="torch").transcribe(utterance.audio)
    assert done.stdout.split() == expected.text.split()
    assert expected.text
