"""Audio of any length: windows say what one pass says, at the same frames."""

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr import audio
from asr.errors import AudioError
from asr.inference import longform
from asr.inference.longform import compute_batch_emissions, compute_emissions
from asr.nn.emissions import Calibration

NEAR_SIGHTED = {
    "num_layers": 0
}  # only convolutions, which read 70 ms: with more context than that windows are exact


@pytest.fixture(scope="module")
def near_sighted(build):
    return build(**NEAR_SIGHTED, features={"normalize": "none"})


@pytest.fixture(scope="module")
def long(sound, tmp_path_factory):
    path = tmp_path_factory.mktemp("long") / "long.flac"
    soundfile.write(path, sound(9.7), 16_000)
    return path


def one_pass(model, waveform):
    return compute_batch_emissions(model, [torch.from_numpy(waveform)]).row(0)


@given(
    st.integers(1, 30_000),
    st.floats(0.1, 1.5),
    st.floats(0.12, 0.5),
    st.integers(1, 5),
    st.integers(0, 90_000),
)  # samples, seconds of window and context, windows at once, first sample
def test_windows_are_one_pass_frame_by_frame(
    near_sighted, long, samples, window, context, batch, first
):
    piece = {"offset": first / 16_000, "duration": samples / 16_000}
    found = compute_emissions(
        near_sighted, long, **piece, window=window, context=context, batch=batch
    )
    expected = one_pass(near_sighted, audio.load(long, **piece))
    assert found.lengths.tolist() == [len(expected)]
    assert found.seconds_per_frame == near_sighted.seconds_per_frame
    torch.testing.assert_close(found.row(0), expected, atol=2e-5, rtol=0)


def test_windows_keep_the_calibration_of_the_model(build, long):
    model = build(**NEAR_SIGHTED)
    model.calibration = Calibration(0.7, -0.2)
    assert compute_emissions(model, long, window=3.0, context=1.0).calibration == model.calibration


@pytest.mark.parametrize("normalize", ["utterance", "none"])
def test_a_recording_no_longer_than_a_window_is_the_very_same_as_in_one_pass(
    build, recording, normalize
):
    model, path = build(features={"normalize": normalize}), recording("a.wav", 1.6)
    found = compute_emissions(model, path, window=1.6)
    with torch.inference_mode():
        assert torch.equal(found.row(0), one_pass(model, audio.load(path)))


def test_a_recurrent_model_forgets_what_lies_beyond_the_context(build, long):
    model = build(features={"normalize": "none"})
    found, expected = (
        compute_emissions(model, long, window=3.0, context=1.0).row(0),
        one_pass(model, audio.load(long)),
    )
    assert len(found) == len(expected)
    assert float((found - expected).abs().max()) < 1e-3


@pytest.mark.parametrize(
    ("rate", "ending"), [(44_100, "wav"), (48_000, "ogg"), (22_050, "mp3"), (8_000, "wav")]
)
def test_other_rates_and_formats_keep_their_frames(near_sighted, sound, tmp_path, rate, ending):
    path = tmp_path / f"a.{ending}"
    soundfile.write(path, np.stack([sound(4.3, rate)] * 2, axis=1), rate)
    found = compute_emissions(near_sighted, path, window=1.0, context=0.4).row(0)
    expected = one_pass(near_sighted, audio.load(path))
    assert abs(len(found) - len(expected)) <= 1
    apart = (found[: len(expected)] - expected[: len(found)]).abs().amax(1)
    assert float(apart[:-2].max()) < (0.02 if ending == "wav" else 0.2)


def test_never_more_than_a_few_windows_are_read_at_once(near_sighted, long, monkeypatch):
    read = []

    def spy(source, *, offset, duration):
        read.append(duration)
        return audio_read(source, offset=offset, duration=duration)

    audio_read = audio.load
    monkeypatch.setattr(longform.audio, "load", spy)
    compute_emissions(near_sighted, long, window=1.0, context=0.2)
    assert len(read) == 10
    assert max(seconds or 0.0 for seconds in read) < 1.5


def test_bytes_are_heard_like_their_file(near_sighted, long):
    options = {"window": 2.0, "context": 0.2}
    named, given_bytes = (
        compute_emissions(near_sighted, source, **options) for source in (long, long.read_bytes())
    )
    assert torch.equal(named.log_probs, given_bytes.log_probs)


def test_what_cannot_be_read_is_an_audio_error(near_sighted, long, tmp_path):
    with pytest.raises(AudioError, match="no such file"):
        compute_emissions(near_sighted, tmp_path / "none.wav")
    with pytest.raises(AudioError, match=r"ends at 9.70 s"):
        compute_emissions(near_sighted, long, offset=11.0)
    with pytest.raises(AudioError, match=r"ends at 9.70 s"):
        compute_emissions(near_sighted, long, offset=1.0, duration=20.0, window=2.0)
    cut = tmp_path / "cut.flac"
    cut.write_bytes(long.read_bytes()[:60_000])
    with pytest.raises(AudioError, match="cut off"):
        compute_emissions(near_sighted, cut, window=2.0)
