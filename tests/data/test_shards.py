"""Shards have the samples and texts of the files, and damage affects only its own clips."""

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from asr import audio
from asr.audio.augment import Speed
from asr.audio.remote import ByteRange
from asr.data.dataset import SpeechDataset
from asr.data.filter import keep_all
from asr.data.manifest import read_manifest, write_manifest
from asr.data.shards import index_shard, write_shards
from asr.errors import ManifestError, StorageError
from asr.text import Tokenizer


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as out:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            out.addfile(info, io.BytesIO(body))
    return path


def assert_same_samples(utterances, stored):
    for before, after in zip(utterances, stored, strict=True):
        expected = audio.load(before.audio, offset=before.offset, duration=before.duration)
        np.testing.assert_array_equal(
            audio.load(after.audio, duration=after.duration), expected
        )


@pytest.mark.parametrize("form", ["flac", "wav"])
def test_shards_have_samples_and_texts_of_files_and_segments(utterances, tmp_path, form):
    utterances += [replace(utterances[4], offset=0.25, duration=0.5, text="a segment")]
    stored, failures = write_shards(
        utterances, tmp_path / "shards", "train", hours=1.5 / 3600, form=form
    )
    assert not failures
    assert [(u.text, u.duration, u.speaker) for u in stored] == [
        (u.text, u.duration, u.speaker) for u in utterances
    ]
    assert [path.name for path in sorted((tmp_path / "shards").iterdir())] == [
        f"train-0000{n}.tar" for n in range(4)
    ]
    assert_same_samples(utterances, stored)
    if form == "flac":
        assert (stored[0].audio.member, stored[6].audio.member) == (
            "00000000-0.wav",
            "00000006-4.flac",
        )


def test_shards_are_written_and_read_in_webdataset_format(utterances, tmp_path):
    stored, _ = write_shards(utterances, tmp_path / "shards", "train")
    with tarfile.open(tmp_path / "shards" / "train-00000.tar") as tar:
        assert tar.getnames()[:2] == ["00000000-0.wav", "00000000-0.json"]
        assert json.load(tar.extractfile("00000001-1.json")) == {
            "text": "two three", "duration": 0.81, "speaker": "s1"
        }  # fmt: skip
    assert index_shard(tmp_path / "shards" / "train-00000.tar") == (stored, [])


def test_shards_are_read_after_moving_with_their_manifest_and_from_a_server(
    utterances, tmp_path, server
):
    stored, _ = write_shards(utterances, tmp_path / "shards", "train", hours=1.5 / 3600)
    write_manifest(tmp_path / "shards" / "train.jsonl", stored)
    moved = (tmp_path / "shards").rename(tmp_path / "moved")
    assert_same_samples(utterances, read_manifest(moved / "train.jsonl"))
    server.files = {f"/corpus/{path.name}": path.read_bytes() for path in moved.iterdir()}
    remote = read_manifest(f"{server.url}/corpus/train.jsonl")
    assert remote[0].name == f"{server.url}/corpus/train-00000.tar/00000000-0.wav"
    assert_same_samples(utterances, remote)
    with pytest.raises(ManifestError, match="no such manifest"):
        read_manifest(f"{server.url}/corpus/none.jsonl")


def test_a_batch_from_shards_equals_a_batch_from_files(utterances, tmp_path):
    stored, _ = write_shards(utterances, tmp_path / "shards", "train")
    items = [(index, 3) for index in range(len(utterances))]
    selections = [keep_all(source, Tokenizer.english()) for source in (utterances, stored)]
    expected, batch = (
        SpeechDataset(selection.examples, augment=Speed(), seed=1)[items]
        for selection in selections
    )
    assert torch.equal(batch.waveforms, expected.waveforms)
    assert torch.equal(batch.targets, expected.targets)


def test_a_damaged_shard_loses_only_its_own_clips(utterances, tmp_path):
    stored, _ = write_shards(utterances, tmp_path / "shards", "train", hours=1.5 / 3600)
    path = Path(stored[0].audio.path)
    path.write_bytes(path.read_bytes()[: stored[1].audio.offset + 100])
    batch = SpeechDataset(keep_all(stored, Tokenizer.english()).examples)[
        [(index, 0) for index in range(len(stored))]
    ]
    assert [u.text for u in batch.utterances] == [
        "one",
        *(u.text for u in stored if u.audio.path != str(path)),
    ]
    assert len(batch.failures) == sum(u.audio.path == str(path) for u in stored) - 1
    assert all("cut off" in reason for _, reason in batch.failures)


