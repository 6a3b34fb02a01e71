"""CTCModel: emissions, intermediate layers, initial weights, and settings."""

import pytest
import torch

from asr.errors import ModelError
from asr.nn.ctc import CTCModel
from asr.text import Tokenizer


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
    assert (
        [len(emissions.row(i)) for i in range(3)]
        == emissions.lengths.tolist()
        == [18, 8, 12]
    )


def test_output_lengths_are_those_of_the_emissions(build):
    model = build()
    samples = torch.tensor([0, 3, 511, 512, 672, 1151, 1152, 5_000, 16_000])
    assert torch.equal(
        model.output_lengths(samples), model(torch.zeros(9, 16_000), samples).lengths
    )


def test_log_probs_are_float32_under_autocast(build, batch):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert build()(*batch).log_probs.dtype == torch.float32


def test_init_from_copies_the_weights_and_those_of_shared_tokens(build):
    old = build()
    new = CTCModel(
        features=old.architecture["features"],
        encoder=old.architecture["encoder"],
        tokenizer=Tokenizer((" ", "b", "a", "é")),
    )
    fresh = new.head.weight[4].clone()
    new.init_from(old)
    for ours, theirs in zip(
        new.encoder.parameters(), old.encoder.parameters(), strict=True
    ):
        assert torch.equal(ours, theirs)
    shared = [0, *old.tokenizer.encode(" ba")]
    assert torch.equal(new.head.weight[:4], old.head.weight[shared])
    assert torch.equal(new.head.bias[:4], old.head.bias[shared])
    assert torch.equal(new.head.weight[4], fresh)


def test_intermediate_emissions_are_predicted_by_the_head_and_fed_back(
    build, batch, tmp_path
):
    model = build(num_layers=2, intermediate=[1])
    emissions = model(*batch)
    features, lengths = model.features(*batch)
    encoded = []
    model.encoder(features, lengths, lambda x: encoded.append(x) or torch.zeros_like(x))
    (log_probs,) = emissions.intermediate
    assert (log_probs - model.head(encoded[0]).log_softmax(-1)).abs().max() < 1e-5
    expected = model.encoder(features, lengths, lambda _: model.feedback(log_probs.exp()))[
        0
    ]
    assert (emissions.log_probs - model.head(expected).log_softmax(-1)).abs().max() < 1e-5
    model.save(tmp_path / "model.safetensors")
    assert torch.equal(
        CTCModel.load(tmp_path / "model.safetensors")(*batch).log_probs, emissions.log_probs
    )
    assert build()(*batch).intermediate == ()


def test_init_from_copies_the_feedback_of_shared_tokens(build):
    old, new = (
        build(intermediate=[1]),
        build(intermediate=[1], tokenizer=Tokenizer((" ", "b", "a", "é"))),
    )
    fresh = new.feedback.weight[:, 4].clone()
    new.init_from(old)
    assert torch.equal(
        new.feedback.weight[:, :4],
        old.feedback.weight[:, [0, *old.tokenizer.encode(" ba")]],
    )
    assert torch.equal(new.feedback.weight[:, 4], fresh)
    assert torch.equal(new.feedback.bias, old.feedback.bias)
    with pytest.raises(
        ModelError, match=r"another architecture: feedback\.bias is missing there"
    ):
        new.init_from(build())


def test_init_from_rejects_another_architecture(build):
    with pytest.raises(
        ModelError,
        match=r"another architecture: encoder\.final_norm\.bias is \(32,\) there and \(24,\) here",
    ):
        build().init_from(build(hidden_size=16))


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (
            {"_target_": "asr.nn.encoder.Transformer"},
            r"encoder\._target_ must be .*, got 'asr\.nn\.encoder\.Transformer'",
        ),
        ({"_target_": "nowhere.Encoder"}, "_target_ must be .*, got 'nowhere.Encoder'"),
        ({"_target_": ""}, "_target_ must be .*, got ''"),
        (
            {"_target_": "asr.text.Tokenizer"},
            "_target_ must be a torch.nn.Module, got 'asr.text",
        ),
        ({"hiden": 3}, r"encoder\..* unexpected keyword argument 'hiden'"),
        ({"cell": "gated"}, r"encoder\.cell must be one of gru, lstm, rnn, got 'gated'"),
        ({"dropout": 1.5}, r"encoder\.dropout must be >= 0 and <= 1, got 1\.5"),
    ],
)
def test_errors_in_the_settings_name_the_part_and_its_argument(build, encoder, message):
    with pytest.raises(ValueError, match=message):
        build(**encoder)


@pytest.mark.parametrize(
    ("name", "millions"), [("tiny", 0.5), ("small", 4), ("base", 15), ("large", 45)]
)
def test_model_sizes_have_the_parameters_that_their_configurations_state(
    size, name, millions
):
    parameters = sum(p.numel() for p in size(name).parameters())
    assert parameters == pytest.approx(millions * 1e6, rel=0.1)
