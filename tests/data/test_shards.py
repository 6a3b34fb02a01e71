"""Shards hold what the files held, whatever lies around; a damaged one costs its own clips."""

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


def tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as out:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            out.addfile(info, io.BytesIO(body))
    return path


def same_sound(utterances, stored):
    for before, after in zip(utterances, stored, strict=True):
        expected = audio.load(before.audio, offset=before.offset, duration=before.duration)
        np.testing.assert_array_equal(audio.load(after.audio, duration=after.duration), expected)


@pytest.mark.parametrize("form", ["flac", "wav"])
def test_shards_hold_the_samples_and_texts_of_the_files_and_of_pieces_of_them(
    utterances, tmp_path, form
):
    utterances += [replace(utterances[4], offset=0.25, duration=0.5, text="a piece")]
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
    same_sound(utterances, stored)
    if form == "flac":
        assert (stored[0].audio.member, stored[6].audio.member) == (
            "00000000-0.wav",
            "00000006-4.flac",
        )


def test_shards_are_tars_of_webdatasets_form_and_are_read_as_such(utterances, tmp_path):
    stored, _ = write_shards(utterances, tmp_path / "shards", "train")
    with tarfile.open(tmp_path / "shards" / "train-00000.tar") as packed:
        assert packed.getnames()[:2] == ["00000000-0.wav", "00000000-0.json"]
        assert json.load(packed.extractfile("00000001-1.json")) == {
            "text": "two three", "duration": 0.81, "speaker": "s1"
        }  # fmt: skip
    found, failures = index_shard(tmp_path / "shards" / "train-00000.tar")
    assert (found, failures) == (stored, [])


def test_the_same_through_a_manifest_that_has_moved_with_its_shards_and_from_a_server(
    utterances, tmp_path, server
):
    stored, _ = write_shards(utterances, tmp_path / "shards", "train", hours=1.5 / 3600)
    write_manifest(tmp_path / "shards" / "train.jsonl", stored)
    moved = (tmp_path / "shards").rename(tmp_path / "moved")
    same_sound(utterances, read_manifest(moved / "train.jsonl"))
    server.files = {f"/corpus/{path.name}": path.read_bytes() for path in moved.iterdir()}
    far = read_manifest(f"{server.url}/corpus/train.jsonl")
    assert far[0].name == f"{server.url}/corpus/train-00000.tar/00000000-0.wav"
    same_sound(utterances, far)
    with pytest.raises(ManifestError, match="no such manifest"):
        read_manifest(f"{server.url}/corpus/none.jsonl")


def test_a_batch_from_shards_is_that_from_files(utterances, tmp_path):
    stored, _ = write_shards(utterances, tmp_path / "shards", "train")
    items = [(at, 3) for at in range(len(utterances))]
    one, other = (
        SpeechDataset(keep_all(found, Tokenizer.english()).examples, augment=Speed(), seed=1)[items]
        for found in (utterances, stored)
    )
    assert torch.equal(one.waveforms, other.waveforms)
    assert torch.equal(one.targets, other.targets)


def test_a_damaged_shard_costs_its_own_clips(utterances, tmp_path):
    stored, _ = write_shards(utterances, tmp_path / "shards", "train", hours=1.5 / 3600)
    first = Path(stored[0].audio.place)
    first.write_bytes(first.read_bytes()[: stored[1].audio.first + 100])
    batch = SpeechDataset(keep_all(stored, Tokenizer.english()).examples)[
        [(at, 0) for at in range(len(stored))]
    ]
    assert [u.text for u in batch.utterances] == [
        "one",
        *(u.text for u in stored if u.audio.place != str(first)),
    ]
    assert len(batch.failures) == sum(u.audio.place == str(first) for u in stored) - 1
    assert all("cut off" in reason for _, reason in batch.failures)


