"""ONNX files: equality with torch, metadata, 8-bit weights."""

import inspect
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from asr import audio
from asr.errors import ModelError
from asr.nn.checkpoint import read_checkpoint
from asr.nn.ctc import CTCModel
from asr.nn.encoder import Encoder
from asr.nn.features import LogMel
from asr.nn.onnx_export import DEFAULTS, FORMAT, build_onnx
from asr.text import Tokenizer

FEATURES = {"class": "LogMel", "normalize": "corpus", "top_db": 60.0}
ENCODER = {"class": "Encoder", "channels": 4, "hidden_size": 12, "num_layers": 3}


def build(features: dict | None = None, encoder: dict | None = None) -> CTCModel:
    torch.manual_seed(0)
    options = {
        "features": FEATURES | (features or {}),
        "encoder": ENCODER | (encoder or {}),
    }
    model = CTCModel(**options, tokenizer=Tokenizer.english())
    model.features.cmvn_mean.normal_()
    model.features.cmvn_std.uniform_(0.5, 2)
    return model.eval()


def export(model: CTCModel, path: Path, **options: bool) -> None:
    """Write the model and its ONNX file."""
    model.save(path.with_suffix(".safetensors"))
    proto = build_onnx(*read_checkpoint(path.with_suffix(".safetensors")), **options)
    path.write_bytes(proto.SerializeToString())


