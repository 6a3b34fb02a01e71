"""Command line of transcription."""

import errno
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from entry import Call, caller
from jsonschema import Draft202012Validator

import asr
from asr.config import outputs
from asr.data.manifest import read_manifest
from asr.errors import AudioError
from asr.transcribe import main


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    return caller(monkeypatch, capsys)


@pytest.fixture
def speech(corpus: Path) -> list[Path]:
    return [
        u.audio
        for u in read_manifest(corpus / "manifests" / "synthetic" / "test.jsonl")[:3]
    ]


@pytest.fixture
def checkpoint(trained: Path) -> str:
    return f"checkpoint={trained / 'model.safetensors'}"


def test_each_recording_gives_one_line_with_its_name_in_order(
    speech: list[Path], checkpoint: str, call: Call
) -> None:
    lines = [call(main, path, checkpoint).out for path in speech]
    assert all(line.count("\n") == 1 and "\t" not in line for line in lines)
    named = [f"{path}\t{line}" for path, line in zip(speech, lines, strict=True)]
    assert call(main, *speech, checkpoint).out == "".join(named)


def test_json_has_words_with_times_and_confidence(
    speech: list[Path], checkpoint: str, call: Call
) -> None:
    entry = json.loads(call(main, speech[0], checkpoint, "format=json").out)
    assert entry["file"] == str(speech[0])
    duration = soundfile.info(speech[0]).duration
    for word in entry["words"]:
        assert 0 <= word["start"] < word["end"] <= duration + 0.1
        assert 0 <= word["confidence"] <= 1
    assert " ".join(word["text"] for word in entry["words"]) == entry["text"]


def test_a_folder_stands_for_its_recordings(
    corpus: Path, checkpoint: str, call: Call
) -> None:
    folder = corpus / "synthetic" / "test"
    recordings = sorted(folder.rglob("*.flac"))
    lines = call(main, folder, checkpoint, "format=json").out.splitlines()
    assert [json.loads(line)["file"] for line in lines] == [
        str(path) for path in recordings
    ]


