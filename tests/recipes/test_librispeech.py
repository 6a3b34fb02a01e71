"""Test that LibriSpeech has a manifest for each part, unique utterances, and separate speakers."""

import re

import pytest

from asr.config.app import run_recipe
from recipes.errors import RecipeError
from recipes.fetch import torchaudio_checksum
from recipes.librispeech import MINI, PARTS, RECORDED, librispeech

TREE = {
    "train-clean-5": ["19-1-0000", "19-1-0001", "26-2-0000"],
    "train-clean-100": ["19-1-0001", "19-1-0002", "27-3-0000"],
    "dev-clean": ["84-4-0000"],
}


@pytest.fixture
def root(tmp_path, tone):
    for part, names in TREE.items():
        for name in names:
            speaker, chapter, _ = name.split("-")
            folder = tmp_path / "LibriSpeech" / part / speaker / chapter
            tone(folder / f"{name}.flac")
            with (folder / f"{speaker}-{chapter}.trans.txt").open("a") as lines:
                lines.write(f"{name} HE SAID IT'S {speaker}\n")
    return tmp_path


def names(utterances):
    return [utterance.audio.stem for utterance in utterances]


def test_each_part_has_a_manifest_and_shared_utterances_are_in_the_first_one(
    root, manifest
):
    folder = librispeech(root=root, parts=list(TREE))
    assert names(manifest(root, "librispeech", "train-clean-5")) == TREE["train-clean-5"]
    assert names(manifest(root, "librispeech", "train-clean-100")) == [
        "19-1-0002",
        "27-3-0000",
    ]
    (dev,) = manifest(root, "librispeech", "dev-clean")
    assert (dev.speaker, dev.text) == ("84", "he said it's 84")
    assert re.search(
        r"^train-clean-100\t.*19-1-0001.flac\tduplicate$",
        (folder / "left_out.txt").read_text(),
        re.M,
    )


def test_validation_speakers_are_in_no_train_part(root, manifest):
    librispeech(root=root, parts=list(TREE), validation_speakers=["19"])
    assert names(manifest(root, "librispeech", "validation")) == [
        "19-1-0000",
        "19-1-0001",
        "19-1-0002",
    ]
    assert names(manifest(root, "librispeech", "train-clean-5")) == ["26-2-0000"]
    assert names(manifest(root, "librispeech", "train-clean-100")) == ["27-3-0000"]


def test_an_error_names_an_unknown_speaker_or_part(root):
    with pytest.raises(
        RecipeError, match=r"validation_speakers: no speaker 84\. Choose from 19, 26, 27"
    ):
        librispeech(root=root, parts=list(TREE), validation_speakers=["84"])
    with pytest.raises(
        RecipeError,
        match=r"parts must be some of dev-clean, .*dev-clean-2, got \[train-clean\]",
    ):
        librispeech(root=root, parts=["train-clean"])
    with pytest.raises(RecipeError, match=r"parts must be some of dev-clean, .*got \[\]"):
        librispeech(root=root, parts=[])


def test_a_missing_part_is_downloaded_and_a_wrong_file_is_refused(tmp_path, server, capsys):
    server.files["/31/dev-clean-2.tar.gz"] = b"something else"
    assert (
        run_recipe(
            librispeech, [f"root={tmp_path}", f"url={server.url}", "parts=dev-clean-2"]
        )
        == 2
    )
    assert server.asked == [("/31/dev-clean-2.tar.gz", None)]
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith(
        f"recipes.librispeech: {tmp_path / 'dev-clean-2.tar.gz'}: wrong md5 checksum"
    )
    assert MINI["dev-clean-2"].removeprefix("md5:") in message


def test_every_part_has_a_checksum():
    for part in PARTS:
        checksum = MINI.get(part) or torchaudio_checksum(
            "librispeech", RECORDED.format(part)
        )
        assert re.fullmatch(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", checksum)


def test_38_utterances_shared_by_the_real_parts_are_kept_once(shared, manifest, capsys):
    root = shared("librispeech")
    parts = ["train-clean-5", "train-clean-100", "dev-clean", "test-other"]
    librispeech(root=root, parts=parts, validation_speakers=["1898", "3526", "3664"])
    splits = {
        split: manifest(root, "librispeech", split) for split in (*parts, "validation")
    }
    assert [len(utterances) for utterances in splits.values()] == [1163, 329, 2, 30, 143]
    assert "38 duplicate" in capsys.readouterr().out
    training = {u.speaker for part in parts[:2] for u in splits[part]}
    assert not training & {u.speaker for u in splits["validation"]}