def test_a_truncated_shard_keeps_the_clips_before_the_damage(utterances, tmp_path):
    stored, _ = write_shards(utterances, tmp_path / "shards", "train")
    path = tmp_path / "shards" / "train-00000.tar"
    path.write_bytes(path.read_bytes()[: stored[3].audio.offset + 100])
    indexed, failures = index_shard(path)
    assert indexed == stored[:3]
    ((name, reason),) = failures
    assert name == str(path)
    assert "damaged or cut off" in reason


def test_shards_of_other_programs_have_texts_beside_the_clips(recording, tmp_path):
    sound = recording("a.wav", 0.5).read_bytes()
    members = {
        "sub/a.wav": sound,
        "sub/a.txt": b"one two",
        "b.wav": sound,
        "c.wav": b"no sound",
        "c.txt": b"x",
        "d.wav": sound,
        "d.json": b"{broken",
        "e.wav": sound,
        "e.json": b'{"text": "three", "speaker": 7}',
        "._e.wav": b"ignored",  # macOS adds such files to archives
    }
    indexed, failures = index_shard(write_tar(tmp_path / "other.tar", members))
    assert [(u.audio.member, u.text, u.duration, u.speaker) for u in indexed] == [
        ("sub/a.wav", "one two", 0.5, ""),
        ("e.wav", "three", 0.5, "7"),
    ]
    assert {name.rpartition("/")[2] for name, _ in failures} == {
        "b.wav",
        "c.wav",
        "d.json",
        "d.wav",
    }
    assert all(
        np.array_equal(audio.load(u.audio), audio.load(tmp_path / "a.wav")) for u in indexed
    )


def test_a_missing_shard_raises_and_another_file_is_listed_as_a_failure(tmp_path):
    with pytest.raises(StorageError, match=r"none\.tar: cannot be read as a shard"):
        index_shard(tmp_path / "none.tar")
    (tmp_path / "text.tar").write_text("no tar at all " * 100)
    assert index_shard(tmp_path / "text.tar")[1][0][0] == str(tmp_path / "text.tar")


def test_unreadable_recordings_are_left_out_and_listed(utterances, tmp_path):
    utterances[1].audio.write_text("no recording")
    stored, failures = write_shards(utterances, tmp_path / "shards", "train")
    assert len(stored) == len(utterances) - 1
    assert [name for name, _ in failures] == [str(utterances[1].audio)]


def test_stale_shards_are_deleted_and_a_failed_write_keeps_the_old_shard(
    utterances, tmp_path, monkeypatch
):
    write_shards(utterances, tmp_path, "train", hours=0.5 / 3600)
    write_shards(utterances[:2], tmp_path, "train", hours=0.5 / 3600)
    assert sorted(path.name for path in tmp_path.glob("*.tar*")) == [
        "train-00000.tar",
        "train-00001.tar",
    ]

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "addfile", fail)
    before = (tmp_path / "train-00000.tar").read_bytes()
    with pytest.raises(OSError, match=r"No space left on device: .*train-00000.tar"):
        write_shards(utterances, tmp_path, "train")
    assert (tmp_path / "train-00000.tar").read_bytes() == before
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("missing", ["first_byte", "bytes"])
def test_a_shard_member_without_position_raises_an_error_with_its_line(tmp_path, missing):
    entry = {
        "audio_filepath": "a.tar",
        "member": "x",
        "first_byte": 0,
        "bytes": 9,
        "duration": 1,
        "text": "",
    }
    del entry[missing]
    (tmp_path / "m.jsonl").write_text(json.dumps(entry))
    with pytest.raises(ManifestError, match=rf"m.jsonl, line 1: lacks {missing}$"):
        read_manifest(tmp_path / "m.jsonl")


def test_a_manifest_can_list_single_files_at_a_url(recording, server, tmp_path):
    path = recording("a.wav", 0.4)
    server.files["/c/a.wav"] = path.read_bytes()
    server.files["/c/m.jsonl"] = (
        b'{"audio_filepath": "a.wav", "duration": 0.4, "text": "one"}'
    )
    (utterance,) = read_manifest(f"{server.url}/c/m.jsonl")
    assert utterance.audio == ByteRange(f"{server.url}/c/a.wav")
    assert_same_samples([replace(utterance, audio=path)], [utterance])
    write_manifest(tmp_path / "n.jsonl", [utterance])
    assert read_manifest(tmp_path / "n.jsonl") == [utterance]
