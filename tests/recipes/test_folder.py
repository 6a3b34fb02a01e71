"""Test manifests of your own recordings, with transcripts in text files or tables."""

import json

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from recipes.errors import RecipeError
from recipes.folder import folder
from recipes.prepare import Recording
from recipes.splits import split_randomly


@pytest.fixture
def own(tmp_path, tone):
    for name in ("a", "b", "c"):
        tone(tmp_path / "own" / f"{name}.wav", 0.5)
    return tmp_path / "own"


def read_all(manifest, root, name="folder"):
    """Return all utterances of the run with their splits, by file name."""
    splits = [path.stem for path in (root / "manifests" / name).glob("*.jsonl")]
    return {
        u.audio.name: (split, u) for split in splits for u in manifest(root, name, split)
    }


def prepare_table(tmp_path, own, text, name="table.csv", **options):
    (own / name).write_text(text, encoding="utf-8")
    folder(table=own / name, root=tmp_path, **{"validation": 0.0, "test": 0.0} | options)


def test_a_text_file_next_to_a_recording_is_its_transcript(tmp_path, own, manifest):
    for name in "ab":
        (own / f"{name}.txt").write_text(f"\ufeffThis is {name}.\n", encoding="utf-8")
    (own / "stray.txt").write_text("no recording")
    written = folder(audio=own, root=tmp_path, validation=0, test=0, name="me")
    assert {
        file: u.text for file, (_, u) in read_all(manifest, tmp_path, "me").items()
    } == {
        "a.wav": "this is a",
        "b.wav": "this is b",
    }
    left_out = (written / "left_out.txt").read_text()
    assert f"{own / 'c.wav'}\tno transcript\n" in left_out
    assert f"{own / 'stray.txt'}\tno recording\n" in left_out


def test_folders_are_speakers_and_each_speaker_is_in_one_split(tmp_path, tone, manifest):
    for speaker in "abcdef":
        for i in range(3):
            tone(tmp_path / "own" / speaker / f"{i}{speaker}.wav").with_suffix(
                ".txt"
            ).write_text("yes")
    folder(audio=tmp_path / "own", root=tmp_path)
    utterances = read_all(manifest, tmp_path)
    assert {split for split, _ in utterances.values()} == {"train", "validation", "test"}
    splits = {}
    for split, utterance in utterances.values():
        splits.setdefault(utterance.speaker, set()).add(split)
    assert len(splits) == 6
    assert all(len(names) == 1 for names in splits.values())


def test_the_next_run_finds_new_recordings(tmp_path, own, tone, manifest):
    for name in "abc":
        (own / f"{name}.txt").write_text("yes")
    folder(audio=own, root=tmp_path)
    tone(own / "d.wav").with_suffix(".txt").write_text("no")
    folder(audio=own, root=tmp_path)
    assert len(read_all(manifest, tmp_path)) == 4


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", 'audio,text\na.wav,"yes, I do"\nb.wav,no\n'),
        ("t.csv", "\ufeffText;Path\nyes I do;a.wav\nno;b.wav\n"),
        ("t.tsv", "filename\tsentence\textra\na.wav\tyes I do\t1\nb\tno\t2\n"),
        ("t.txt", "file|transcript\na|Yes, I do!\nb|No.\n"),
        (
            "t.jsonl",
            '{"audio_filepath": "a.wav", "text": "yes i do"}\n\n'
            '{"audio_filepath": "b.wav", "text": "no"}\n',
        ),
    ],
)
def test_tables_of_common_formats_are_read(tmp_path, own, manifest, name, text):
    prepare_table(tmp_path, own, text, name)
    utterances = read_all(manifest, tmp_path)
    assert {file: u.text for file, (_, u) in utterances.items()} == {
        "a.wav": "yes i do",
        "b.wav": "no",
    }


def test_ljspeech_needs_no_header_and_its_normalized_text_is_used(tmp_path, tone, manifest):
    own = tmp_path / "LJSpeech-1.1"
    tone(own / "wavs" / "LJ001-0001.wav")
    tone(own / "wavs" / "LJ001-0002.wav")
    # The quote is never closed, as in the real file.
    rows = ['LJ001-0001|"Printing in 1455|"Printing in fourteen fifty-five']
    rows += ["LJ001-0002|in being|in being", ""]
    prepare_table(tmp_path, own, "\n".join(rows), "metadata.csv")
    texts = sorted(utterance.text for _, utterance in read_all(manifest, tmp_path).values())
    assert texts == ["in being", "printing in fourteen fifty five"]


def test_common_voice_clips_and_speakers_are_found(tmp_path, tone, manifest):
    own = tmp_path / "cv"
    tone(own / "clips" / "common_voice_en_1.mp3", 0.5)
    head = "client_id\tpath\tsentence_id\tsentence\tup_votes\n"
    prepare_table(
        tmp_path,
        own,
        head + 'ab12\tcommon_voice_en_1.mp3\t9\t"Hello," he said.\t2\n',
        "validated.tsv",
    )
    ((_, utterance),) = read_all(manifest, tmp_path).values()
    assert (utterance.text, utterance.speaker) == ("hello he said", "ab12")


