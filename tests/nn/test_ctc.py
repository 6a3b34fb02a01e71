"""The model and its file."""

import json
import pickle

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from asr.errors import ConfigError, ModelError
from asr.nn.ctc import CTCModel
from asr.nn.emissions import IDENTITY_CALIBRATION, Calibration
from asr.text import Tokenizer

HEADER = {
    "format": "asr-ctc-1",
    "features": {"_target_": "asr.nn.features.LogMel"},
    "encoder": {"_target_": "asr.nn.encoder.Encoder"},
    "tokens": [" ", "a"],
}


@pytest.fixture
def batch(sound):
    waveforms = torch.zeros(3, 12_000)
    lengths = torch.tensor([12_000, 5_000, 8_123])
    for i, (row, n) in enumerate(zip(waveforms, lengths.tolist(), strict=True)):
        row[:n] = torch.from_numpy(sound(1.0, seed=i))[:n]
    return waveforms, lengths


def test_emissions_are_log_probabilities_40_ms_apart(build, batch):
    model = build()
    emissions = model(*batch)
    assert emissions.log_probs.shape == (3, 18, 29)
    assert emissions.seconds_per_frame == model.seconds_per_frame == 0.04
    assert (emissions.log_probs.exp().sum(-1) - 1).abs().max() < 1e-5
    assert [len(emissions.row(i)) for i in range(3)] == emissions.lengths.tolist() == [18, 8, 12]


def test_frames_tells_the_lengths_of_the_emissions_beforehand(build):
    model = build()
    samples = torch.tensor([0, 3, 511, 512, 672, 1151, 1152, 5_000, 16_000])
    assert torch.equal(
        model.output_lengths(samples), model(torch.zeros(9, 16_000), samples).lengths
    )


def test_log_probs_are_float32_under_autocast(build, batch):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert build()(*batch).log_probs.dtype == torch.float32


@pytest.mark.parametrize("settings", [{}, {"cell": "lstm", "num_layers": 1}, {"cell": "rnn"}])
def test_save_and_load_give_back_the_model_bit_for_bit(build, batch, tmp_path, settings):
    model = build(tokenizer=Tokenizer.from_texts(["größer, ok"]), **settings)
    model.features.cmvn_mean.normal_()
    model.save(tmp_path / "model.safetensors", scores={"val_wer": 0.125})
    loaded = CTCModel.load(tmp_path / "model.safetensors")
    before, after = model.state_dict(), loaded.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(loaded(*batch).log_probs, model(*batch).log_probs)
    assert loaded.tokenizer == model.tokenizer
    assert loaded.architecture == model.architecture
    assert loaded.scores == {"val_wer": 0.125}
    assert not loaded.training
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_loaded_model_saves_to_the_same_bytes(build, tmp_path):
    build().save(tmp_path / "a.safetensors", scores={"val_wer": 0.5})
    CTCModel.load(tmp_path / "a.safetensors").save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_the_file_s_header_says_what_the_model_is(build, tmp_path):
    build(features={"normalize": "corpus"}).save(
        tmp_path / "model.safetensors", scores={"val_wer": 0.125}
    )
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        header = json.loads(file.metadata()["asr"])
    assert header["format"] == "asr-ctc-1"
    assert header["features"] == {"_target_": "asr.nn.features.LogMel", "normalize": "corpus"}
    assert header["encoder"]["_target_"] == "asr.nn.encoder.Encoder"
    assert header["encoder"]["hidden_size"] == 12
    assert "".join(header["tokens"]) == " 'abcdefghijklmnopqrstuvwxyz"
    assert header["scores"] == {"val_wer": 0.125}
    assert header["version"]


def test_the_calibration_of_its_confidence_goes_with_a_model(build, batch, tmp_path):
    model = build()
    model.calibration = Calibration(0.75, 0.5, -1.5)
    model.save(tmp_path / "model.safetensors")
    loaded = CTCModel.load(tmp_path / "model.safetensors")
    assert loaded.calibration == loaded(*batch).calibration == Calibration(0.75, 0.5, -1.5)


@pytest.mark.parametrize(
    ("kept", "found"),
    [
        ({}, IDENTITY_CALIBRATION),
        ({"calibration_params": torch.tensor([0.75, -1.5])}, Calibration(0.75, 0.75, -1.5)),
    ],
)
def test_a_model_from_before_confidence_was_calibrated_so_still_loads(build, tmp_path, kept, found):
    build().save(tmp_path / "new.safetensors")
    with safe_open(tmp_path / "new.safetensors", framework="pt") as file:
        weights = {
            name: file.get_tensor(name) for name in file.keys() if name != "calibration_params"
        }
        save_file(weights | kept, tmp_path / "old.safetensors", metadata=file.metadata())
    assert CTCModel.load(tmp_path / "old.safetensors").calibration == found


