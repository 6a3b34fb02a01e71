"""What is decoded once is what would be decoded each time, and is made again when the recordings change."""

import shutil
from collections import namedtuple
from dataclasses import replace

import numpy as np
import pytest

from asr import audio
from asr.audio.remote import ByteRange
from asr.data.cache import cache_audio
from asr.errors import ConfigError


def test_the_cache_has_the_samples_of_the_files_and_is_made_once(
    utterances, recording, tmp_path, capsys
):
    utterances += [replace(utterances[4], offset=0.25, duration=0.5)]
    first = cache_audio(utterances, tmp_path / "cache")
    assert "decoding 7 utterances once" in capsys.readouterr().out
    assert cache_audio(utterances, tmp_path / "cache") == first
    assert capsys.readouterr().out == ""
    for before, after in zip(utterances, first, strict=True):
        assert isinstance(after.audio, ByteRange)
        assert replace(after, audio=before.audio, offset=before.offset) == before
        expected = audio.load(before.audio, offset=before.offset, duration=before.duration)
        np.testing.assert_array_equal(audio.load(after.audio), expected)


def test_other_rates_and_formats_are_kept_to_the_precision_of_16_bits(
    utterances, recording, tmp_path
):
    path = recording("fast.ogg", 0.5, rate=44_100)
    (kept,) = cache_audio([replace(utterances[0], audio=path)], tmp_path / "cache")
    np.testing.assert_allclose(
        audio.load(kept.audio), audio.load(path, duration=0.5), atol=0.5 / 32768
    )


def test_a_recording_that_changes_is_decoded_anew(utterances, recording, tmp_path):
    (before,) = cache_audio(utterances[:1], tmp_path / "cache")
    recording(utterances[0].audio.name, 0.5, seed=99)
    (after,) = cache_audio(utterances[:1], tmp_path / "cache")
    assert not np.array_equal(audio.load(before.audio), audio.load(after.audio))


def test_what_cannot_be_read_stays_as_it_is_to_be_counted_where_it_is_read(utterances, tmp_path):
    utterances[2].audio.unlink()
    kept = cache_audio(utterances, tmp_path / "cache")
    assert kept[2] == utterances[2]
    assert all(isinstance(kept[at].audio, ByteRange) for at in (0, 1, 3, 4, 5))


def test_a_disk_without_room_is_told_before_anything_is_decoded(utterances, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: namedtuple("Usage", "free")(10))
    with pytest.raises(ConfigError, match=r"data.cache=pcm needs 0.0 GB there, 0.0 are free"):
        cache_audio(utterances, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
