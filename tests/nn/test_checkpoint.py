"""Model files: content, format 1, classes from the registry, and one-line errors."""

import errno
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from asr.errors import ConfigError, ModelError
from asr.nn import registry
from asr.nn.ctc import CTCModel
from asr.nn.emissions import IDENTITY_CALIBRATION, BoundaryOffsets, Calibration
from asr.nn.registry import register
from asr.text import Tokenizer

DATA = Path(__file__).parent / "data"
HEADER = {
    "format": "asr-ctc-2",
    "features": {"class": "LogMel"},
    "encoder": {"class": "Encoder"},
    "tokens": [" ", "a"],
}


class EveryFourthFrame(nn.Module):
    """A minimal encoder: a linear map of every fourth feature frame."""

    subsampling_factor = 4

    def __init__(self, *, n_mels, output_dim=8):
        super().__init__()
        self.output_dim = output_dim
        self.project = nn.Linear(n_mels, output_dim)

    def forward(self, x, lengths):
        return self.project(x[:, ::4]), self.output_lengths(lengths)

    def output_lengths(self, lengths):
        return (lengths + 3) // 4


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.fixture
def batch(sound):
    return torch.from_numpy(sound(0.5))[None], torch.tensor([8_000])


@pytest.fixture
def isolated_registry(monkeypatch):
    """Keep classes that a test registers from other tests."""
    monkeypatch.setattr(registry, "CLASSES", dict(registry.CLASSES))


def read_header(path):
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["asr"])


@pytest.mark.parametrize(
    "settings", [{}, {"cell": "lstm", "num_layers": 1}, {"cell": "rnn"}]
)
def test_a_loaded_model_equals_the_saved_one_bit_for_bit(build, batch, path, settings):
    model = build(tokenizer=Tokenizer.from_texts(["größer, ok"]), **settings)
    model.features.cmvn_mean.normal_()
    model.save(path, scores={"val_wer": 0.125})
    loaded = CTCModel.load(path)
    before, after = model.state_dict(), loaded.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(loaded(*batch).log_probs, model(*batch).log_probs)
    assert loaded.tokenizer == model.tokenizer
    assert loaded.architecture == model.architecture
    assert loaded.scores == {"val_wer": 0.125}
    assert not loaded.training
    assert list(path.parent.iterdir()) == [path]


def test_a_loaded_model_is_saved_to_the_same_bytes(build, tmp_path):
    build().save(tmp_path / "a.safetensors", scores={"val_wer": 0.5})
    CTCModel.load(tmp_path / "a.safetensors").save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (
        tmp_path / "b.safetensors"
    ).read_bytes()


def test_others_may_read_a_saved_model_as_any_other_file(build, path):
    build().save(path)
    path.with_name("other").touch()
    assert path.stat().st_mode == path.with_name("other").stat().st_mode


def test_a_full_disk_is_an_error_with_the_path(build, path, monkeypatch):
    def refuse(path, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(ModelError, match=r"model\.safetensors: .*No space left"):
        build().save(path)
    assert not path.exists()


def test_the_header_describes_the_model_without_import_paths(build, path):
    build(features={"normalize": "corpus"}).save(path, scores={"val_wer": 0.125})
    header = read_header(path)
    assert header["format"] == "asr-ctc-2"
    assert header["features"] == {"class": "LogMel", "normalize": "corpus"}
    assert header["encoder"]["class"] == "Encoder"
    assert header["encoder"]["hidden_size"] == 12
    assert "_target_" not in json.dumps(header)
    assert "".join(header["tokens"]) == " 'abcdefghijklmnopqrstuvwxyz"
    assert header["scores"] == {"val_wer": 0.125}
    assert header["version"]


def test_calibration_and_boundary_offsets_are_saved(build, batch, path):
    model = build()
    model.calibration = Calibration(0.75, 0.5, -1.5)
    model.boundary_offsets = BoundaryOffsets(0.25, 0.5)
    model.save(path)
    loaded = CTCModel.load(path)
    assert loaded.calibration == loaded(*batch).calibration == Calibration(0.75, 0.5, -1.5)
    assert loaded.boundary_offsets == BoundaryOffsets(0.25, 0.5)


@pytest.mark.parametrize("suffix", ["", "_lstm"])
def test_a_file_of_format_1_gives_the_outputs_of_the_code_that_wrote_it(suffix, path):
    model = CTCModel.load(DATA / f"model_format_1{suffix}.safetensors")
    noise = 0.1 * np.random.default_rng(0).standard_normal(8_000).astype(np.float32)
    emissions = model(torch.from_numpy(noise)[None], torch.tensor([8_000]))
    expected = np.load(DATA / f"log_probs_format_1{suffix}.npy")
    assert np.abs(emissions.row(0).detach().numpy() - expected).max() < 1e-6
    assert emissions.calibration == Calibration(0.75, 0.5, -1.5)
    assert emissions.boundary_offsets == BoundaryOffsets(0.03125, 0.0625)
    assert model.scores == {"val_wer": 0.25}
    model.save(path)
    header = read_header(path)
    assert header["format"] == "asr-ctc-2"
    assert header["features"] == {
        "class": "LogMel",
        "n_mels": 40,
        "normalize": "corpus",
        "top_db": 60,
    }
    assert header["encoder"]["class"] == "Encoder"
    assert header["encoder"]["hidden_size"] == 4
    assert header["encoder"]["num_layers"] == (2 if suffix else 1)
    assert torch.equal(CTCModel.load(path).features.cmvn_std, model.features.cmvn_std)


@pytest.mark.parametrize(
    ("saved", "expected"),
    [
        ({}, IDENTITY_CALIBRATION),
        ({"confidence": torch.tensor([0.75, -1.5])}, Calibration(0.75, 0.75, -1.5)),
    ],
)
def test_files_of_format_1_without_todays_calibration_load(path, saved, expected):
    with safe_open(DATA / "model_format_1.safetensors", framework="pt") as file:
        names = set(file.keys()) - {"confidence", "reaching"}
        weights = {name: file.get_tensor(name) for name in names}
        save_file(weights | saved, path, metadata=file.metadata())
    model = CTCModel.load(path)
    assert model.calibration == expected
    assert model.boundary_offsets == BoundaryOffsets()


@pytest.mark.usefixtures("isolated_registry")
def test_an_encoder_of_your_own_is_saved_by_name_and_loads_once_registered(batch, path):
    settings = {"_target_": f"{__name__}.EveryFourthFrame", "output_dim": 6}
    model = CTCModel(
        features={"class": "LogMel"}, encoder=settings, tokenizer=Tokenizer.english()
    ).eval()
    model.save(path)
    assert read_header(path)["encoder"] == {"class": "EveryFourthFrame", "output_dim": 6}
    assert torch.equal(CTCModel.load(path)(*batch).log_probs, model(*batch).log_probs)
    del registry.CLASSES["EveryFourthFrame"]  # as in a new process
    assert "encoder.class 'EveryFourthFrame' is not registered" in load_error(path)
    register(EveryFourthFrame)
    assert torch.equal(CTCModel.load(path)(*batch).log_probs, model(*batch).log_probs)


@pytest.mark.usefixtures("isolated_registry")
def test_a_class_with_the_name_of_another_is_not_registered():
    with pytest.raises(ValueError, match=r"asr\.nn\.encoder already registers Encoder"):
        register(type("Encoder", (nn.Module,), {"__module__": "mine"}))
    again = type("EveryFourthFrame", (nn.Module,), {"__module__": __name__})
    assert register(register(EveryFourthFrame)) is EveryFourthFrame
    assert register(again) is again  # its module was imported again


def load_error(path):
    """Return the message of the ModelError: one line that starts with the name of the file."""
    with pytest.raises(ModelError) as caught:
        CTCModel.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message) < len(str(path)) + 300
    return message


