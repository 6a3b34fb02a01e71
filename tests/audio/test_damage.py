"""Damage in the middle of a recording: what is lost becomes zeros, and the rest keeps its time."""

import io
import logging
import struct
from functools import cache

import numpy as np
import pytest
import soundfile
from audio_encodings import ENCODINGS

from asr import audio
from asr.audio import damage, flac, readers
from asr.errors import AudioError

RATE = 16_000
SECONDS = 20.0
MARGIN = 0.05  # seconds around a damaged part in which decoders and resampling may differ
CHECKED = (
    "flac",
    "mp3",
    "mp3-cbr",
    "mp2",
    "ogg",
    "opus",
    "m4a",
    "mp4",
    "mov",
    "webm",
    "mkv",
    "ts",
)
LOSSLESS = ("flac", "mov")


@pytest.fixture(scope="session")
def encoded(sound):
    """Return a function that encodes 20 s."""

    @cache
    def encode(name):
        return ENCODINGS[name].encode(sound(SECONDS)[:, None], RATE)

    return encode


def replace_bytes(data, position, count, kind="random"):
    """Return a file in which some bytes are random or zero."""
    content = bytearray(data)
    content[position : position + count] = (
        np.random.default_rng(position).bytes(count) if kind == "random" else bytes(count)
    )
    return bytes(content)


def read(data, **options):
    """Return the waveform of a damaged recording and the damaged parts."""
    with audio.Recording(data, on_damage="skip") as recording:
        return recording.load(**options), recording.damaged


def inside(damaged, count, margin=0.0):
    """Return a mask (S,) of the samples in damaged parts."""
    time = np.arange(count) / RATE
    mask = np.zeros(count, bool)
    for start, end in damaged:
        mask |= (time >= start - margin) & (time < end + margin)
    return mask


