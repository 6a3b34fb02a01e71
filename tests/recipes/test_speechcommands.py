"""Test the official splits of Speech Commands, and the balance with other words and silence."""

from collections import Counter
from itertools import pairwise

import pytest

from asr.config.app import run_recipe
from recipes.fetch import torchaudio_checksum
from recipes.speechcommands import COMMANDS, NOISE, URL, speechcommands

OTHERS = ("bed", "zero")
CLIPS = {"train": 5, "validation": 2, "test": 2}  # of each word


@pytest.fixture
def root(tmp_path, tone):
    tree = tmp_path / "SpeechCommands" / "speech_commands_v0.02"
    lists = {"validation": [], "test": []}
    for word in (*COMMANDS, *OTHERS):
        for split, count in CLIPS.items():
            for i in range(count):
                clip = f"{word}/{split}er{i % 2}_nohash_{i}.wav"
                tone(tree / clip)
                lists.get(split, []).append(clip)
    (tree / "validation_list.txt").write_text("\n".join(lists["validation"]) + "\n")
    (tree / "testing_list.txt").write_text("\n".join(lists["test"]) + "\n")
    for noise in ("pink", "tap"):
        tone(tree / NOISE / f"{noise}.wav", 20.0)
    return tmp_path


def texts(utterances):
    return Counter(utterance.text for utterance in utterances)


def test_every_clip_is_in_its_official_split_with_its_word(root, manifest):
    speechcommands(root=root)
    for split, count in CLIPS.items():
        utterances = manifest(root, "speechcommands", split)
        assert texts(utterances) == dict.fromkeys((*COMMANDS, *OTHERS), count)
        assert {utterance.speaker for utterance in utterances} == {
            f"{split}er0",
            f"{split}er1",
        }
        assert all(NOISE not in str(utterance.audio) for utterance in utterances)


def test_commands_are_balanced_with_unknown_words_and_silence(root, manifest):
    speechcommands(root=root, words="commands")
    for split, count in CLIPS.items():
        utterances = manifest(root, "speechcommands", split)
        assert texts(utterances) == dict.fromkeys((*COMMANDS, "unknown", ""), count)
        unknown = [utterance for utterance in utterances if utterance.text == "unknown"]
        assert {utterance.audio.parent.name for utterance in unknown} <= set(OTHERS)


def test_splits_share_no_noise(root, manifest):
    speechcommands(root=root, words="commands")
    spans = {}
    for split in CLIPS:
        silences = [u for u in manifest(root, "speechcommands", split) if not u.text]
        assert all(u.duration == 1.0 for u in silences)
        for noise in {u.audio.name for u in silences}:
            offsets = [u.offset for u in silences if u.audio.name == noise]
            spans.setdefault(noise, []).append((min(offsets), max(offsets) + 1.0))
    for pieces in spans.values():
        ordered = sorted(pieces)
        assert all(end <= start for (_, end), (start, _) in pairwise(ordered))


def test_left_out_list_names_a_missing_clip(root, manifest):
    clip = (
        root / "SpeechCommands" / "speech_commands_v0.02" / "yes" / "tester0_nohash_0.wav"
    )
    clip.unlink()
    folder = speechcommands(root=root)
    assert texts(manifest(root, "speechcommands", "test"))["yes"] == 1
    assert str(clip) in (folder / "left_out.txt").read_text()


def test_an_unknown_version_is_refused(capsys):
    assert run_recipe(speechcommands, ["version=v0.03"]) == 2
    assert "must be one of v0.02, v0.01" in capsys.readouterr().err


@pytest.mark.parametrize("version", ["v0.01", "v0.02"])
def test_both_versions_have_a_checksum(version):
    assert (
        len(
            torchaudio_checksum("speechcommands", f"{URL}/speech_commands_{version}.tar.gz")
        )
        == len("sha256:") + 64
    )


def test_the_real_words_are_split_by_speaker(shared, manifest):
    root = shared("speechcommands")
    speechcommands(root=root)
    train, validation, test = (
        manifest(root, "speechcommands", s) for s in ("train", "validation", "test")
    )
    assert [len(train), len(validation), len(test)] == [2253, 542, 482]
    speakers = [{u.speaker for u in split} for split in (train, validation, test)]
    assert len(set.union(*speakers)) == sum(map(len, speakers)) == 176