def test_split_offset_duration_and_speaker_columns_are_used(tmp_path, own, manifest):
    rows = [
        {
            "audio": "a.wav",
            "text": "yes",
            "speaker": 7,
            "split": "Dev",
            "offset": 0.1,
            "duration": "0.2",
        },
        {"audio": "b.wav", "text": "no", "split": "test"},
        {"audio": "c.wav", "text": "go", "split": ""},
    ]
    prepare_table(tmp_path, own, "\n".join(map(json.dumps, rows)), "t.jsonl")
    utterances = read_all(manifest, tmp_path)
    assert {file: split for file, (split, _) in utterances.items()} == {
        "a.wav": "validation",
        "b.wav": "test",
        "c.wav": "train",
    }
    utterance = utterances["a.wav"][1]
    assert (utterance.speaker, utterance.offset, utterance.duration) == ("7", 0.1, 0.2)


def test_audio_may_be_in_another_folder_than_the_table(tmp_path, own, manifest):
    (tmp_path / "t.csv").write_text("audio,text\na.wav,yes\n")
    folder(table=tmp_path / "t.csv", audio=own, root=tmp_path)
    assert set(read_all(manifest, tmp_path)) == {"a.wav"}


def test_doubled_quotes_and_quoted_line_breaks_belong_to_the_text(tmp_path, own, manifest):
    prepare_table(tmp_path, own, 'audio,text\na.wav,"""yes"", he said,\nand no"\n')
    assert read_all(manifest, tmp_path)["a.wav"][1].text == "yes he said and no"


def test_left_out_list_names_rows_without_transcript_or_file(tmp_path, own, manifest):
    prepare_table(tmp_path, own, "audio,text\na.wav,yes\nb.wav,\nz.wav,no\n")
    lines = (tmp_path / "manifests" / "folder" / "left_out.txt").read_text()
    assert "b.wav\tno transcript" in lines
    assert "z.wav\tunreadable: no such file" in lines
    assert set(read_all(manifest, tmp_path)) == {"a.wav"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "audio,words\na.wav,yes\n",
            r"no text column \(text, .*\)\. Columns: audio, words",
        ),
        (
            "recording,text\na.wav,yes\n",
            r"no audio column \(audio_filepath, .*\)\. Columns: recording, text",
        ),
        (
            "audio,text,offset\na.wav,yes,soon\n",
            r"line 2, column offset: could not convert string to float: 'soon'",
        ),
        (
            "audio,text,duration\na.wav,yes,-1\n",
            r"line 2, column duration: seconds must be >= 0, got -1",
        ),
        (
            "audio,text,split\na.wav,yes,../../x\n",
            r"line 2: split '../../x' must be a name",
        ),
        ('{"audio": "a.wav", "text": "yes"}\n{"audio"\n', r"line 2: not JSON"),
        (
            '{"audio": "a.wav", "text": ' + "9" * 5000 + "}\n",
            r"line 1: not JSON that can be read",
        ),
        ('{"audio": "a.wav", "text": "yes"}\n[]\n', r"line 2: not an object"),
        (
            'audio,text\na.wav,yes\na.wav,"yes\na.wav,no\n',
            r"line 3: unexpected end of data\. A field that starts with a quote",
        ),
        ('audio,text\na.wav,"yes" he said\n', r"line 2: .*\. Double the quotes inside it"),
        ("audio,text\n", r"no audio column|no recordings"),
        ("", r"no audio column|no recordings"),
    ],
)
def test_an_invalid_table_is_one_line_with_file_and_line(tmp_path, own, text, message):
    with pytest.raises(RecipeError, match=message) as caught:
        prepare_table(tmp_path, own, text)
    assert str(own / "table.csv") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "Pass audio=FOLDER, table=FILE, or both"),
        ({"audio": "none"}, "audio=.*none: no such folder"),
        ({"table": "none"}, "table=.*none cannot be read"),
        (
            {"audio": "own", "validation": 0.5, "test": 0.5},
            "validation .* test must be < 1, got 1.0",
        ),
        ({"audio": "own", "name": "../x"}, "name must consist of letters, .*got '../x'"),
        ({"audio": "empty"}, "empty: no recordings"),
    ],
)
def test_invalid_settings_are_one_line(tmp_path, own, options, message):
    (tmp_path / "empty").mkdir()
    paths = {key: tmp_path / options[key] for key in ("audio", "table") if key in options}
    with pytest.raises(RecipeError, match=message):
        folder(**{**options, **paths}, root=tmp_path)


shares = st.sampled_from([0.0, 0.1, 0.3])


