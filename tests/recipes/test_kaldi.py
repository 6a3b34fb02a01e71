"""Kaldi data directories in the forms that its recipes write."""

import numpy as np
import pytest
import soundfile

from recipes.errors import RecipeError
from recipes.kaldi import kaldi, read_table


@pytest.fixture
def write(tmp_path):
    """Return write(folder, **tables), which writes a data directory."""

    def write(folder, **tables):
        path = tmp_path / folder
        path.mkdir(exist_ok=True)
        for name, text in tables.items():
            (path / name.replace("_", ".")).write_text(text)
        return path

    return write


def test_recordings_of_a_directory_have_texts_and_speakers(
    tmp_path, write, tone, manifest, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    tone(tmp_path / "here" / "a.wav", 0.5)
    tone(tmp_path / "train" / "b.wav", 0.5)
    absolute = tone(tmp_path / "c.flac", 0.5)
    train = write(
        "train",
        wav_scp=f"u1 here/a.wav\nu2  b.wav\nu3\t{absolute}\n",
        text="u1 HELLO  WORLD\nu2 two\n\nu3\n",
        utt2spk="u1 ann\nu2 ann\nu3 bob\n",
    )
    folder = kaldi(train=train, root=tmp_path, validation_share=0)
    first, second = manifest(tmp_path, "kaldi", "train")
    assert (first.text, first.speaker, first.duration) == ("hello world", "ann", 0.5)
    assert second.audio.name == "b.wav"
    assert "c.flac\tempty transcript" in (folder / "left_out.txt").read_text()


def test_segments_have_offsets_and_durations(tmp_path, write, tone, manifest):
    tone(tmp_path / "test" / "call.wav", 3.0)
    test = write(
        "test",
        wav_scp="call call.wav\n",
        segments="a call 0.5 1.25\nb call 1.5 -1\nc call 2 2.5\n",
        text="a one\nb two\n",
    )
    folder = kaldi(test=test, root=tmp_path, name="calls")
    spans = [(u.text, u.offset, u.duration) for u in manifest(tmp_path, "calls", "test")]
    assert spans == [("one", 0.5, 0.75), ("two", 1.5, 1.5)]
    assert "no transcript" in (folder / "left_out.txt").read_text()


def test_segments_may_choose_a_channel_counted_from_zero(tmp_path, write, manifest):
    soundfile.write(tmp_path / "call.wav", np.full((32_000, 2), 0.1), 16_000)
    test = write(
        "test",
        wav_scp=f"call {tmp_path / 'call.wav'}\n",
        segments="a call 0 1 1\nb call 0 1\nc call 0 1 2\n",
        text="a yes\nb no\nc no\n",
    )
    folder = kaldi(test=test, root=tmp_path)
    channels = [u.channel for u in manifest(tmp_path, "kaldi", "test")]
    assert channels == [2, "mix"]
    assert "no such channel: 3 of 2" in (folder / "left_out.txt").read_text()
    kaldi(test=test, root=tmp_path, channel=1)
    channels = [u.channel for u in manifest(tmp_path, "kaldi", "test")]
    assert channels == [2, 1]


def test_validation_is_taken_from_train_by_speaker_unless_it_is_given(
    tmp_path, write, tone, manifest
):
    names = [f"u{i}" for i in range(20)]
    for name in names:
        tone(tmp_path / "train" / f"{name}.wav", 0.2)
    train = write(
        "train",
        wav_scp="".join(f"{name} {name}.wav\n" for name in names),
        text="".join(f"{name} yes\n" for name in names),
        utt2spk="".join(f"{name} s{i // 2}\n" for i, name in enumerate(names)),
    )
    kaldi(train=train, root=tmp_path)
    speakers = [
        {u.speaker for u in manifest(tmp_path, "kaldi", split)}
        for split in ("train", "validation")
    ]
    assert all(speakers)
    assert speakers[0].isdisjoint(speakers[1])
    kaldi(train=train, validation=train, root=tmp_path)
    assert len(manifest(tmp_path, "kaldi", "validation")) == 20


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"wav_scp": "a sox a.mp3 -t wav - |\n"}, "a is a command, which is not run"),
        ({"wav_scp": "a raw.ark:17\n"}, "inside a Kaldi archive"),
        ({"wav_scp": "a a.wav\na b.wav\n"}, "line 2: a occurs twice"),
        ({"wav_scp": "a a.wav\n", "segments": "x b 0 1\n"}, "b is not in wav.scp"),
        ({"wav_scp": "a a.wav\n", "segments": "x a 1 0\n"}, "end must be > 1"),
        ({"wav_scp": "a a.wav\n", "segments": "x a 1\n"}, "start and end in seconds"),
        ({"wav_scp": "a a.wav\n", "segments": "x a 0 1 A\n"}, "and may have a channel"),
        ({"wav_scp": "a a.wav\n", "segments": "x a 0 1 0 0\n"}, "6 fields"),
        ({}, r"wav\.scp cannot be read: No such file"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(tmp_path, write, tables, message):
    train = write("train", **{"text": "a yes\n", **tables})
    with pytest.raises(RecipeError, match=message) as error:
        kaldi(train=train, root=tmp_path)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "manifests").exists()


def test_a_directory_is_required(tmp_path):
    with pytest.raises(RecipeError, match="Pass train=FOLDER"):
        kaldi(root=tmp_path)
    with pytest.raises(RecipeError, match="validation_share must be >= 0 and < 1, got 1"):
        kaldi(train=tmp_path, validation_share=1)


def test_line_breaks_of_unicode_do_not_end_a_row(tmp_path):
    (tmp_path / "text").write_text("a one\u2028two\nb three\n", encoding="utf-8")
    assert read_table(tmp_path / "text") == {"a": "one\u2028two", "b": "three"}