def test_a_dash_reads_standard_input(
    speech: list[Path], checkpoint: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = call(main, speech[0], checkpoint).out
    monkeypatch.setattr(
        sys, "stdin", SimpleNamespace(buffer=io.BytesIO(speech[0].read_bytes()))
    )
    assert call(main, "-", checkpoint).out == named


def test_an_unreadable_file_is_reported_and_the_others_are_transcribed(
    speech: list[Path], checkpoint: str, call: Call, tmp_path: Path
) -> None:
    text = tmp_path / "text.wav"
    text.write_text("hello")
    finished = call(main, speech[0], text, speech[1], checkpoint)
    assert finished.code == 2
    assert "text.wav: not a recording that can be read" in finished.complaint
    rows = [line.split("\t") for line in finished.out.splitlines()]
    assert [row[0] for row in rows] == [str(speech[0]), str(text), str(speech[1])]
    assert [len(row) for row in rows] == [2, 3, 2]
    assert rows[1][1] == ""
    assert rows[1][2].startswith("error: not a recording that can be read")


def _wav(path: Path, samples: np.ndarray, subtype: str = "PCM_16") -> Path:
    soundfile.write(path, samples, 16_000, subtype=subtype)
    return path


def test_every_kind_of_broken_recording_gives_one_line_and_exit_code_2(
    speech: list[Path], checkpoint: str, call: Call, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.wav"
    empty.touch()
    rate = _wav(tmp_path / "rate.wav", np.zeros(16_000))
    header = bytearray(rate.read_bytes())
    header[24:28] = bytes(4)
    rate.write_bytes(header)
    nan = _wav(tmp_path / "nan.wav", np.full(16_000, np.nan), "FLOAT")
    missing = tmp_path / "missing.wav"
    folder = tmp_path / "nothing"
    folder.mkdir()
    for path, message in [
        (empty, "empty file"),
        (rate, "rate.wav"),
        (nan, "NaN"),
        (missing, "no such file"),
        (folder, "has no recordings"),
    ]:
        finished = call(main, path, checkpoint)
        assert finished.code == 2, path
        assert message in finished.complaint
        assert str(path) in finished.complaint
        assert finished.out == ""


@pytest.mark.parametrize("name", ["cut.flac", "cut.wav", "cut.mp3"])
def test_the_part_before_a_cut_is_transcribed_with_a_warning(
    speech: list[Path], checkpoint: str, tmp_path: Path, name: str
) -> None:
    samples, rate = soundfile.read(speech[0])
    path = tmp_path / name
    soundfile.write(path, samples, rate)
    path.write_bytes(path.read_bytes()[:-1000])
    command = [sys.executable, "-m", "asr.transcribe", str(path), checkpoint]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    assert finished.stdout.count("\n") == 1
    (line,) = finished.stderr.splitlines()
    assert line.startswith(f"{path}: cut off")


def test_each_channel_is_transcribed_by_itself(
    speech: list[Path], checkpoint: str, call: Call, tmp_path: Path
) -> None:
    samples = [soundfile.read(path)[0] for path in speech[:2]]
    stereo = np.zeros((max(map(len, samples)), 2))
    for channel, waveform in enumerate(samples):
        stereo[: len(waveform), channel] = waveform
    path = _wav(tmp_path / "call.wav", stereo)
    for number in (1, 2):
        alone = _wav(tmp_path / f"{number}.wav", stereo[:, number - 1])
        expected = call(main, alone, checkpoint).out
        assert call(main, path, checkpoint, f"channel={number}").out == expected
        each = call(main, path, checkpoint, "channel=each").out.splitlines()
        assert each[number - 1] == f"channel {number}: {expected.strip()}"
        entries = call(main, path, checkpoint, "channel=each", "format=json").out
        entry = json.loads(entries.splitlines()[number - 1])
        assert (entry["channel"], entry["text"]) == (number, expected.strip())
        subtitles = call(main, path, checkpoint, "channel=each", "format=srt").out
        assert f"\n[{number}] " in subtitles
    finished = call(main, path, checkpoint, "channel=3")
    assert finished.code == 2
    assert "call.wav: no channel 3. Channels: 2." in finished.complaint


FORMATS = "format=[txt,json,jsonl,srt,vtt,tsv,ctm,textgrid]"


def test_a_folder_gives_files_of_several_formats_and_the_rest_is_done_later(
    corpus: Path, speech: list[Path], checkpoint: str, call: Call, tmp_path: Path
) -> None:
    folder, out = corpus / "synthetic" / "test", tmp_path / "out"
    recordings = sorted(path.relative_to(folder) for path in folder.rglob("*.flac"))
    output = f"output={out}"
    finished = call(main, folder, checkpoint, output, FORMATS)
    assert (finished.code, finished.out) == (0, "")
    summary = r"4 recordings, 0:00:\d\d of audio in 0:\d\d:\d\d \(RTF \d+\.\d{3}\)"
    assert re.fullmatch(summary, finished.complaint)
    suffixes = (".TextGrid", ".ctm", ".json", ".jsonl", ".srt", ".tsv", ".txt", ".vtt")
    expected = {
        out / path.with_suffix(suffix) for path in recordings for suffix in suffixes
    }
    assert {path for path in out.rglob("*") if path.is_file()} == expected

    one = out / recordings[0]
    printed = {
        name: call(main, folder / recordings[0], checkpoint, f"format={name}").out
        for name in ("text", "json", "srt", "vtt", "tsv", "textgrid")
    }
    assert one.with_suffix(".txt").read_text() == printed["text"]
    assert one.with_suffix(".jsonl").read_text() == printed["json"]
    assert json.loads(one.with_suffix(".json").read_text()) == json.loads(printed["json"])
    for name in ("srt", "vtt", "tsv"):
        assert one.with_suffix(f".{name}").read_text() == printed[name]
    assert one.with_suffix(".TextGrid").read_text() == printed["textgrid"]

    one.with_suffix(".srt").unlink()
    again = call(main, folder, checkpoint, output, FORMATS)
    assert again.complaint.startswith("1 recording, ")
    assert again.complaint.endswith(", 3 already there")
    assert one.with_suffix(".srt").read_text() == printed["srt"]
    done = call(main, folder, "checkpoint=nowhere", output, FORMATS)
    assert (done.code, done.complaint) == (0, "0 recordings, 4 already there")


def test_the_published_schema_describes_the_json(
    speech: list[Path], checkpoint: str, call: Call
) -> None:
    path = Path(__file__).parents[1] / "docs" / "reference" / "transcript.schema.json"
    validator = Draft202012Validator(json.loads(path.read_text(encoding="utf-8")))
    lines = call(main, *speech, checkpoint, "format=json", "channel=each").out.splitlines()
    assert len(lines) == len(speech)
    for line in lines:
        validator.validate(json.loads(line))
    model = asr.load(checkpoint.removeprefix("checkpoint="))
    validator.validate(model.transcribe(speech[0]).to_dict())


def test_vad_false_skips_nothing(
    checkpoint: str, call: Call, tmp_path: Path, speech: list[Path]
) -> None:
    samples = soundfile.read(speech[0])[0]
    long = np.concatenate([samples, np.zeros(80_000), samples])
    path = _wav(tmp_path / "a.wav", long)
    skipped = {
        vad: json.loads(call(main, path, checkpoint, "format=json", f"vad={vad}").out)[
            "skipped"
        ]
        for vad in ("true", "false")
    }
    assert [part["reason"] for part in skipped["true"]].count("silence") >= 1
    assert skipped["false"] == []


def test_a_failed_recording_is_not_done_and_is_tried_again(
    speech: list[Path], checkpoint: str, call: Call, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_text("hello")
    output = f"output={tmp_path / 'out'}"
    finished = call(main, bad, speech[0], checkpoint, output)
    assert finished.code == 2
    error, summary = finished.err.splitlines()
    assert "bad.wav: not a recording that can be read" in error
    assert summary.startswith("1 recording, ") and summary.endswith(", 1 failed")
    bad.write_bytes(speech[1].read_bytes())
    finished = call(main, bad, speech[0], checkpoint, output)
    assert finished.code == 0
    assert finished.complaint.endswith(", 1 already there")
    assert (tmp_path / "out" / "bad.txt").is_file()


@pytest.mark.parametrize("channel", ["mix", "each"])
def test_ctrl_c_keeps_completed_files_and_the_next_call_continues(
    speech: list[Path],
    checkpoint: str,
    call: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    channel: str,
) -> None:
    out = tmp_path / "out"
    arguments = (main, *speech, checkpoint, f"output={out}", f"channel={channel}")
    write_file = outputs.write_file

    def interrupt(path: Path, text: str) -> None:
        write_file(path, text)
        raise KeyboardInterrupt

    monkeypatch.setattr(outputs, "write_file", interrupt)
    finished = call(*arguments)
    assert finished.code == 130
    assert finished.complaint == (
        "asr.transcribe: interrupted; run the command again to continue"
    )
    assert [path.stem for path in out.iterdir()] == [speech[0].stem]
    monkeypatch.undo()
    assert call(*arguments).complaint.endswith(", 1 already there")
    assert sorted(path.stem for path in out.iterdir()) == sorted(p.stem for p in speech)


def test_a_full_disk_gives_one_line_and_keeps_completed_files(
    speech: list[Path],
    checkpoint: str,
    call: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_text = Path.write_text

    def write(path: Path, *arguments: Any, **options: Any) -> int:
        if list(out.glob("*.txt")):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write_text(path, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", write)
    out = tmp_path / "out"
    finished = call(main, *speech, checkpoint, f"output={out}")
    assert finished.code == 2
    assert f"{out / speech[1].stem}.txt: No space left on device" in finished.complaint
    assert [path.name for path in out.iterdir()] == [f"{speech[0].stem}.txt"]


def test_a_file_that_cannot_be_written_is_reported_and_the_others_are_written(
    speech: list[Path], checkpoint: str, call: Call, tmp_path: Path
) -> None:
    long = tmp_path / f"{'a' * 251}.wav"
    long.write_bytes(speech[0].read_bytes())
    out = tmp_path / "out"
    blocked = out / f"{speech[1].stem}.TextGrid"
    blocked.mkdir(parents=True)
    files = (long, speech[1], speech[2])
    finished = call(main, *files, checkpoint, f"output={out}", "format=textgrid")
    assert finished.code == 2
    first, second, summary = finished.err.splitlines()
    assert f"{long.stem}.TextGrid: cannot be written: " in first
    assert f"{blocked}: cannot be written: " in second
    assert summary.startswith("1 recording, ") and summary.endswith(", 2 failed")
    assert (out / f"{speech[2].stem}.TextGrid").is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="a file name has no line break there")
def test_a_line_break_in_a_name_does_not_break_the_line_of_an_error(
    checkpoint: str, call: Call
) -> None:
    assert "a b.wav: no such file" in call(main, "a\nb.wav", checkpoint).complaint


@pytest.mark.parametrize(
    ("stream", "arguments"),
    [
        ("stdin", ["-"]),
        ("stdin", ["-", "encoding=s16le"]),
        ("stdin", ["-", "output=out"]),
        ("stdout", ["a.wav"]),
        ("stdout", ["a.wav", "output=out", "progress=true"]),
    ],
)
def test_a_closed_standard_stream_gives_one_line(
    monkeypatch: pytest.MonkeyPatch, stream: str, arguments: list[str]
) -> None:
    errors = io.StringIO()
    with monkeypatch.context() as closed:
        closed.setattr(sys, "argv", ["asr", *arguments])
        closed.setattr(sys, "stderr", errors)
        closed.setattr(sys, stream, None)
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code == 2
    name = {"stdin": "input", "stdout": "output"}[stream]
    assert errors.getvalue().startswith(f"asr.transcribe: standard {name} is closed; ")
    assert errors.getvalue().count("\n") == 1


@pytest.mark.parametrize("encoding", [[], ["encoding=s16le"]])
@pytest.mark.parametrize("output", [[], ["format=srt"]])
def test_empty_standard_input_gives_one_line(
    checkpoint: str,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
    encoding: list[str],
    output: list[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO()))
    finished = call(main, "-", checkpoint, *encoding, *output)
    assert (finished.code, finished.out) == (2, "")
    assert "asr.transcribe: " in finished.complaint


def test_a_folder_that_cannot_be_written_is_reported_before_the_model_loads(
    speech: list[Path], call: Call, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "more"):
        finished = call(main, speech[0], f"output={folder}", "checkpoint=nowhere")
        assert finished.code == 2
        assert str(folder) in finished.complaint


def test_an_unreadable_folder_is_reported_and_the_others_are_transcribed(
    speech: list[Path],
    checkpoint: str,
    call: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        shutil.copy(speech[0], tmp_path / name)
    read = Path.iterdir

    def refuse(path: Path) -> Iterator[Path]:
        if path.name == "b":  # chmod does not stop an administrator
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    finished = call(main, tmp_path, checkpoint)
    assert finished.code == 2
    assert f"{tmp_path / 'b'}: unreadable folder: Permission denied" in finished.complaint
    assert finished.out.count("\n") == 1
    finished = call(main, tmp_path / "b", checkpoint)
    assert finished.code == 2
    assert "unreadable folder" in finished.complaint


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of Windows fail otherwise")
def test_a_closed_pipe_ends_quietly(speech: list[Path], checkpoint: str) -> None:
    command = [sys.executable, "-m", "asr.transcribe", *map(str, speech), checkpoint]
    reader, writer = os.pipe()
    os.close(reader)
    finished = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (finished.returncode, finished.stderr) == (0, b"")


def test_three_samples_give_no_words_and_no_error(
    checkpoint: str, call: Call, tmp_path: Path
) -> None:
    finished = call(main, _wav(tmp_path / "short.wav", np.zeros(3)), checkpoint)
    assert (finished.code, finished.out, finished.err) == (0, "\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.wav", "format=xml"], "format must be one of text, txt, json, jsonl, srt"),
        (
            ["a.wav", "channel=left"],
            "channel must be mix, each, or an integer >= 1, got 'left'",
        ),
        (["a.wav", "format=[srt,xml]"], "got 'xml'"),
        (["a.wav", "format=[]"], "format has no value"),
        (["a.wav", "output="], "output has no value; pass output=..."),
        (["https://host/a.wav"], "https://host/a.wav: not a file; download the recording"),
        (["https://host/watch?v=a"], "https://host/watch?v=a: not a file; download the"),
        (["a.wav", "voice=x"], "no setting 'voice' (--help shows them)"),
        (["-", "encoding=s16le", "sample_rate=16"], "sample_rate must be >= 4000"),
        (["a.wav", "format=[srt,vtt]"], "format=[srt,vtt] needs output=FOLDER"),
        (["a.wav", "b.wav", "format=srt"], "format=srt holds one recording; pass output="),
        (["a.wav", "b.wav", "format=TextGrid"], "holds one recording; pass output=FOLDER"),
        (["x/a.wav", "y/a.mp3", "output=z"], "z/a.txt is the output of both x/a.wav and"),
        (["a.wav", "output=2026"], "output must be text or null, got 2026"),
        (["a.wav", "progress=7"], "progress must be one of auto, true, false, got 7"),
        (["a.wav", "overwrite=yes please"], "overwrite must be true or false"),
        (["a.wav", "overwrite=true"], "is for files; pass output=FOLDER too"),
        (["a.wav", "formt=json"], "did you mean format?"),
        (["a.wav", "--json"], "no such option"),
        (["a.wav", "decoder.hotwords=[2024]"], "decoder.hotwords must be text, got 2024"),
        (["a.wav", "device=[cpu]"], "device must be text, got ['cpu']"),
        (
            ["a.wav", "decoder.hotwords=[josé, li]"],
            "quote accents and symbols twice: \"decoder.hotwords=['josé','li']\"",
        ),
        (["a.wav", "decoder.hotwords=[o'brien]"], r"decoder.hotwords=['o\'brien']"),
        (["a.wav", "output=b's/a,b"], "twice: \"output='b\\'s/a,b'\""),
        (["a.wav", "format=srt,json"], "format is one value; pass format=[srt,json]"),
        (["a.wav", "format", "=", "srt"], "a setting has no name; write KEY=VALUE"),
        (["a.wav", "dir=a(b"], "quote accents and symbols twice: \"dir='a(b'\""),
        (["format=json"], "no recording; pass files"),
        (["a.wav", "checkpoint=nowhere"], "no such model"),
    ],
)
def test_wrong_arguments_give_one_line_and_exit_code_2(
    call: Call,
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    finished = call(main, *arguments)
    assert finished.code == 2
    assert message in finished.complaint


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"PK\x03\x04 not really"])
def test_a_checkpoint_that_is_not_a_model_gives_one_line(
    call: Call, speech: list[Path], tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    finished = call(main, speech[0], f"checkpoint={tmp_path / 'model.safetensors'}")
    assert finished.code == 2
    assert "not a trained model" in finished.complaint


def test_help_imports_neither_torch_nor_hydra(call: Call) -> None:
    finished = call(main, "--help")
    assert finished.code == 0
    assert "format=json" in finished.out
    code = "import sys; from asr.transcribe import main\ntry: main()\nexcept SystemExit: pass\n"
    code += "print('torch' in sys.modules or 'hydra' in sys.modules)"
    command = [sys.executable, "-c", code, "--help"]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True)
    assert loaded.stdout.splitlines()[-1] == "False"


@pytest.fixture
def emitting(build: Any, tmp_path: Path) -> str:
    """Return the setting of an untrained model, which emits something for every sound."""
    build().save(tmp_path / "model.safetensors")
    return f"checkpoint={tmp_path / 'model.safetensors'}"


@pytest.mark.parametrize("encoding", [None, "s16le"])
def test_a_segment_of_a_pipe_is_printed_before_the_pipe_is_closed(
    emitting: str, sound: Any, encoding: str | None
) -> None:
    samples = np.concatenate([sound(1.5), np.zeros(48_000, np.float32)])
    pcm = (samples * 32_767).astype("<i2").tobytes()
    file = io.BytesIO()
    soundfile.write(file, samples, 16_000, format="WAV", subtype="PCM_16")
    header = bytearray(file.getvalue()[:44])
    header[40:44] = b"\xff" * 4
    command = [sys.executable, "-m", "asr.transcribe", "-", emitting, "format=jsonl"]
    command += [f"encoding={encoding}"] if encoding else []
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdin and process.stdout
        process.stdin.write(pcm if encoding else header + pcm)
        process.stdin.flush()
        first = json.loads(process.stdout.readline())
        assert 0 <= first["start"] < first["end"] < 2.0
        process.stdin.write(pcm)
        process.stdin.close()
        rest = [json.loads(line) for line in process.stdout]
        assert process.wait() == 0
    assert any(4.0 < segment["start"] < 6.2 for segment in rest)
    assert " ".join(word["text"] for word in first["words"]) == first["text"]


@pytest.mark.skipif(sys.platform == "win32", reason="a closed pipe is another error there")
def test_live_audio_ends_quietly_when_its_reader_has_gone(
    emitting: str, sound: Any
) -> None:
    samples = np.concatenate([sound(1.5, 8_000), np.zeros(24_000, np.float32)] * 3)
    pcm = (samples * 32_767).astype("<i2").tobytes()
    command = [sys.executable, "-m", "asr.transcribe", "-", emitting, "encoding=s16le"]
    command += ["sample_rate=8000"]
    reading, writing = os.pipe()
    os.close(reading)
    pipes = {"stdout": writing, "stderr": subprocess.PIPE}
    finished = subprocess.run(command, input=pcm, check=False, **pipes)
    os.close(writing)
    assert (finished.stderr, finished.returncode) == (b"", 0)


def test_raw_samples_can_be_written_in_any_format(
    emitting: str, sound: Any, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    samples = np.stack([sound(1.5, 8_000), sound(1.5, 8_000, seed=1)], axis=1)
    path = tmp_path / "call.wav"
    soundfile.write(path, samples, 8_000, subtype="ULAW")
    raw = path.read_bytes()[-samples.size :]
    settings = ("encoding=mulaw", "sample_rate=8000", "channels=2")
    for output in (["format=srt"], ["channel=each"], ["format=ctm", "channel=2"]):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(raw)))
        finished = call(main, "-", emitting, *settings, *output)
        assert finished.code == 0
        expected = call(main, path, emitting, *output).out
        assert finished.out.replace("stdin ", "call ") == expected != ""


