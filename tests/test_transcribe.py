"""Command line of transcription."""

import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from entry import Call, caller

from asr.data.manifest import read_manifest
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


def test_each_recording_gives_one_line_in_order(
    speech: list[Path], checkpoint: str, call: Call
) -> None:
    lines = [call(main, path, checkpoint).out for path in speech]
    assert call(main, *speech, checkpoint).out == "".join(lines)


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
    assert len(finished.out.splitlines()) == 2
    assert "text.wav: not a recording that can be read" in finished.complaint


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
    finished = call(main, path, checkpoint, "channel=3")
    assert finished.code == 2
    assert "call.wav: no channel 3. Channels: 2." in finished.complaint


def test_three_samples_give_no_words_and_no_error(
    checkpoint: str, call: Call, tmp_path: Path
) -> None:
    finished = call(main, _wav(tmp_path / "short.wav", np.zeros(3)), checkpoint)
    assert (finished.code, finished.out, finished.err) == (0, "\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.wav", "format=xml"], "format must be one of text, json, got 'xml'"),
        (
            ["a.wav", "channel=left"],
            "channel must be mix, each, or an integer >= 1, got 'left'",
        ),
        (["a.wav", "formt=json"], "did you mean format?"),
        (["a.wav", "--json"], "no such option"),
        (["a.wav", "decoder.hotwords=[2024]"], "decoder.hotwords must be text, got 2024"),
        (["a.wav", "device=[cpu]"], "device must be text, got ['cpu']"),
        (
            ["a.wav", "decoder.hotwords=[josé, li]"],
            "quote accents and symbols twice: \"decoder.hotwords=['josé','li']\"",
        ),
        (["a.wav", "dir=a(b"], "quote accents and symbols twice: \"dir='a(b'\""),
        (["format=json"], "no recording; pass files"),
        (["a.wav", "checkpoint=nowhere"], "no such model"),
    ],
)
def test_wrong_arguments_give_one_line_and_exit_code_2(
    call: Call, arguments: list[str], message: str
) -> None:
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
