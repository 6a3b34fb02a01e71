"""Test AN4 in each of its three formats, and the official counts of the real corpus."""

import tarfile
from collections import Counter

import numpy as np
import pytest
import soundfile

from asr import audio
from asr.config.app import run_recipe
from recipes.an4 import an4

TRAIN = ("fash", "fbbh", "mblb", "mcel")


@pytest.fixture
def tree(tmp_path, tone):
    """Return a function that writes a small AN4 as WAV with two utterances for each speaker."""

    def lay_out(folder):
        for part, speakers in (("train", TRAIN), ("test", ("fcaw",))):
            clips = "an4_clstk" if part == "train" else "an4test_clstk"
            names = [
                f"{clips}/{speaker}/an{i}-{speaker}-b"
                for speaker in speakers
                for i in (1, 2)
            ]
            for name in names:
                tone(folder / "wav" / f"{name}.wav")
            # CMU's training transcripts have sentence marks. Its test transcripts have none.
            line = (
                "<s> ENTER G M E F </s> ({})\n" if part == "train" else "RUBOUT FIVE ({})\n"
            )
            lines = [line.format(name.rpartition("/")[2]) for name in names]
            (folder / "etc").mkdir(exist_ok=True)
            (folder / "etc" / f"an4_{part}.fileids").write_text("\n".join(names) + "\n")
            (folder / "etc" / f"an4_{part}.transcription").write_text("".join(lines))
        return folder

    return lay_out


def test_validation_has_speakers_of_both_sexes(tmp_path, tree, manifest):
    tree(tmp_path / "an4")
    an4(root=tmp_path, validation_speakers=2)
    held_out = {utterance.speaker for utterance in manifest(tmp_path, "an4", "validation")}
    assert {speaker[0] for speaker in held_out} == {"f", "m"}
    train = manifest(tmp_path, "an4", "train")
    assert {utterance.speaker for utterance in train} == set(TRAIN) - held_out
    assert {utterance.text for utterance in train} == {"enter g m e f"}
    assert {utterance.text for utterance in manifest(tmp_path, "an4", "test")} == {
        "rubout five"
    }


def test_no_validation_speakers_give_no_validation_manifest(tmp_path, tree, manifest):
    tree(tmp_path / "an4")
    folder = an4(root=tmp_path, validation_speakers=0)
    assert len(manifest(tmp_path, "an4", "train")) == 8
    assert not (folder / "validation.jsonl").exists()


def test_big_endian_samples_are_converted_to_wav_once_and_exactly(tmp_path, tree, manifest):
    wavs = sorted(tree(tmp_path / "an4").rglob("*.wav"))
    samples = {wav: soundfile.read(wav, dtype="int16")[0] for wav in wavs}
    for wav in wavs:
        wav.with_suffix(".raw").write_bytes(samples[wav].astype(">i2").tobytes())
        wav.unlink()
    an4(root=tmp_path, validation_speakers=0)
    assert sorted((tmp_path / "an4").rglob("*.wav")) == wavs
    assert all(
        np.array_equal(soundfile.read(wav, dtype="int16")[0], samples[wav]) for wav in wavs
    )
    written = wavs[0].stat().st_mtime_ns
    an4(root=tmp_path, validation_speakers=0, again=True)
    assert wavs[0].stat().st_mtime_ns == written


def test_sphere_files_are_not_converted(tmp_path, tree, manifest):
    for wav in sorted(tree(tmp_path / "an4").rglob("*.wav")):
        samples, rate = soundfile.read(wav, dtype="int16")
        soundfile.write(
            wav.with_suffix(".sph"),
            samples,
            rate,
            format="NIST",
            subtype="PCM_16",
            endian="BIG",
        )
        wav.unlink()
    an4(root=tmp_path, validation_speakers=0)
    utterance = manifest(tmp_path, "an4", "test")[0]
    assert utterance.audio.suffix == ".sph"
    assert len(audio.load(utterance.audio)) == 1600


@pytest.mark.parametrize("archive", ["an4_sphere.tar.gz", "an4_raw.bigendian.tar.gz"])
def test_an_existing_archive_is_extracted_and_a_missing_one_is_downloaded(
    tmp_path, tree, server, archive, capsys
):
    (tmp_path / "packed").mkdir()
    with tarfile.open(tmp_path / archive, "w:gz") as out:
        out.add(tree(tmp_path / "packed"), "an4")
    if archive == "an4_sphere.tar.gz":
        server.files["/an4/an4_sphere.tar.gz"] = (tmp_path / archive).read_bytes()
        (tmp_path / archive).unlink()
    arguments = [f"root={tmp_path}", f"url={server.url}/an4", "validation_speakers=1"]
    assert run_recipe(an4, arguments) == 0
    first = capsys.readouterr()
    assert run_recipe(an4, arguments) == 0
    assert capsys.readouterr().out == first.out
    assert len(server.asked) == (archive == "an4_sphere.tar.gz")


def test_left_out_list_names_a_missing_recording(tmp_path, tree, manifest):
    missing = next(tree(tmp_path / "an4").rglob("an2-mcel-b.wav"))
    missing.unlink()
    folder = an4(root=tmp_path, validation_speakers=0)
    assert len(manifest(tmp_path, "an4", "train")) == 7
    assert str(missing) in (folder / "left_out.txt").read_text()


@pytest.fixture(scope="module")
def real(shared):
    root = shared("an4")
    an4(root=root)
    return root


def test_the_real_corpus_has_the_official_counts(real, manifest):
    counts = {
        split: len(manifest(real, "an4", split))
        for split in ("train", "validation", "test")
    }
    assert counts["train"] + counts["validation"] == 948
    assert counts["test"] == 130
    assert not (real / "manifests" / "an4" / "left_out.txt").exists()


def test_the_real_corpus_is_split_by_speaker_with_both_sexes_in_validation(real, manifest):
    speakers = {
        split: {utterance.speaker for utterance in manifest(real, "an4", split)}
        for split in ("train", "validation", "test")
    }
    assert [len(speakers[split]) for split in speakers] == [66, 8, 10]
    assert len(set().union(*speakers.values())) == 84
    assert Counter(name[0] for name in speakers["validation"]) == {"f": 4, "m": 4}


def test_the_real_transcripts_are_lower_case_words_and_single_letters(real, manifest):
    texts = {
        u.audio.stem: u.text
        for split in ("train", "validation", "test")
        for u in manifest(real, "an4", split)
    }
    assert texts["an406-fcaw-b"] == "rubout g m e f three nine"
    assert set("".join(texts.values())) <= set("abcdefghijklmnopqrstuvwxyz' ")