def test_a_missing_file_and_a_folder_are_errors(tmp_path, path):
    assert "no such model. Pass the model.safetensors of a training" in load_error(path)
    assert "no such model" in load_error(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 8,
        bytes(range(256)) * 8,
        pickle.dumps({"weights": [1.0, 2.0]}),
        b'{"a": 1}',
        b"\xff" * 100,
    ],
    ids=["empty", "zeros", "noise", "pickle", "json", "ones"],
)
def test_other_content_is_an_error(path, content):
    path.write_bytes(content)
    assert "not a trained model" in load_error(path)


def test_a_checkpoint_of_torch_is_an_error(build, tmp_path):
    torch.save(build().state_dict(), tmp_path / "last.ckpt")
    assert "not a trained model" in load_error(tmp_path / "last.ckpt")


def test_a_truncated_model_is_an_error(build, path):
    build().save(path)
    path.write_bytes(path.read_bytes()[:-100])
    assert "not a trained model" in load_error(path)


@pytest.mark.parametrize(
    "metadata", [None, {"format": "pt"}, {"asr": "[]"}, {"asr": '{"format": "asr-ctc-3"}'}]
)
def test_other_safetensors_files_are_errors(path, metadata):
    save_file({"weight": torch.zeros(2)}, path, metadata=metadata)
    assert "not a trained model" in load_error(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, "Missing key"),
        ({"features": 5}, "mapping"),
        ({"tokens": None}, "not iterable"),
        (
            {"encoder": {"class": "NoSuchThing"}},
            "encoder.class 'NoSuchThing' is not registered",
        ),
        (
            {"encoder": {"class": "Encoder", "hiden": 3}},
            "unexpected keyword argument 'hiden'",
        ),
        (
            {"encoder": {"_target_": "asr.nn.encoder.Encoder"}},
            "class None is not registered",
        ),
        ({"encoder": {"_target_": "os.system"}}, "class None is not registered"),
        ({"encoder": {"class": "Encoder", "_target_": "os.system"}}, "unexpected keyword"),
    ],
)
def test_a_header_that_does_not_describe_the_weights_is_an_error(path, change, reason):
    header = json.dumps({**HEADER, **change})
    save_file({"weight": torch.zeros(2)}, path, metadata={"asr": header})
    message = load_error(path)
    assert "its architecture cannot be rebuilt" in message
    assert reason in message


@pytest.mark.parametrize(
    "target", ["asr.encoder.NoSuchThing", "torch.nn.Identity", "os.system"]
)
def test_format_1_loads_only_registered_classes(path, target):
    settings = {
        "features": {"_target_": "asr.features.LogMel"},
        "encoder": {"_target_": target},
    }
    header = json.dumps({**HEADER, **settings, "format": "asr-ctc-1"})
    save_file({"weight": torch.zeros(2)}, path, metadata={"asr": header})
    assert f"class {target.rpartition('.')[2]!r} is not registered" in load_error(path)


@pytest.mark.parametrize("device", ["gpu", "cuda:77"])
def test_a_device_that_is_not_available_is_an_error(build, path, device):
    build().save(path)
    with pytest.raises(ConfigError, match=f"^device '{device}' is not available"):
        CTCModel.load(path, device=device)
