"""Several models that hear as one."""

import pytest
import torch

import asr
from asr.calibration import Calibration
from asr.clock import Reach
from asr.ensemble import Ensemble, load
from asr.errors import ConfigError, ModelError
from asr.text import Tokenizer


@pytest.fixture
def members(build):
    first, second = build(), build(layers=1)
    first.calibration, second.calibration = Calibration(1.0, -1.0), Calibration(0.5, 0.0)
    first.reach, second.reach = Reach(0.1, 0.0), Reach(0.2, 0.3)
    with torch.no_grad():
        for p in second.parameters():
            p.mul_(1.5)
    return first, second


def test_log_probabilities_are_the_normalised_mean_of_the_members(members, sound):
    waveforms, lengths = torch.from_numpy(sound(1.0)).repeat(2, 1), torch.tensor([16_000, 9_000])
    joint = Ensemble(members)
    said, each = joint(waveforms, lengths), [member(waveforms, lengths) for member in members]
    mean = (each[0].log_probs + each[1].log_probs) / 2
    torch.testing.assert_close(said.log_probs, mean - mean.logsumexp(-1, keepdim=True))
    assert said.lengths.tolist() == each[0].lengths.tolist() == joint.frames(lengths).tolist()
    assert (said.calibration.slope, said.calibration.offset) == (0.75, -0.5)
    assert (said.reach.lead, said.reach.tail) == pytest.approx((0.15, 0.15))


def test_a_model_twice_is_that_model(members, sound):
    waveforms, lengths = torch.from_numpy(sound(0.5))[None], torch.tensor([8_000])
    twice = Ensemble([members[0], members[0]])(waveforms, lengths)
    torch.testing.assert_close(twice.log_probs, members[0](waveforms, lengths).log_probs)


def test_files_are_loaded_and_transcribe_as_one(members, tmp_path, recording):
    paths = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for member, path in zip(members, paths, strict=True):
        member.save(path)
    assert isinstance(load(paths), Ensemble)
    assert not isinstance(load(paths[:1]), Ensemble)
    long = recording("a.wav", 40.0)  # in windows
    assert asr.load(paths).transcribe(long).score != asr.load(paths[0]).transcribe(long).score


def test_models_that_do_not_fit_together_are_refused(build, tmp_path):
    for other, said in (
        (build(tokenizer=Tokenizer((" ", "a"))), "model 2 has other tokens than the first"),
        (build(features={"hop_ms": 5.0}), "model 2 has other frames than the first"),
    ):
        with pytest.raises(ConfigError, match=said):
            Ensemble([build(), other])
    with pytest.raises(ModelError, match="names no model"):
        load([])
    with pytest.raises(ModelError, match="no such model"):
        load([tmp_path / "none", tmp_path / "nor"])