@pytest.mark.parametrize("name", CHECKED)
@pytest.mark.parametrize("kind", ["random", "zeros"])
@pytest.mark.parametrize("place", [0.3, 0.55, 0.72])
def test_the_rest_keeps_its_time_after_damage_in_the_middle(encoded, name, kind, place):
    data = encoded(name)
    whole = audio.load(data)
    content = replace_bytes(data, round(place * len(data)), len(data) // 100, kind)
    waveform, damaged = read(content)
    assert abs(len(waveform) - len(whole)) <= 0.05 * RATE
    assert (
        0 < sum(end - start for start, end in damaged) < 6.0
    )  # a page or a cluster has 5 s
    n = min(len(waveform), len(whole))
    lost = inside(damaged, n)
    assert not waveform[:n][inside(damaged, n, -MARGIN)].any()
    far = ~inside(damaged, n, MARGIN)
    assert lost[far].sum() == 0 and far.sum() > 0.6 * n
    difference = np.abs(waveform[:n] - whole[:n])[far]
    assert np.quantile(difference, 0.99) < (1e-6 if name in LOSSLESS else 0.02)
    assert np.corrcoef(waveform[:n][far], whole[:n][far])[0, 1] > 0.99
    if name not in ("mp2", "ts"):  # they cannot tell damage from the end of a part
        with pytest.raises(AudioError):
            audio.load(content)


@pytest.mark.parametrize("name", sorted(ENCODINGS))
def test_an_intact_recording_is_read_like_without_skipping(sound, name):
    encoding = ENCODINGS[name]
    for rate in encoding.rates[:2]:
        data = encoding.encode(sound(1.5, rate)[:, None], rate)
        waveform, damaged = read(data)
        assert damaged == []
        assert np.array_equal(waveform, audio.load(data))


@pytest.mark.parametrize("name", CHECKED)
def test_blocks_and_segments_have_the_times_of_the_whole(encoded, name):
    data = encoded(name)
    content = replace_bytes(data, len(data) // 2, len(data) // 100)
    whole, damaged = read(content)
    with audio.Recording(content, on_damage="skip") as recording:
        blocks = list(recording.blocks(3.0))
        assert np.allclose(recording.damaged, damaged)
        part = recording.load(offset=15.0, duration=2.0)  # backward
        assert np.allclose(recording.damaged, damaged)
    joined = np.concatenate(blocks)
    n = min(len(joined), len(whole))
    assert abs(len(joined) - len(whole)) <= 0.11 * RATE
    assert np.abs(joined[:n] - whole[:n])[~inside(damaged, n, MARGIN)].max() < 1e-3
    expected = whole[15 * RATE : 17 * RATE]
    mask = ~inside(damaged, len(whole), MARGIN)[15 * RATE : 17 * RATE]
    assert np.abs(part - expected)[mask].max() < 0.05  # resampled from another start


@pytest.mark.parametrize("name", ["flac", "mp3", "opus", "m4a"])
def test_several_damaged_parts_are_found(encoded, name):
    data = encoded(name)
    places = (0.2, 0.5, 0.8)
    content = data
    for place in places:
        content = replace_bytes(content, round(place * len(data)), len(data) // 200)
    waveform, damaged = read(content)
    assert len(damaged) == len(places)
    for place, (start, end) in zip(places, damaged, strict=True):
        assert start - 1.0 < place * SECONDS < end + 1.0
    assert abs(len(waveform) - SECONDS * RATE) < 0.1 * RATE


@pytest.mark.parametrize("name", ["ogg", "opus"])
def test_an_ogg_page_that_is_missing_is_damage(encoded, name):
    data = encoded(name)
    pages = [i for i in range(len(data)) if data.startswith(b"OggS", i)]
    number = len(pages) // 2
    content = data[: pages[number]] + data[pages[number + 1] :]
    whole = audio.load(data)
    waveform, ((start, end),) = read(content)
    assert 0.5 < end - start < 3.0
    last = whole[-2 * RATE :]
    assert np.corrcoef(waveform[len(whole) - len(last) : len(whole)], last)[0, 1] > 0.99
    for function in (audio.load, audio.info):
        with pytest.raises(AudioError, match=f"damaged: no page at byte {pages[number]:,}"):
            function(content)


def test_a_single_wrong_bit_in_flac_loses_one_frame(encoded):
    data = encoded("flac")
    content = bytearray(data)
    content[len(data) // 2] ^= 4
    waveform, ((start, end),) = read(bytes(content))
    assert end - start == pytest.approx(4096 / RATE)
    mask = ~inside([(start, end)], len(waveform))
    assert np.array_equal(waveform[mask], audio.load(data)[mask])


def test_flac_without_its_length_in_the_header_is_read_around_damage(encoded):
    content = bytearray(encoded("flac"))
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    whole = audio.load(bytes(content))
    waveform, damaged = read(replace_bytes(content, len(content) // 2, 2_000))
    assert len(damaged) == 1 and len(waveform) == len(whole)
    mask = ~inside(damaged, len(whole))
    assert np.array_equal(waveform[mask], whole[mask])


@pytest.mark.parametrize("name", ["flac", "mp3", "opus"])
def test_a_recording_that_is_damaged_and_cut_off_ends_at_the_cut(encoded, name, caplog):
    data = encoded(name)
    content = replace_bytes(data, len(data) // 3, 2_000)[: round(0.8 * len(data))]
    waveform, damaged = read(content)
    assert 0.7 * SECONDS < len(waveform) / RATE < 0.9 * SECONDS
    assert damaged[0][0] < 0.4 * SECONDS
    last = slice(int(0.6 * SECONDS * RATE), int(0.7 * SECONDS * RATE))
    assert np.corrcoef(waveform[last], audio.load(data)[last])[0, 1] > 0.99


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_samples_that_are_no_numbers_become_zeros(tmp_path, sound, value, caplog):
    caplog.set_level(logging.WARNING)
    samples = sound(3.0)
    samples[RATE : RATE + 800 : 7] = value  # closer than 0.1 s
    samples[2 * RATE] = value
    path = tmp_path / "a.wav"
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    waveform, damaged = read(path)
    assert damaged == [(1.0, 1.0 + 799 / RATE), (2.0, 2.0 + 1 / RATE)]
    lost = inside(damaged, len(samples))
    assert not waveform[lost].any()
    assert np.array_equal(waveform[~lost], sound(3.0)[~lost])
    (record,) = caplog.records
    assert record.getMessage() == f"{path}: damaged: 0.05 s are left out, from 1.00 s on"


def test_a_recording_of_nothing_but_nan_is_an_error(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.full(RATE, np.nan), RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"NaN or infinite sample at 0\.00 s"):
        read(tmp_path / "a.wav")


def test_the_number_of_lost_mp3_frames_follows_from_the_header_or_the_bytes(encoded):
    for name in ("mp3", "mp3-cbr"):  # with and without the number of frames
        data = encoded(name)
        for start, count in ((0.3, 0.01), (0.5, 0.1), (0.7, 0.002)):
            content = replace_bytes(
                data, round(start * len(data)), round(count * len(data))
            )
            assert abs(audio.info(content, on_damage="skip").duration - SECONDS) < 0.15


def test_bytes_missing_from_an_mp3_are_counted_by_its_header(encoded):
    """One gap and an intact end show how many frames the gap lacks."""
    data = encoded("mp3")
    half, tenth = len(data) // 2, len(data) // 10
    content = data[:half] + data[half + tenth + 7 :]
    whole = audio.load(data)
    waveform, ((start, end),) = read(content)
    assert len(waveform) == len(whole)
    assert end - start == pytest.approx(0.1 * SECONDS, abs=0.5)
    last = slice(-4 * RATE, -RATE)
    assert np.corrcoef(waveform[last], whole[last])[0, 1] > 0.99
    cut = audio.info(content[: -len(data) // 5], on_damage="skip").duration
    assert cut == pytest.approx(0.7 * SECONDS, abs=0.5)


def test_joined_mp3_of_different_rates_are_refused(sound):
    first, second = (
        ENCODINGS["mp3-cbr"].encode(sound(1.0, rate)[:, None], rate)
        for rate in (44_100, 22_050)
    )
    for mode in ("error", "skip"):
        with pytest.raises(AudioError, match="joined recordings of different sample rates"):
            audio.info(first + second, on_damage=mode)


def test_flac_opens_one_decoder_for_all_blocks_after_damage(encoded, monkeypatch):
    content = replace_bytes(encoded("flac"), len(encoded("flac")) // 4, 100_000)
    opened = []
    original = flac.FlacReader.__init__

    def count(self, *arguments):
        opened.append(arguments)
        original(self, *arguments)

    monkeypatch.setattr(flac.FlacReader, "__init__", count)
    with audio.Recording(content, on_damage="skip") as recording:
        blocks = list(recording.blocks(1.0))
        damaged = recording.damaged
    assert len(opened) == 1 and len(damaged) == 1
    whole = audio.load(encoded("flac"))
    mask = ~inside(damaged, len(whole))
    assert mask.sum() > 0.5 * len(whole)
    assert np.array_equal(np.concatenate(blocks)[mask], whole[mask])


def test_damage_of_one_channel_is_not_that_of_another(tmp_path, sound, caplog):
    samples = np.stack([sound(2.0), sound(2.0, seed=1)], axis=1)
    samples[RATE : RATE + 1600, 0] = np.nan
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    with audio.Recording(tmp_path / "a.wav", on_damage="skip") as recording:
        for channel, expected in ((1, [(1.0, 1.1)]), (2, []), (1, [(1.0, 1.1)]), (2, [])):
            list(recording.blocks(0.5, channel=channel))
            assert recording.damaged == expected
    assert "damaged: 0.10 s are left out, from 1.00 s on" in caplog.text


def test_blocks_after_the_end_of_a_reader_are_damaged(sound, caplog):
    class Short(readers.Reader):
        sample_rate, channels, frames = RATE, 1, 4 * RATE

        def read(self, first, count):
            return sound(4.0)[:, None][first : min(first + count, round(1.5 * RATE))]

    content = ENCODINGS["flac"].encode(sound(4.0)[:, None], RATE)
    with audio.Recording(content, on_damage="skip") as recording:
        recording._reader.close()
        recording._reader = Short()
        waveform = np.concatenate(list(recording.blocks(1.0)))
        assert recording.damaged == [(1.5, 4.0)]
    assert len(waveform) == 4 * RATE
    assert not waveform[round(1.5 * RATE) :].any()


def test_a_missing_start_has_the_time_of_the_first_sample(sound):
    """Zeros at the start are damage only if the container says that something is missing."""
    pieces = [(1000, np.ones((500, 1), np.float32))]
    for start, lost in ((1000, 0), (900, 0), (0, 1000)):
        damaged = []
        frames = lost + 500
        filled = np.concatenate([*damage.fill_gaps(pieces, start, frames, 1000, damaged)])
        assert len(filled) == frames
        assert not filled[:lost].any() and filled[lost + 100 :].all()


@pytest.mark.parametrize("wrong", [10**12, -(10**12)])
def test_a_wrong_time_adds_no_silence(wrong):
    one = np.ones((1000, 1), np.float32)
    pieces = [(0, one), (1000, one), (wrong, one), (3000, one)]
    damaged = []
    filled = np.concatenate([*damage.fill_gaps(pieces, 0, 4000, 1000, damaged)])
    assert len(filled) == 4000 and filled.all()
    assert damaged == []


@pytest.mark.parametrize("jump", [10**6, -(10**6)])
def test_a_clock_that_jumps_loses_nothing(jump):
    """The gaps after the jump are still filled."""
    one = np.ones((100, 1), np.float32)
    times = [*range(0, 4000, 100), *range(5000, 7000, 100)]
    pieces = [(time if time < 2000 else time + jump, one) for time in times]
    damaged = []
    filled = np.concatenate([*damage.fill_gaps(pieces, 0, 7000, 1000, damaged)])
    assert damaged == [(3900, 5100)]  # the gap, and 0.1 s around it
    assert len(filled) == 7000
    assert filled[:3900].all() and filled[5100:].all() and not filled[3900:5100].any()


def test_spans_that_overlap_or_touch_are_merged():
    assert damage.merge([(5, 7), (0, 2), (2, 3), (6, 9)]) == [(0, 3), (5, 9)]
    assert damage.merge([(0, 2), (4, 5), (9, 10)], 2) == [(0, 5), (9, 10)]


def test_checksums_are_those_of_the_formats(encoded):
    """Every page and every frame of intact files has the checksum that this package computes."""
    assert damage.find_damaged_page(io.BytesIO(encoded("opus"))) == 0
    data = encoded("flac")
    start = data.index(b"\xff\xf8", 42)
    while not flac.find_frames(data[start : start + 20_000], 20_000):
        start += 1
    frames = [*flac.find_frames(data[start:], 20_000)]
    assert sum(map(len, frames)) == len(data) - start
    count = struct.unpack(">Q", data[18:26])[0] & (1 << 36) - 1
    assert len(frames) == -(-count // 4096)
