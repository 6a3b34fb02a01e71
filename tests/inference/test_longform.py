"""Long recordings: windows give the frames of one pass."""

import numpy as np
import pytest
import soundfile
from audio_encodings import ENCODINGS
from hypothesis import given
from hypothesis import strategies as st

from asr import audio
from asr.errors import AudioError
from asr.inference.longform import compute_emissions
from asr.nn.emissions import Calibration

CONVOLUTIONS = {"num_layers": 0}  # they read 70 ms, so windows with more context are exact


@pytest.fixture(scope="module")
def local_model(build):
    return build(**CONVOLUTIONS, features={"normalize": "none"})


@pytest.fixture(scope="module")
def long(sound, tmp_path_factory):
    path = tmp_path_factory.mktemp("long") / "long.flac"
    soundfile.write(path, sound(9.7), 16_000)
    return path


def compute_in_one_pass(model, waveform):
    return model.compute_emissions([waveform]).rows()[0]


@given(
    st.integers(1, 30_000),
    st.floats(0.1, 1.5),
    st.floats(0.12, 0.5),
    st.integers(1, 5),
    st.integers(0, 90_000),
)
def test_windows_give_the_frames_of_one_pass(
    local_model, long, samples, window, context, batch_size, first_sample
):
    segment = {"offset": first_sample / 16_000, "duration": samples / 16_000}
    emissions = compute_emissions(
        local_model, long, **segment, window=window, context=context, batch_size=batch_size
    )
    expected = compute_in_one_pass(local_model, audio.load(long, **segment))
    assert emissions.lengths.tolist() == [len(expected)]
    assert emissions.seconds_per_frame == local_model.seconds_per_frame
    np.testing.assert_allclose(emissions.rows()[0], expected, atol=2e-5)


def test_windows_keep_the_calibration_of_the_model(build, long):
    model = build(**CONVOLUTIONS)
    model.calibration = Calibration(0.7, -0.2)
    assert (
        compute_emissions(model, long, window=3.0, context=1.0).calibration
        == model.calibration
    )


@pytest.mark.parametrize("normalize", ["utterance", "none"])
def test_a_recording_no_longer_than_a_window_is_computed_in_one_pass(
    build, recording, normalize
):
    model, path = build(features={"normalize": normalize}), recording("a.wav", 1.6)
    emissions = compute_emissions(model, path, window=1.6)
    expected = compute_in_one_pass(model, audio.load(path))
    assert np.array_equal(emissions.rows()[0], expected)


def test_audio_beyond_the_context_hardly_affects_a_recurrent_model(build, long):
    model = build(features={"normalize": "none"})
    log_probs = compute_emissions(model, long, window=3.0, context=1.0).rows()[0]
    expected = compute_in_one_pass(model, audio.load(long))
    assert len(log_probs) == len(expected)
    assert np.abs(log_probs - expected).max() < 1e-3


@pytest.mark.parametrize(
    ("rate", "ending"), [(44_100, "wav"), (48_000, "ogg"), (22_050, "mp3"), (8_000, "wav")]
)
def test_other_formats_give_the_frames_of_one_pass(
    local_model, sound, tmp_path, rate, ending
):
    path = tmp_path / f"a.{ending}"
    soundfile.write(path, np.stack([sound(4.3, rate)] * 2, axis=1), rate)
    log_probs = compute_emissions(local_model, path, window=1.0, context=0.4).rows()[0]
    expected = compute_in_one_pass(local_model, audio.load(path))
    assert abs(len(log_probs) - len(expected)) <= 1
    difference = np.abs(log_probs[: len(expected)] - expected[: len(log_probs)]).max(1)
    assert difference[:-2].max() < (0.02 if ending == "wav" else 0.2)


def test_a_long_recording_is_computed_in_short_windows(local_model, long, monkeypatch):
    seconds = []
    compute = local_model.compute_emissions

    def spy(waveforms):
        seconds.extend(len(waveform) / 16_000 for waveform in waveforms)
        return compute(waveforms)

    monkeypatch.setattr(local_model, "compute_emissions", spy)
    compute_emissions(local_model, long, window=1.0, context=0.2)
    assert len(seconds) == 10
    assert max(seconds) < 1.5


def test_windows_of_a_compressed_recording_are_decoded_once(local_model, long, monkeypatch):
    from asr.audio.ffmpeg import FFmpegReader

    waveform = audio.load(long)
    data = ENCODINGS["m4a"].encode(waveform[:, None], 16_000)
    decoded = []
    decode = FFmpegReader._decode
    monkeypatch.setattr(
        FFmpegReader, "_decode", lambda self: decoded.append(1) or decode(self)
    )
    emissions = compute_emissions(local_model, data, window=1.0, context=0.4)
    assert len(decoded) <= 2  # the first is replaced before it starts
    expected = compute_in_one_pass(local_model, audio.load(data))
    assert np.allclose(emissions.rows()[0], expected, atol=1e-4)


def test_bytes_give_the_emissions_of_their_file(local_model, long):
    options = {"window": 2.0, "context": 0.2}
    from_path = compute_emissions(local_model, long, **options)
    from_bytes = compute_emissions(local_model, long.read_bytes(), **options)
    assert np.array_equal(from_path.log_probs, from_bytes.log_probs)


def test_an_unreadable_recording_raises_an_audio_error(local_model, long, tmp_path):
    with pytest.raises(AudioError, match="no such file"):
        compute_emissions(local_model, tmp_path / "none.wav")
    with pytest.raises(AudioError, match=r"ends at 9.70 s"):
        compute_emissions(local_model, long, offset=11.0)
    with pytest.raises(AudioError, match=r"ends at 9.70 s"):
        compute_emissions(local_model, long, offset=1.0, duration=20.0, window=2.0)
    cut = tmp_path / "cut.flac"
    cut.write_bytes(long.read_bytes()[:60_000])
    with pytest.raises(AudioError, match="cut off"):
        compute_emissions(local_model, cut, window=2.0)
