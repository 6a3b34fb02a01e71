"""Files of results: which are written, kept, and refused."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from asr.config.inputs import InputFile, find_inputs
from asr.config.outputs import OutputFolder, StandardOutput
from asr.errors import AudioError, ConfigError
from asr.inference.transcript import Transcript

RESULT = [Transcript("hello", 1.0, 0.0)]
Recording = Callable[..., Path]


@pytest.fixture
def talks(recording: Recording, tmp_path: Path) -> Path:
    """A folder of three recordings, one of them in a subfolder."""
    for name in ("talks/a.wav", "talks/b.v2.wav", "talks/more/a.flac"):
        recording(name, 0.1)
    return tmp_path / "talks"


@pytest.fixture
def inputs(talks: Path) -> list[InputFile]:
    found, errors = find_inputs([str(talks)])
    assert not errors
    return found


def files(folder: Path) -> list[str]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return sorted(path.relative_to(folder).as_posix() for path in paths)


def test_labels_are_paths_below_the_folder_of_the_command_line(
    talks: Path, inputs: list[InputFile], tmp_path: Path
) -> None:
    assert [item.label for item in inputs] == ["a", "b.v2", "more/a"]
    single, _ = find_inputs([str(talks / "more" / "a.flac")])
    assert [item.label for item in single] == ["a"]
    (tmp_path / "nothing").mkdir()
    found, errors = find_inputs([str(tmp_path / "nothing"), str(talks)])
    assert found == inputs
    assert [str(error) for error in errors] == [
        f"{tmp_path / 'nothing'}: the folder has no recordings"
    ]


def test_each_recording_has_one_file_per_format_in_the_same_structure(
    inputs: list[InputFile], tmp_path: Path
) -> None:
    out = tmp_path / "new" / "out"
    output = OutputFolder(out, ["text", "TextGrid", "textgrid"], inputs)
    for item in output.pending:
        output.write(item, RESULT)
    names = ("a.TextGrid", "a.txt", "b.v2.TextGrid", "b.v2.txt", "more/a.TextGrid")
    assert files(out) == [*names, "more/a.txt"]
    assert (out / "more" / "a.txt").read_bytes() == b"hello\n"


def test_a_second_call_writes_only_what_is_missing(
    inputs: list[InputFile], tmp_path: Path
) -> None:
    first = OutputFolder(tmp_path / "out", ["txt"], inputs)
    assert (first.pending, first.done) == (inputs, 0)
    for item in inputs[:2]:
        first.write(item, RESULT)
    second = OutputFolder(tmp_path / "out", ["txt"], inputs)
    assert (second.pending, second.done, second.errors) == (inputs[2:], 2, [])

    text = tmp_path / "out" / "a.txt"
    text.write_text("corrected")
    third = OutputFolder(tmp_path / "out", ["txt", "srt"], inputs)
    assert (third.pending, third.done) == (inputs, 0)
    third.write(inputs[0], RESULT)
    assert text.read_text() == "corrected"
    assert (tmp_path / "out" / "a.srt").exists()

    fourth = OutputFolder(tmp_path / "out", ["txt"], inputs, overwrite=True)
    assert (fourth.pending, fourth.done) == (inputs, 0)
    fourth.write(inputs[0], RESULT)
    assert text.read_text() == "hello\n"


def test_a_file_that_is_older_than_its_recording_is_kept_and_reported(
    inputs: list[InputFile], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    output = OutputFolder(out, ["txt"], inputs)
    for item in inputs:
        output.write(item, RESULT)
    os.utime(out / "a.txt", (0, 0))
    output = OutputFolder(out, ["txt", "srt"], inputs)
    assert (output.pending, output.done) == (inputs[1:], 0)
    reason = "older than the recording and was kept; pass overwrite=true to replace it"
    assert [str(error) for error in output.errors] == [f"{out / 'a.txt'}: {reason}"]
    os.utime(out / "b.v2.txt", (0, 0))
    output = OutputFolder(out, ["txt"], inputs)
    assert [str(e) for e in output.errors] == [f"{out / 'a.txt'} and 1 more: {reason}"]
    output = OutputFolder(out, ["txt"], inputs, overwrite=True)
    assert (output.pending, output.errors) == (inputs, [])


def test_existing_text_of_standard_input_is_never_taken_for_done(tmp_path: Path) -> None:
    piped = InputFile("-", "stdin", b"RIFF")
    output = OutputFolder(tmp_path, ["txt"], [piped])
    output.write(piped, RESULT)
    output = OutputFolder(tmp_path, ["txt"], [piped])
    assert (output.pending, output.done, len(output.errors)) == ([], 0, 1)


def test_a_recording_that_is_given_twice_is_transcribed_once(
    talks: Path, inputs: list[InputFile], tmp_path: Path
) -> None:
    twice, _ = find_inputs([str(talks), str(talks / "a.wav")])
    assert OutputFolder(tmp_path / "out", ["txt"], twice).pending == inputs


def test_two_recordings_with_one_output_are_an_error_before_anything_is_written(
    talks: Path, recording: Recording, tmp_path: Path
) -> None:
    recording("talks/a.flac", 0.1)
    for arguments in ([talks], [talks / "a.wav", talks / "more" / "a.flac"]):
        found, _ = find_inputs(list(map(str, arguments)))
        with pytest.raises(ConfigError, match=r"a\.srt is the output of both .*a\.\w+ and"):
            OutputFolder(tmp_path / "out", ["srt"], found)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("names", [("a.wav", "sub/a.wav"), ("a b.wav", "a_b.wav")])
def test_two_recordings_with_one_name_in_joined_ctm_are_an_error(
    recording: Recording, names: tuple[str, str]
) -> None:
    first, second = [str(recording(name, 0.1)) for name in names]
    found, _ = find_inputs([first, second])
    with pytest.raises(ConfigError, match=r"is the name of both .* and .* in CTM"):
        StandardOutput(["ctm"], found)
    assert StandardOutput(["text"], found).pending == found
    twice, _ = find_inputs([first, first])
    assert StandardOutput(["ctm"], twice).pending == twice[:1]


def test_a_name_that_is_not_utf_8_is_written_with_escapes(tmp_path: Path) -> None:
    item = InputFile("\udcff.wav", "a", Path("\udcff.wav"))
    OutputFolder(tmp_path, ["json"], [item]).write(item, RESULT)
    entry = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert entry["file"] == item.name


def test_a_line_break_in_a_name_does_not_break_the_line_of_a_failure(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = ("a\nb.wav", "c.wav")
    items = [InputFile(name, name, Path(name)) for name in names]
    StandardOutput(["text"], items).fail(items[0], AudioError("a\nb.wav: empty\nfile"))
    assert capsys.readouterr().out == "a b.wav\t\terror: empty file\n"


def test_one_channel_has_a_file_of_its_own(inputs: list[InputFile], tmp_path: Path) -> None:
    for channel in (2, "each"):
        output = OutputFolder(tmp_path, ["srt"], inputs[:1], channel=channel)
        output.write(inputs[0], RESULT)
    assert {"a.2.srt", "a.srt"} <= set(files(tmp_path))


def test_a_folder_that_cannot_be_written_is_an_error_before_anything_is_computed(
    inputs: list[InputFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        OutputFolder(tmp_path / "file", ["txt"], inputs)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path / "out" / "x1"))

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(PermissionError) as caught:
        OutputFolder(tmp_path / "out", ["txt"], inputs)
    assert caught.value.filename == str(tmp_path / "out")


def test_a_transcript_that_was_written_before_its_recording_is_not_outdated(
    inputs: list[InputFile], tmp_path: Path
) -> None:
    (item, *_) = inputs
    recording = tmp_path / "talk.wav"
    recording.write_bytes(b"RIFF")
    beside = tmp_path / "talk.txt"
    beside.write_text("written by hand")
    os.utime(beside, (0, 0))
    item = InputFile(str(recording), "talk", recording)
    output = OutputFolder(tmp_path, ["txt"], [item])
    assert (output.pending, output.done, output.errors) == ([], 1, [])