def run(path: Path, waveforms: np.ndarray, lengths: list[int]) -> list[np.ndarray]:
    """Return the log-probabilities (U, V) of each row."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = {"samples": waveforms, "lengths": np.array(lengths)}
    log_probs, frames = session.run(None, inputs)
    return [row[:length] for row, length in zip(log_probs, frames, strict=True)]


def torch_rows(
    model: CTCModel, waveforms: np.ndarray, lengths: list[int]
) -> list[np.ndarray]:
    with torch.inference_mode():
        return model(torch.from_numpy(waveforms), torch.tensor(lengths)).rows()


@pytest.fixture
def batch(sound) -> tuple[np.ndarray, list[int]]:
    """Three waveforms of different lengths with noise as padding."""
    lengths = [32_000, 20_123, 9_000]
    rows = np.random.default_rng(0).normal(0, 0.1, (3, 32_000)).astype(np.float32)
    for i, length in enumerate(lengths):
        rows[i, :length] = sound(2.0, seed=i)[:length]
    return rows, lengths


@pytest.mark.parametrize(
    ("features", "encoder"),
    [
        ({}, {"intermediate": [1, 2]}),
        ({}, {"cell": "lstm"}),
        ({}, {"cell": "rnn", "num_layers": 1}),
        ({}, {"num_layers": 0}),
        ({"normalize": "utterance"}, {}),
        ({"normalize": "speech"}, {}),
        ({"normalize": "speech", "top_db": None}, {}),
        ({"normalize": "none", "top_db": None}, {}),
        ({"window_ms": 20.0625, "hop_ms": 12.5, "n_mels": 33}, {}),  # 321 samples: odd
        ({"window_ms": 32.0, "n_fft": 512}, {}),
        ({"window_ms": 20.0, "hop_ms": 10.0}, {}),  # half a window is one hop
        ({"window_ms": 20.0, "hop_ms": 37.5}, {}),  # a hop is longer than a frame
    ],
    ids=lambda settings: "-".join(map(str, settings.values())) or "default",
)
def test_a_file_computes_what_torch_computes(tmp_path, batch, features, encoder):
    model = build(features, encoder)
    export(model, tmp_path / "a.onnx")
    expected = torch_rows(model, *batch)
    for row, other in zip(run(tmp_path / "a.onnx", *batch), expected, strict=True):
        assert row.shape == other.shape
        assert np.abs(row - other).max() < 1e-4


def test_rows_without_frames_and_short_recordings_have_no_frames(tmp_path, batch):
    model = build()
    export(model, tmp_path / "a.onnx")
    waveforms, _ = batch
    rows = run(tmp_path / "a.onnx", waveforms, [0, 511, 512])
    assert [len(row) for row in rows] == [0, 0, 1]
    assert np.abs(rows[2] - torch_rows(model, waveforms, [0, 511, 512])[2]).max() < 1e-4
    (row,) = run(tmp_path / "a.onnx", waveforms[:1, :100], [100])
    assert len(row) == 0


def test_metadata_has_what_decoding_needs(tmp_path):
    model = build()
    model.boundary_params.copy_(torch.tensor([0.02, 0.03]))
    export(model, tmp_path / "a.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    metadata = json.loads(session.get_modelmeta().custom_metadata_map["asr"])
    assert metadata["format"] == FORMAT
    assert tuple(metadata["tokens"]) == model.tokenizer.tokens
    hop, factor = metadata["hop_length"], metadata["subsampling_factor"]
    assert hop * factor / metadata["sample_rate"] == model.seconds_per_frame == 0.04
    assert metadata["boundary_offsets"] == pytest.approx([0.02, 0.03])
    assert metadata["sample_rate"] == audio.SAMPLE_RATE


def test_8_bit_weights_take_a_quarter_of_the_space_and_change_little(tmp_path, batch):
    model = build(encoder={"hidden_size": 160, "channels": 16})
    export(model, tmp_path / "float.onnx")
    export(model, tmp_path / "int8.onnx", int8=True)
    sizes = [(tmp_path / f"{name}.onnx").stat().st_size for name in ("float", "int8")]
    assert sizes[1] < 0.35 * sizes[0]
    rows = (run(tmp_path / f"{name}.onnx", *batch) for name in ("float", "int8"))
    for row, rounded in zip(*rows, strict=True):
        assert 0 < np.abs(np.exp(row) - np.exp(rounded)).max() < 0.02


def test_the_same_model_gives_the_same_file(tmp_path):
    model = build()
    for name in ("a.onnx", "b.onnx"):
        export(model, tmp_path / name)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_settings_that_a_model_file_omits_have_the_defaults_of_the_classes():
    for part, cls in (("features", LogMel), ("encoder", Encoder)):
        parameters = inspect.signature(cls).parameters
        own = {k: v for k, v in DEFAULTS[part].items() if k != "class"}
        assert own == {name: parameters[name].default for name in own}
        assert DEFAULTS[part]["class"] == cls.__name__


def test_other_classes_of_encoders_are_refused(tmp_path):
    build().save(tmp_path / "a.safetensors")
    header, weights = read_checkpoint(tmp_path / "a.safetensors")
    header["encoder"]["class"] = "Conformer"
    with pytest.raises(ModelError, match="encoder class Encoder, not Conformer"):
        build_onnx(header, weights)


@pytest.mark.parametrize(
    ("part", "settings"),
    [
        ("features", {"power": 2}),
        ("features", {"normalize": "video"}),
        ("encoder", {"cell": "lstm"}),
        ("encoder", {"cell": "mgu"}),
        ("encoder", {"num_layers": 2}),
        ("encoder", {"num_layers": 5}),
        ("encoder", {"intermediate": [1]}),
    ],
)
def test_settings_that_do_not_belong_to_the_weights_are_refused(tmp_path, part, settings):
    build().save(tmp_path / "a.safetensors")
    header, weights = read_checkpoint(tmp_path / "a.safetensors")
    build_onnx(header, weights)
    with pytest.raises(ModelError):
        build_onnx({**header, part: {**header[part], **settings}}, weights)


def test_missing_weights_and_tokens_are_refused(tmp_path):
    build().save(tmp_path / "a.safetensors")
    header, weights = read_checkpoint(tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match=r"head\.bias"):
        build_onnx({**header, "tokens": header["tokens"][:-1]}, weights)
    del weights["head.bias"]
    with pytest.raises(ModelError, match=r"head\.bias is missing"):
        build_onnx(header, weights)
