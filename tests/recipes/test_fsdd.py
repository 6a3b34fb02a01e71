"""Test the splits of FSDD by speaker and by take, and the counts of the real corpus."""

import zipfile

import pytest

from recipes.errors import RecipeError
from recipes.fsdd import RELEASE, fsdd


@pytest.fixture
def recordings(tmp_path, tone):
    folder = tmp_path / "free-spoken-digit-dataset" / "recordings"
    for speaker in ("george", "theo"):
        for digit in (0, 7):
            for take in (0, 4, 5, 49):
                tone(folder / f"{digit}_{speaker}_{take}.wav", rate=8000)
    return folder


def takes(utterances):
    return {utterance.audio.stem.rpartition("_")[2] for utterance in utterances}


def test_a_test_speaker_is_in_no_other_split(tmp_path, recordings, manifest):
    fsdd(root=tmp_path)
    train, validation, test = (
        manifest(tmp_path, "fsdd", s) for s in ("train", "validation", "test")
    )
    assert {u.speaker for u in test} == {"george"}
    assert {u.speaker for u in (*train, *validation)} == {"theo"}
    assert (takes(train), takes(validation), takes(test)) == (
        {"5", "49"},
        {"0", "4"},
        {"0", "4", "5", "49"},
    )
    assert {u.text for u in train} == {"zero", "seven"}


def test_no_test_speakers_select_the_official_split(tmp_path, recordings, manifest):
    folder = fsdd(root=tmp_path, test_speakers=[])
    assert takes(manifest(tmp_path, "fsdd", "test")) == {"0", "4"}
    assert takes(manifest(tmp_path, "fsdd", "train")) == {"5", "49"}
    assert not (folder / "validation.jsonl").exists()


def test_an_error_names_an_unknown_speaker(tmp_path, recordings):
    with pytest.raises(RecipeError, match=r"no speaker geroge\. Choose from george, theo"):
        fsdd(root=tmp_path, test_speakers=["geroge"])


def test_the_release_is_downloaded_and_extracted_once(
    tmp_path, recordings, server, manifest
):
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as out:
        for path in recordings.iterdir():
            out.write(path, f"{RELEASE}/recordings/{path.name}")
    server.files[f"/v1/{RELEASE}.zip"] = (tmp_path / "packed.zip").read_bytes()
    for again in (False, False, True):
        fsdd(root=tmp_path / "data", url=f"{server.url}/v1", again=again)
    assert len(server.asked) == 1
    assert len(manifest(tmp_path / "data", "fsdd", "test")) == 8


def test_the_real_recordings_are_split_by_speaker_and_take(shared, manifest):
    root = shared("fsdd")
    fsdd(root=root)
    counts = [
        len(manifest(root, "fsdd", split)) for split in ("train", "validation", "test")
    ]
    assert counts == [1800, 200, 500]
    assert len({u.text for u in manifest(root, "fsdd", "test")}) == 10