def test_a_model_adopts_another_s_weights_and_the_characters_that_both_have(build, batch):
    torch.manual_seed(1)
    old = build()
    new = CTCModel(
        features=old.architecture["features"],
        encoder=old.architecture["encoder"],
        tokenizer=Tokenizer((" ", "b", "a", "é")),
    )
    fresh = new.head.weight[4].clone()
    new.init_from(old)
    for ours, theirs in zip(new.encoder.parameters(), old.encoder.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    at = [0, *old.tokenizer.encode(" ba")]
    assert torch.equal(new.head.weight[:4], old.head.weight[at])
    assert torch.equal(new.head.bias[:4], old.head.bias[at])
    assert torch.equal(new.head.weight[4], fresh)


def test_what_intermediate_layers_give_is_what_the_head_makes_of_them_and_goes_back_in(
    build, batch, tmp_path
):
    model = build(num_layers=2, intermediate=[1])
    emissions = model(*batch)
    features, lengths = model.features(*batch)
    below = []
    model.encoder(features, lengths, lambda x: below.append(x) or torch.zeros_like(x))
    (said,) = emissions.intermediate
    assert (said - model.head(below[0]).log_softmax(-1)).abs().max() < 1e-5
    expected = model.encoder(features, lengths, lambda _: model.feedback(said.exp()))[0]
    assert (emissions.log_probs - model.head(expected).log_softmax(-1)).abs().max() < 1e-5
    model.save(tmp_path / "model.safetensors")
    assert torch.equal(
        CTCModel.load(tmp_path / "model.safetensors")(*batch).log_probs, emissions.log_probs
    )
    assert build()(*batch).intermediate == ()


def test_what_goes_back_in_is_adopted_by_the_tokens_that_both_have(build):
    old, new = (
        build(intermediate=[1]),
        build(intermediate=[1], tokenizer=Tokenizer((" ", "b", "a", "é"))),
    )
    fresh = new.feedback.weight[:, 4].clone()
    new.init_from(old)
    assert torch.equal(
        new.feedback.weight[:, :4], old.feedback.weight[:, [0, *old.tokenizer.encode(" ba")]]
    )
    assert torch.equal(new.feedback.weight[:, 4], fresh)
    assert torch.equal(new.feedback.bias, old.feedback.bias)
    with pytest.raises(ModelError, match=r"another architecture: feedback\.bias is missing there"):
        new.init_from(build())


def test_weights_of_another_architecture_are_not_adopted(build):
    with pytest.raises(
        ModelError,
        match=r"another architecture: encoder\.final_norm\.bias is \(32,\) there and \(24,\) here",
    ):
        build().init_from(build(hidden_size=16))


def refused(path):
    """The message of the ModelError that loading raises: one line that begins with the file's name."""
    with pytest.raises(ModelError) as caught:
        CTCModel.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message) < len(str(path)) + 300
    return message


def test_a_missing_file_and_a_folder_are_no_models(tmp_path):
    assert "no such model; train one first" in refused(tmp_path / "model.safetensors")
    assert "no such model" in refused(tmp_path)


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
def test_other_files_are_no_models(tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    assert "not a trained model" in refused(path)


def test_a_checkpoint_of_torch_is_no_model(build, tmp_path):
    torch.save(build().state_dict(), tmp_path / "last.ckpt")
    assert "not a trained model" in refused(tmp_path / "last.ckpt")


def test_a_model_cut_off_is_no_model(build, tmp_path):
    path = tmp_path / "model.safetensors"
    build().save(path)
    path.write_bytes(path.read_bytes()[:-100])
    assert "not a trained model" in refused(path)


@pytest.mark.parametrize(
    "metadata", [None, {"format": "pt"}, {"asr": "[]"}, {"asr": '{"format": "asr-ctc-2"}'}]
)
def test_safetensors_of_others_are_no_models(tmp_path, metadata):
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors", metadata=metadata)
    assert "not a model of this program" in refused(tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"features": 5},
        {"tokens": None},
        {"encoder": {"_target_": "asr.nn.encoder.NoSuchThing"}},
        {"encoder": {"_target_": "asr.nn.encoder.Encoder", "hiden": 3}},
        {"encoder": {"_target_": "torch.nn.Identity"}},
        {"encoder": {"_target_": "os.system"}},
    ],
)
def test_a_header_that_does_not_fit_the_weights_is_named(tmp_path, change):
    path = tmp_path / "model.safetensors"
    save_file({"weight": torch.zeros(2)}, path, metadata={"asr": json.dumps({**HEADER, **change})})
    assert "its weights do not fit its architecture" in refused(path)


@pytest.mark.parametrize("device", ["gpu", "cuda:77"])
def test_a_device_that_is_not_there_is_named(build, tmp_path, device):
    build().save(tmp_path / "model.safetensors")
    with pytest.raises(ConfigError, match=f"^device is '{device}'"):
        CTCModel.load(tmp_path / "model.safetensors", device=device)


@pytest.mark.parametrize(
    ("encoder", "said"),
    [
        (
            {"_target_": "asr.nn.encoder.Transformer"},
            "there is no class 'asr.nn.encoder.Transformer'",
        ),
        ({"_target_": "nowhere.Encoder"}, "there is no class 'nowhere.Encoder'"),
        ({"_target_": ""}, "there is no class ''"),
        ({"_target_": "asr.text.Tokenizer"}, "asr.text.Tokenizer is not a torch module"),
        ({"hiden": 3}, "unexpected keyword argument 'hiden'"),
        ({"cell": "gated"}, "must be one of gru, lstm, rnn"),
    ],
)
def test_settings_that_make_no_model_are_named(build, encoder, said):
    with pytest.raises(ConfigError, match=said):
        build(**encoder)


@pytest.mark.parametrize(
    ("name", "millions"), [("tiny", 0.5), ("small", 4), ("base", 15), ("large", 45)]
)
def test_sizes_have_the_parameters_that_their_files_tell(size, name, millions):
    parameters = sum(p.numel() for p in size(name).parameters())
    assert parameters == pytest.approx(millions * 1e6, rel=0.1)