@given(
    st.lists(st.sampled_from(["", "ann", "bob", "cy", "dee"]), min_size=1, max_size=40),
    shares,
    shares,
)
def test_random_splits_separate_speakers_and_lose_nothing(
    tmp_path_factory, speakers, validation, test
):
    folder = tmp_path_factory.getbasetemp()
    recordings = [
        Recording(folder / f"{i}.wav", "", name) for i, name in enumerate(speakers)
    ]
    splits = split_randomly(recordings, validation, test)
    names = sorted(recording.audio.name for split in splits.values() for recording in split)
    assert names == sorted(recording.audio.name for recording in recordings)
    assert splits["train"]
    assert ("validation" in splits) <= (validation > 0)
    splits_of_speaker = {}
    for split, recordings in splits.items():
        for recording in recordings:
            speaker = recording.speaker or recording.audio.name
            splits_of_speaker.setdefault(speaker, set()).add(split)
    enough = len(splits_of_speaker) > (validation > 0) + (test > 0)
    assert not enough or all(len(names) == 1 for names in splits_of_speaker.values())


def test_few_speakers_are_in_all_splits_on_request(tmp_path):
    recordings = [Recording(tmp_path / f"{i}.wav", "", f"s{i % 3}") for i in range(60)]
    splits = split_randomly(recordings, 0.1, 0.0, min_speakers=4)
    assert len(splits["validation"]) == 6
    assert {recording.speaker for recording in splits["train"]} == {"s0", "s1", "s2"}
    splits = split_randomly(recordings, 0.1, 0.0, min_speakers=3)
    assert len({recording.speaker for recording in splits["validation"]}) == 1
    assert len({recording.speaker for recording in splits["train"]}) == 2


@given(st.integers(1, 60), st.integers(1, 2), shares, shares, st.floats(0, 3))
def test_segments_of_few_recordings_are_split_by_time_and_none_is_lost(
    tmp_path_factory, count, files, validation, test, pause
):
    folder = tmp_path_factory.getbasetemp()
    step = 2 + pause
    recordings = [
        Recording(folder / f"{i % files}.wav", f"{i}", "ann", step * i, 2.0)
        for i in range(count)
    ]
    splits = split_randomly(recordings, validation, test)
    texts = sorted(recording.text for split in splits.values() for recording in split)
    assert texts == sorted(recording.text for recording in recordings)
    train = [recording for recording in splits["train"] if not recording.skip_reason]
    assert train
    held_out = (validation > 0) + (test > 0)
    if min(count, files) <= held_out < count:
        assert ("validation" in splits) == (validation > 0)
        assert ("test" in splits) == (test > 0)


def test_each_channel_of_a_call_may_have_a_row(tmp_path, manifest):
    own = tmp_path / "own"
    own.mkdir()
    soundfile.write(own / "call.wav", np.full((32_000, 2), 0.1), 16_000)
    rows = "call.wav,Hello,ann,1\ncall.wav,Good morning,bob,2\ncall.wav,Bye,eve,3\n"
    text = f"audio,text,speaker,channel\n{rows}"
    prepare_table(tmp_path, own, text)
    utterances = manifest(tmp_path, "folder", "train")
    found = sorted((u.channel, u.text, u.speaker) for u in utterances)
    assert found == [(1, "hello", "ann"), (2, "good morning", "bob")]
    left_out = (tmp_path / "manifests" / "folder" / "left_out.txt").read_text()
    assert left_out.endswith("\tno such channel: 3 of 2\n")


def test_a_channel_can_be_chosen_for_all_rows_without_one(tmp_path, manifest):
    own = tmp_path / "own"
    own.mkdir()
    soundfile.write(own / "call.wav", np.full((32_000, 2), 0.1), 16_000)
    text = "audio,text,channel,start,end\ncall.wav,Hello,,0,1\ncall.wav,Bye,1.0,1,2\n"
    prepare_table(tmp_path, own, text, channel=2)
    utterances = manifest(tmp_path, "folder", "train")
    assert {u.text: u.channel for u in utterances} == {"hello": 2, "bye": 1}


def test_a_column_channel_that_is_no_number_is_refused(tmp_path, own):
    message = "line 2, column channel: must be a number from 1, got 'left'. Rename"
    with pytest.raises(RecipeError, match=message):
        prepare_table(tmp_path, own, "audio,text,channel\na.wav,yes,left\n")
    with pytest.raises(RecipeError, match="channel must be >= 1, got 0"):
        prepare_table(tmp_path, own, "audio,text\na.wav,yes\n", channel=0)


def test_two_recordings_of_one_transcript_are_not_in_two_splits(tmp_path, own, manifest):
    (own / "a.txt").write_text("this is a")
    (own / "a.flac").write_bytes((own / "a.wav").read_bytes())
    written = folder(audio=own, root=tmp_path, validation=0, test=0)
    assert len(read_all(manifest, tmp_path)) == 1
    assert "\tsecond recording of a.txt\n" in (written / "left_out.txt").read_text()
