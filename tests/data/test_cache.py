"""The cache returns the samples of the recordings and notices when they change."""

import shutil
from collections import namedtuple
from dataclasses import replace

import numpy as np
import pytest

from asr import audio
from asr.audio.remote import ByteRange
from asr.data.cache import cache_audio
from asr.data.manifest import Utterance
from asr.errors import ConfigError


def test_cache_has_the_samples_of_the_files_and_is_written_once(
    utterances, recording, tmp_path, capsys
):
    utterances += [replace(utterances[4], offset=0.25, duration=0.5)]
    cached = cache_audio(utterances, tmp_path / "cache")
    assert "decoding 7 utterances once" in capsys.readouterr().out
    assert cache_audio(utterances, tmp_path / "cache") == cached
    assert capsys.readouterr().out == ""
    for before, after in zip(utterances, cached, strict=True):
        assert isinstance(after.audio, ByteRange)
        assert replace(after, audio=before.audio, offset=before.offset) == before
        expected = audio.load(before.audio, offset=before.offset, duration=before.duration)
        np.testing.assert_array_equal(audio.load(after.audio), expected)


def test_other_rates_and_formats_have_16_bit_precision(utterances, recording, tmp_path):
    path = recording("fast.ogg", 0.5, rate=44_100)
    (cached,) = cache_audio([replace(utterances[0], audio=path)], tmp_path / "cache")
    np.testing.assert_allclose(
        audio.load(cached.audio), audio.load(path, duration=0.5), atol=0.5 / 32768
    )


def test_a_changed_recording_is_decoded_again(utterances, recording, tmp_path):
    (before,) = cache_audio(utterances[:1], tmp_path / "cache")
    recording(utterances[0].audio.name, 0.5, seed=99)
    (after,) = cache_audio(utterances[:1], tmp_path / "cache")
    assert not np.array_equal(audio.load(before.audio), audio.load(after.audio))


def test_parts_of_a_recording_that_begin_at_close_times_differ(recording, tmp_path):
    path = recording("long.wav", 1.0)
    near = [Utterance(path, 0.5, "a", offset=offset) for offset in (0.3, 0.3000001)]
    keys = {cache_audio([part], tmp_path / "cache")[0].audio.path for part in near}
    assert len(keys) == 2


def test_a_changed_shard_is_decoded_again(utterances, recording, tmp_path):
    shard = tmp_path / "a.wav"
    shutil.copy(utterances[0].audio, shard)
    inside = [replace(utterances[0], audio=ByteRange(str(shard), "a.wav"))]
    (before,) = cache_audio(inside, tmp_path / "cache")
    recording(utterances[0].audio.name, 0.5, seed=99)
    shutil.copy(utterances[0].audio, shard)
    (after,) = cache_audio(inside, tmp_path / "cache")
    assert not np.array_equal(audio.load(before.audio), audio.load(after.audio))


def test_an_unreadable_recording_stays_in_place_and_fails_when_it_is_read(
    utterances, tmp_path
):
    utterances[2].audio.unlink()
    cached = cache_audio(utterances, tmp_path / "cache")
    assert cached[2] == utterances[2]
    assert all(isinstance(cached[i].audio, ByteRange) for i in (0, 1, 3, 4, 5))


def test_a_full_disk_is_reported_before_decoding_starts(utterances, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: namedtuple("Usage", "free")(10))
    message = r"cache: the decoded audio needs 0.0 GB, only 0.0 GB are free"
    with pytest.raises(ConfigError, match=message):
        cache_audio(utterances, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
