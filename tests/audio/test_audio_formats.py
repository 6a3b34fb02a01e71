"""Every format, rate, and number of channels: whole, in parts, joined, cut off, and piped."""

import logging
from functools import cache
from itertools import product

import av
import numpy as np
import pytest
import scipy.signal
import soundfile
from audio_encodings import ENCODINGS, RATES

from asr import audio
from asr.errors import AudioError

SECONDS = 1.5
ALL = [(name, rate, count) for name, rate, count in product(ENCODINGS, RATES, (1, 2))]
SUPPORTED = [
    (name, rate, count)
    for name, rate, count in ALL
    if rate in ENCODINGS[name].rates and count in ENCODINGS[name].channels
]
UNSUPPORTED = [case for case in ALL if case not in SUPPORTED]
matrix = pytest.mark.parametrize(("name", "rate", "count"), SUPPORTED)


@pytest.fixture(scope="session")
def samples(sound):
    """Return make(rate, count), which returns samples (S, channels) that differ by channel."""

    def make(rate, count):
        return np.stack([sound(SECONDS, rate, seed) for seed in range(count)], axis=1)

    return make


@pytest.fixture(scope="session")
def encoded(samples):
    """Return a function that encodes such samples."""

    @cache
    def encode(name, rate, count):
        return ENCODINGS[name].encode(samples(rate, count), rate)

    return encode


def align(waveform, original, delay):
    """Return the overlapping parts of two waveforms, shifted by up to `delay` samples."""
    correlation = scipy.signal.correlate(waveform, original, method="fft")
    lags = scipy.signal.correlation_lags(len(waveform), len(original))
    allowed = np.abs(lags) <= delay
    lag = lags[allowed][correlation[allowed].argmax()]
    waveform, original = waveform[max(0, lag) :], original[max(0, -lag) :]
    n = min(len(waveform), len(original))
    return waveform[:n], original[:n]


def correlation(a, b):
    n = min(len(a), len(b))
    return np.corrcoef(a[:n], b[:n])[0, 1]


@matrix
def test_the_whole_recording_is_the_encoded_waveform(samples, encoded, name, rate, count):
    encoding, data = ENCODINGS[name], encoded(name, rate, count)
    header = audio.info(data)
    assert header.channels == count
    allowance = 3 * encoding.delay / rate + (0.05 if encoding.loss is None else 0.0)
    assert abs(header.duration - SECONDS) <= allowance
    native = header.sample_rate
    for channel in range(count):
        waveform = audio.load(data, channel=channel + 1, sample_rate=native)
        assert abs(len(waveform) / native - header.duration) < 0.005
        original = audio.resample(samples(rate, count)[:, channel], rate, native)
        waveform, original = align(waveform, original, encoding.delay * native / rate)
        assert len(original) > (SECONDS - 0.1) * native
        if encoding.loss is None:
            assert correlation(waveform, original) > encoding.correlation
        else:
            assert np.abs(waveform - original).max() <= encoding.loss


@matrix
def test_a_segment_is_a_slice_of_the_whole(encoded, name, rate, count):
    data = encoded(name, rate, count)
    native = audio.info(data).sample_rate
    whole = audio.load(data, sample_rate=native)
    segments = [(0.5, 0.5), (0.013, 0.2), (1.1, 0.3), (0.9, None), (0.31, 0.001)]
    with audio.Recording(data) as recording:
        for offset, duration in segments:
            first = round(offset * native)
            end = None if duration is None else first + round(duration * native)
            for read in (recording.load, lambda **options: audio.load(data, **options)):
                part = read(offset=offset, duration=duration, sample_rate=native)
                assert len(part) == len(whole[first:end])
                assert np.abs(part - whole[first:end]).max() < 1e-4


@matrix
def test_joined_recordings_are_read_one_after_the_other(
    samples, encoded, name, rate, count
):
    encoding, data = ENCODINGS[name], encoded(name, rate, count)
    other = encoding.encode(samples(rate, count)[: round(0.7 * rate)], rate)
    first, second = audio.info(data), audio.info(other)
    native = first.sample_rate
    duration = first.duration + second.duration
    assert abs(audio.info(data + other).duration - duration) < 0.06
    joined = audio.load(data + other, sample_rate=native)
    whole = audio.load(data, sample_rate=native)
    assert abs(len(joined) / native - duration) < 0.06
    n = len(whole) - native // 20  # overlapping windows change the last samples of a stream
    assert np.abs(joined[:n] - whole[:n]).max() < 1e-4
    rest, end = align(
        joined[len(whole) :], audio.load(other, sample_rate=native), native // 20
    )
    assert correlation(rest[native // 20 :], end[native // 20 :]) > 0.98
    part = audio.load(data + other, offset=1.2, duration=0.7, sample_rate=native)
    assert np.abs(part - joined[round(1.2 * native) :][: len(part)]).max() < 1e-4


def fails(function, data):
    """Return whether a function raises an AudioError of one line."""
    try:
        function(data)
    except AudioError as error:
        assert "\n" not in str(error)
        return True
    return False


@matrix
@pytest.mark.parametrize("share", [0.37, 0.83])
def test_a_recording_that_is_cut_off_is_an_error_or_a_warning(
    encoded, caplog, name, rate, count, share
):
    data = encoded(name, rate, count)
    native = audio.info(data).sample_rate
    whole = audio.load(data, sample_rate=native)
    size = round(share * len(data))
    cut = data[:size] if fails(audio.load, data[:size]) else data[: size + 1]  # in a frame
    assert fails(audio.load, cut)
    assert fails(audio.info, cut)
    caplog.set_level(logging.WARNING)
    try:
        part = audio.load(cut, sample_rate=native, on_damage="skip")
    except AudioError:
        assert not ENCODINGS[name].recovers or share < 0.5
        return
    first, *others = [record.getMessage() for record in caplog.records]
    assert first.startswith("recording: cut off")
    assert len(others) <= 1 and all("left out" in other for other in others)
    assert len(part) < len(whole)
    assert len(part) > 0.4 * len(whole) or share < 0.5 or not ENCODINGS[name].recovers
    n = len(part) - round(0.3 * native)  # the last packet may lack bytes and is zeros
    assert n <= 0 or np.abs(part[:n] - whole[:n]).max() < 1e-4


@matrix
def test_a_pipe_gives_the_samples_of_the_file(tmp_path, encoded, name, rate, count):
    data = encoded(name, rate, count)
    path = tmp_path / "no extension"
    path.write_bytes(data)
    assert np.array_equal(audio.load(path), audio.load(data))
    assert audio.info(path) == audio.info(data)
    part = audio.load(path, offset=0.4, duration=0.3)
    assert np.array_equal(part, audio.load(data, offset=0.4, duration=0.3))


@pytest.mark.parametrize(("name", "rate", "count"), UNSUPPORTED)
def test_the_encoder_refuses_what_the_matrix_lacks(samples, name, rate, count):
    with pytest.raises((av.FFmpegError, soundfile.LibsndfileError)):
        ENCODINGS[name].encode(samples(rate, count), rate)


def test_wideband_amr_for_which_there_is_no_encoder_is_read():
    no_data = bytes([15 << 3 | 4])
    data = b"#!AMR-WB\n" + no_data * 50
    assert audio.info(data) == audio.AudioInfo(1.0, 16_000, 1)
    assert not audio.load(data).any()