def test_a_microphone_is_transcribed_until_it_stops(
    emitting: str, sound: Any, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    from asr.inference import live

    def record(device: object) -> Any:
        assert device == "desk"
        waveform = np.concatenate([sound(1.5), np.zeros(32_000, np.float32), sound(1.0)])
        yield from np.array_split(waveform, 45)
        raise AudioError("microphone desk: no samples. Is it still connected?")

    monkeypatch.setattr("asr.config.live.record", record)
    finished = call(main, "--record", "microphone=desk", emitting)
    assert finished.code == 2
    assert "microphone desk: no samples" in finished.complaint
    assert len(finished.out.splitlines()) >= 2  # what no pause has closed, too
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    monkeypatch.setattr("asr.config.live.record", live.record)
    finished = call(main, "--record", emitting)
    assert finished.code == 2
    assert "pip install 'asr[mic]'" in finished.complaint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--record", "a.wav"], "--record takes no files"),
        (["--record", "format=srt"], "use format=text or format=jsonl"),
        (["--record", "output=out"], "neither output="),
        (["--record", "encoding=s16le"], "are for -, not --record"),
        (["a.wav", "microphone=1"], "microphone= needs --record"),
        (["-", "sample_rate=8000"], "sample_rate= and channels= need encoding="),
        (["a.wav", "encoding=s16le"], "encoding= describes raw samples on standard input"),
        (["-", "encoding=mp3"], "encoding must be one of s16le, f32le, mulaw, alaw"),
    ],
)
def test_wrong_settings_of_live_audio_give_one_line(
    call: Call, arguments: list[str], message: str
) -> None:
    finished = call(main, *arguments)
    assert finished.code == 2
    assert message in finished.complaint
