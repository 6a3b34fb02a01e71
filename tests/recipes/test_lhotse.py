"""Manifests of lhotse in the layout that lhotse 1.33 writes."""

import gzip
import json

import numpy as np
import pytest
import soundfile

from recipes.errors import RecipeError
from recipes.lhotse import lhotse


def recording_entry(name, path, seconds=4.0, channels=1, **others):
    numbers = list(range(channels))
    return {
        "id": name,
        "sources": [{"type": "file", "channels": numbers, "source": str(path)}],
        "sampling_rate": 16000,
        "num_samples": round(seconds * 16000),
        "duration": seconds,
        "channel_ids": numbers,
        **others,
    }


def supervision(name, start, duration, text="yes", channel=0, **others):
    return {
        "id": name,
        "recording_id": "a",
        "start": start,
        "duration": duration,
        "channel": channel,
        "text": text,
        "language": "English",
        **others,
    }


def cut(entry, *supervisions, start=0.0, duration=4.0, channel=0, kind="MonoCut"):
    return {
        "id": f"{entry['id']}-0" if entry else "features-0",
        "start": start,
        "duration": duration,
        "channel": channel,
        "supervisions": list(supervisions),
        "recording": entry,
        "type": kind,
    }


def write(path, *entries):
    text = "".join(json.dumps(entry) + "\n" for entry in entries)
    path.write_bytes(
        gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode()
    )
    return path


@pytest.fixture
def mono(tmp_path, tone):
    """Return a recording of 4 s whose path is relative to the manifest."""
    tone(tmp_path / "audio" / "a.wav", 4.0)
    return recording_entry("a", "audio/a.wav")


@pytest.fixture
def stereo(tmp_path):
    soundfile.write(tmp_path / "call.wav", np.full((64_000, 2), 0.1), 16_000)
    return recording_entry("call", tmp_path / "call.wav", channels=2)


@pytest.fixture
def prepare(tmp_path, manifest):
    """Return a function that writes a CutSet, runs the recipe, and returns (utterances, lines)."""

    def prepare(*cuts, **options):
        path = write(tmp_path / "cuts.jsonl.gz", *cuts)
        folder = lhotse(train=path, root=tmp_path, validation_share=0, **options)
        left_out = folder / "left_out.txt"
        lines = left_out.read_text().splitlines() if left_out.exists() else []
        return manifest(tmp_path, "lhotse", "train"), [
            line.split("\t")[2] for line in lines
        ]

    return prepare


def test_each_supervision_of_a_cut_is_an_utterance(tmp_path, mono, prepare):
    first = supervision("s1", 0.5, 1.0, "Hello, there!", speaker="ann")
    second = supervision("s2", 2.0, 1.5, speaker="bob")
    utterances, left_out = prepare(cut(mono, first, second))
    assert [(u.text, u.speaker, u.offset, u.duration) for u in utterances] == [
        ("hello there", "ann", 0.5, 1.0),
        ("yes", "bob", 2.0, 1.5),
    ]
    assert utterances[0].audio.resolve() == tmp_path / "audio" / "a.wav"
    assert left_out == []


def test_supervisions_are_relative_to_a_cut_and_must_not_extend_beyond_it(mono, prepare):
    trimmed = cut(mono, supervision("s1", 0.0, 1.0), start=2.5, duration=1.0)
    window = cut(
        mono, supervision("s2", -0.5, 1.0), supervision("s3", 0.5, 1.0), duration=1.0
    )
    utterances, left_out = prepare(trimmed, window)
    assert [(u.offset, u.duration) for u in utterances] == [(2.5, 1.0)]
    assert left_out == ["extends beyond its cut: s2", "extends beyond its cut: s3"]


def test_channels_count_from_one_in_the_manifest_if_there_are_several(stereo, prepare):
    left = supervision("s1", 0, 1, "left", 0)
    right = supervision("s2", 1, 2, "right", 1)
    both = supervision("s3", 1, 2, "both", [0, 1])
    call = cut(stereo, left, right, both, channel=[0, 1], kind="MultiCut")
    one = cut(stereo, supervision("s4", 0, 1, "one", 1), channel=1)
    utterances, left_out = prepare(call, one)
    assert [(u.text, u.channel) for u in utterances] == [
        ("left", 1),
        ("right", 2),
        ("one", 2),
    ]
    assert left_out == ["several channels, pass channel=: s3"]
    utterances, left_out = prepare(call, channel=2)
    assert [(u.text, u.channel) for u in utterances][2] == ("both", 2)
    assert left_out == []


def test_the_channels_of_a_file_are_in_the_order_that_its_source_lists(stereo, prepare):
    stereo["sources"][0]["channels"] = [1, 0]
    cuts = [
        cut(stereo, supervision(f"s{c}", 2 * c, 2, channel=c), channel=c) for c in (0, 1)
    ]
    utterances, _ = prepare(*cuts)
    assert [(u.offset, u.channel) for u in utterances] == [(0.0, 2), (2.0, 1)]


