"""An utterance may be one channel of a recording, in manifests, batches, caches, and shards."""

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from asr import audio
from asr.config.alignment import collect_requests
from asr.data.cache import cache_audio
from asr.data.dataset import SpeechDataset
from asr.data.filter import Example
from asr.data.manifest import Utterance, read_manifest, write_manifest
from asr.data.shards import write_shards
from asr.errors import AudioError, ManifestError
from asr.inference.aligner import Aligner
from asr.inference.formats import Ctm


@pytest.fixture
def channels(sound):
    """Return two different waveforms (S,) with 16 bits."""
    waveforms = [sound(2.0, seed=seed) for seed in (1, 2)]
    return [np.round(waveform * 32768).astype(np.int16) for waveform in waveforms]


@pytest.fixture
def call(channels, tmp_path):
    """Return the utterances of both channels of a call, and a segment of the second."""
    path = tmp_path / "call.wav"
    soundfile.write(path, np.stack(channels, axis=1), 16_000)
    first, second = (Utterance(path, 2.0, "one", channel=number) for number in (1, 2))
    return [first, second, replace(second, offset=0.5, duration=1.0)]


@pytest.fixture
def expected(channels):
    """Return the waveforms (S,) of these utterances."""
    first, second = (waveform / np.float32(32768) for waveform in channels)
    return [first, second, second[8_000:24_000]]


def test_manifests_store_a_channel_only_if_there_is_one(call, tmp_path):
    mix = replace(call[0], channel="mix")
    write_manifest(tmp_path / "m.jsonl", [*call, mix])
    assert read_manifest(tmp_path / "m.jsonl") == [*call, mix]
    lines = [json.loads(line) for line in (tmp_path / "m.jsonl").read_text().splitlines()]
    assert [line.get("channel") for line in lines] == [1, 2, 2, None]


@pytest.mark.parametrize("channel", [0, -1, 1.5, "left", True])
def test_a_channel_must_be_a_number_from_one(tmp_path, channel):
    entry = {"audio_filepath": "a.wav", "duration": 1, "text": "", "channel": channel}
    (tmp_path / "m.jsonl").write_text(json.dumps(entry))
    with pytest.raises(ManifestError, match="line 1: channel must be"):
        read_manifest(tmp_path / "m.jsonl")


def test_names_of_channels_differ(call):
    names = [utterance.name for utterance in call]
    assert [name.rpartition("/")[2] for name in names] == [
        "call.wav:1",
        "call.wav:2",
        "call.wav:2@0.5+1",
    ]


def test_batches_have_the_samples_of_the_channel(call, expected):
    dataset = SpeechDataset([Example(utterance, ()) for utterance in call])
    batch = dataset[[(0, 0), (1, 0), (2, 0)]]
    for row, length, waveform in zip(batch.waveforms, batch.lengths, expected, strict=True):
        np.testing.assert_array_equal(row[:length], waveform)


def test_a_missing_channel_is_a_failure(call):
    dataset = SpeechDataset([Example(replace(call[0], channel=3), ())])
    assert "no channel 3. Channels: 2" in dataset[[(0, 0)]].failures[0][1]


@pytest.mark.parametrize("form", ["flac", "wav"])
def test_shards_hold_the_channel_alone(call, expected, tmp_path, form):
    stored, failures = write_shards(call, tmp_path, "s", form=form)
    assert failures == []
    for utterance, waveform in zip(stored, expected, strict=True):
        assert (utterance.offset, utterance.channel) == (0.0, "mix")
        np.testing.assert_array_equal(audio.load(utterance.audio), waveform)


def test_the_cache_holds_the_channel_alone(call, expected, tmp_path):
    cached = cache_audio(call, tmp_path / "cache")
    for utterance, waveform in zip(cached, expected, strict=True):
        assert (utterance.offset, utterance.channel) == (0.0, "mix")
        np.testing.assert_array_equal(audio.load(utterance.audio), waveform)


def test_another_channel_than_the_manifest_can_be_aligned(call, tmp_path):
    write_manifest(tmp_path / "m.jsonl", call)
    requests, _ = collect_requests([], None, str(tmp_path / "m.jsonl"), channel=2)
    assert {request.channel for request in requests} == {2}
    assert all(":2" in request.name for request in requests)


def test_each_channel_is_aligned_with_its_own_text(call, channels, tmp_path, build):
    path = tmp_path / "mono.wav"
    soundfile.write(path, channels[1], 16_000)
    mono = replace(call[1], audio=path, channel="mix")
    write_manifest(tmp_path / "m.jsonl", [call[0], call[1], mono])
    requests, _ = collect_requests([], None, str(tmp_path / "m.jsonl"))
    first, second, alone = Aligner(build(), min_score=0).align(requests)
    assert not isinstance(second, AudioError)
    assert second == replace(alone, channel=2)
    assert second.words != first.words
    assert Ctm().render("call", [second]).startswith("call 2 ")
    assert Ctm().render("mono", [alone]).startswith("mono 1 ")