def test_a_shard_that_is_cut_in_the_middle_gives_what_comes_before(utterances, tmp_path):
    stored, _ = write_shards(utterances, tmp_path / "shards", "train")
    whole = tmp_path / "shards" / "train-00000.tar"
    whole.write_bytes(whole.read_bytes()[: stored[3].audio.first + 100])
    found, failures = index_shard(whole)
    assert found == stored[:3]
    ((name, why),) = failures
    assert name == str(whole)
    assert "damaged or cut off" in why


def test_shards_of_others_have_texts_beside_the_clips(recording, tmp_path):
    sound = recording("a.wav", 0.5).read_bytes()
    members = {
        "sub/a.wav": sound, "sub/a.txt": b"one two", "b.wav": sound, "c.wav": b"no sound", "c.txt": b"x",
        "d.wav": sound, "d.json": b"{broken", "e.wav": sound, "e.json": b'{"text": "three", "speaker": 7}',
    }  # fmt: skip
    found, failures = index_shard(tar(tmp_path / "other.tar", members))
    assert [(u.audio.member, u.text, u.duration, u.speaker) for u in found] == [
        ("sub/a.wav", "one two", 0.5, ""),
        ("e.wav", "three", 0.5, "7"),
    ]
    assert {name.rpartition("/")[2] for name, _ in failures} == {
        "b.wav",
        "c.wav",
        "d.json",
        "d.wav",
    }
    assert all(np.array_equal(audio.load(u.audio), audio.load(tmp_path / "a.wav")) for u in found)


def test_what_is_no_shard_is_said_so(tmp_path):
    with pytest.raises(StorageError, match=r"none\.tar: cannot be read as a shard"):
        index_shard(tmp_path / "none.tar")
    (tmp_path / "text.tar").write_text("no tar at all " * 100)
    assert index_shard(tmp_path / "text.tar")[1][0][0] == str(tmp_path / "text.tar")


def test_recordings_that_cannot_be_read_are_left_out_and_named(utterances, tmp_path):
    utterances[1].audio.write_text("no recording")
    stored, failures = write_shards(utterances, tmp_path / "shards", "train")
    assert len(stored) == len(utterances) - 1
    assert [name for name, _ in failures] == [str(utterances[1].audio)]


def test_shards_that_a_longer_run_left_are_gone_and_nothing_is_half_written(
    utterances, tmp_path, monkeypatch
):
    write_shards(utterances, tmp_path, "train", hours=0.5 / 3600)
    write_shards(utterances[:2], tmp_path, "train", hours=0.5 / 3600)
    assert sorted(path.name for path in tmp_path.glob("*.tar*")) == [
        "train-00000.tar",
        "train-00001.tar",
    ]

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    before = (tmp_path / "train-00000.tar").read_bytes()
    with pytest.raises(OSError, match=r"No space left on device: .*train-00000.tar"):
        write_shards(utterances, tmp_path, "train")
    assert (tmp_path / "train-00000.tar").read_bytes() == before
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("missing", ["first_byte", "bytes"])
def test_a_member_without_its_place_is_named_with_its_line(tmp_path, missing):
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
    with pytest.raises(
        ManifestError, match=r"m.jsonl, line 1: a member of a shard needs first_byte and bytes"
    ):
        read_manifest(tmp_path / "m.jsonl")


def test_a_manifest_names_single_files_behind_an_address_too(recording, server, tmp_path):
    path = recording("a.wav", 0.4)
    server.files["/c/a.wav"] = path.read_bytes()
    server.files["/c/m.jsonl"] = b'{"audio_filepath": "a.wav", "duration": 0.4, "text": "one"}'
    (utterance,) = read_manifest(f"{server.url}/c/m.jsonl")
    assert utterance.audio == ByteRange(f"{server.url}/c/a.wav")
    same_sound([replace(utterance, audio=path)], [utterance])
    write_manifest(tmp_path / "n.jsonl", [utterance])
    assert read_manifest(tmp_path / "n.jsonl") == [utterance]