def test_a_channel_in_a_file_of_its_own_needs_no_number(tmp_path, tone, prepare):
    files = [tone(tmp_path / f"{name}.wav", 4.0) for name in "ab"]
    entry = recording_entry("a", files[0], channels=2)
    entry["sources"] = [
        {"type": "file", "channels": [i], "source": str(file)}
        for i, file in enumerate(files)
    ]
    ((utterance,), _) = prepare(cut(entry, supervision("s", 0, 1, channel=1), channel=1))
    assert (utterance.audio.name, utterance.channel) == ("b.wav", "mix")


def test_cuts_that_are_not_a_stretch_of_a_recording_file_are_listed(mono, prepare):
    speech = supervision("s1", 0, 1)
    speed = [{"name": "Speed", "kwargs": {"factor": 1.1}}]
    resample = [{"name": "Resample", "kwargs": {"target_sampling_rate": 8000}}]
    command = [{"type": "command", "channels": [0], "source": "sox a.wav"}]
    mixed = {"id": "m", "tracks": [{"cut": cut(mono, speech), "offset": 0.0}]}
    utterances, left_out = prepare(
        cut(mono | {"transforms": resample}, speech),
        cut(mono | {"transforms": speed}, speech),
        cut(mono | {"sources": command}, speech),
        cut(None, speech),
        cut(mono),
        cut(mono, supervision("s2", 0, 1, text="")),
        mixed | {"type": "MixedCut"},
        {"id": "p", "duration": 2.0, "sampling_rate": 16000, "type": "PaddingCut"},
    )
    assert len(utterances) == 1
    assert left_out == [
        "recording changed by Speed: a-0",
        "source command instead of a file: a-0",
        "no recording, only features: features-0",
        "no supervision: a-0",
        "no transcript: s2",
        "MixedCut instead of a stretch of one recording: m",
        "PaddingCut instead of a stretch of one recording: p",
    ]


def test_supervisions_are_joined_with_the_recordings_beside_them(tmp_path, mono, manifest):
    path = write(tmp_path / "x_supervisions_dev.jsonl", supervision("s1", 0.5, 1.0))
    with pytest.raises(RecipeError, match="no RecordingSet beside this SupervisionSet"):
        lhotse(validation=path, root=tmp_path)
    write(tmp_path / "x_recordings_dev.jsonl", mono)
    lhotse(validation=path, root=tmp_path)
    (utterance,) = manifest(tmp_path, "lhotse", "validation")
    assert (utterance.offset, utterance.duration, utterance.channel) == (0.5, 1.0, "mix")
    write(path, supervision("s1", 0.5, 1.0) | {"recording_id": "b"})
    with pytest.raises(RecipeError, match=r"x_recordings_dev\.jsonl: no recording b"):
        lhotse(validation=path, root=tmp_path)
    write(path, supervision("s1", 0.5, 1.0), {"id": "s2"})
    with pytest.raises(RecipeError, match="missing or invalid value: 'recording_id'"):
        lhotse(validation=path, root=tmp_path)


def test_one_cut_set_is_split_by_speaker(tmp_path, mono, manifest):
    speeches = [supervision(f"s{i}", 0.1 * i, 0.1, speaker=f"p{i // 2}") for i in range(40)]
    lhotse(cuts=write(tmp_path / "cuts.jsonl", cut(mono, *speeches)), root=tmp_path)
    splits = {
        split: {u.speaker for u in manifest(tmp_path, "lhotse", split)}
        for split in ("train", "validation", "test")
    }
    assert all(splits.values())
    assert sum(map(len, splits.values())) == 20


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cuts.jsonl", "{\n", r"cuts\.jsonl, line 1: not JSON"),
        ("cuts.jsonl", "3\n", "line 1: not an object"),
        ("cuts.jsonl", '{"id": "a"}\n', "entry 1: missing or invalid value: 'type'. Pass"),
        ("cuts.jsonl.gz", "{}\n", "cannot be read: Not a gzipped file"),
        ("cuts.yaml", "a: 1\n", r"must end with \.jsonl"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_refused_in_one_line(
    tmp_path, name, content, message
):
    (tmp_path / name).write_text(content)
    with pytest.raises(RecipeError, match=message) as error:
        lhotse(cuts=tmp_path / name, root=tmp_path)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "manifests").exists()


def test_wrong_settings_are_refused(tmp_path):
    with pytest.raises(RecipeError, match="cannot be read: No such file"):
        lhotse(train=tmp_path / "no.jsonl", root=tmp_path)
    for files in ({}, {"cuts": tmp_path, "train": tmp_path}):
        with pytest.raises(RecipeError, match="Pass cuts=FILE, or train="):
            lhotse(**files, root=tmp_path)
    with pytest.raises(RecipeError, match="channel must be >= 1, got 0"):
        lhotse(cuts=tmp_path, channel=0)
