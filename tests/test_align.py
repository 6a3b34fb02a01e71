"""Command line of forced alignment."""

import csv
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from entry import Call, caller

from asr import audio
from asr.align import main
from asr.data.manifest import Utterance, read_manifest, write_manifest
from asr.nn.ctc import CTCModel
from asr.nn.losses import ctc_loss
from asr.nn.padding import pad_batch

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    return caller(monkeypatch, capsys)


@pytest.fixture
def checkpoint(trained: Path) -> list[str]:
    return [f"checkpoint={trained / 'model.safetensors'}", "min_score=0"]


@pytest.fixture
def utterances(corpus: Path) -> list[Utterance]:
    return read_manifest(corpus / "manifests" / "synthetic" / "test.jsonl")[:4]


@pytest.fixture
def folder(utterances: list[Utterance], tmp_path: Path) -> Path:
    """Recordings with a .txt beside each, one of them in a subfolder."""
    for number, utterance in enumerate(utterances):
        path = tmp_path / "talks" / ("more" if number == 2 else ".") / f"{number}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(utterance.audio.read_bytes())
        path.with_suffix(".txt").write_text(
            utterance.text.capitalize() + ".\n", encoding="utf-8"
        )
    return tmp_path / "talks"


def test_ctm_has_a_line_for_each_word_in_order(
    utterances: list[Utterance], checkpoint: list[str], call: Call
) -> None:
    one = utterances[0]
    finished = call(main, one.audio, f"text={one.text.upper()}, ...", *checkpoint)
    assert (finished.code, finished.err) == (0, "")
    rows = [line.split() for line in finished.out.splitlines()]
    assert [row[4] for row in rows] == one.text.split()
    assert {(row[0], row[1]) for row in rows} == {(one.audio.stem, "1")}
    ends = [float(row[2]) + float(row[3]) for row in rows]
    assert all(a <= float(row[2]) + 1e-9 for a, row in zip(ends, rows[1:], strict=False))
    assert ends[-1] <= soundfile.info(one.audio).duration
    letters = call(
        main, one.audio, f"text={one.text}", "unit=characters", *checkpoint
    ).out.splitlines()
    assert "".join(line.split()[4] for line in letters) == one.text.replace(" ", "")


def test_the_text_may_be_a_file_or_be_beside_the_recording(
    folder: Path, checkpoint: list[str], call: Call
) -> None:
    talk = folder / "0.flac"
    beside = call(main, talk, *checkpoint)
    assert beside.code == 0
    assert beside == call(main, talk, f"text={talk.with_suffix('.txt')}", *checkpoint)
    assert beside == call(
        main, talk, f"text={talk.with_suffix('.txt').read_text()}", *checkpoint
    )


def test_a_folder_gives_a_folder_of_files_with_the_same_structure(
    folder: Path, checkpoint: list[str], tmp_path: Path, call: Call
) -> None:
    for form, suffix in (
        ("textgrid", "TextGrid"),
        ("srt", "srt"),
        ("json", "json"),
        ("ctm", "ctm"),
    ):
        out = tmp_path / form
        finished = call(main, folder, f"format={form}", f"output={out}", *checkpoint)
        assert (finished.code, finished.err) == (0, "")
        names = [f"0.{suffix}", f"1.{suffix}", f"3.{suffix}", f"more/2.{suffix}"]
        assert (
            sorted(
                path.relative_to(out).as_posix()
                for path in out.rglob("*")
                if path.is_file()
            )
            == names
        )
        assert sorted(finished.out.splitlines()) == sorted(
            str(out / name) for name in names
        )
    alone = call(main, folder / "0.flac", "format=srt", *checkpoint).out
    assert (tmp_path / "srt" / "0.srt").read_text() == alone
    assert (
        " ".join(alone.split("\n")[2:])
        .strip()
        .startswith(folder.joinpath("0.txt").read_text()[:3])
    )


def test_files_that_exist_are_kept_without_overwrite(
    folder: Path, checkpoint: list[str], tmp_path: Path, call: Call
) -> None:
    arguments = [folder, "format=srt", f"output={tmp_path / 'out'}", *checkpoint]
    assert call(main, *arguments).code == 0
    corrected, other = tmp_path / "out" / "0.srt", tmp_path / "out" / "1.srt"
    corrected.write_text("by hand")
    other.unlink()
    finished = call(main, *arguments)
    assert finished.code == 0
    assert finished.complaint == (
        "asr.align: 3 already there; overwrite=true replaces them"
    )
    assert finished.out.splitlines() == [str(other)]
    assert corrected.read_text() == "by hand"
    os.utime(corrected, (0, 0))
    finished = call(main, *arguments)
    assert finished.code == 2
    assert (
        "0.srt: older than the recording and was kept; pass overwrite=true" in finished.err
    )
    assert call(main, *arguments, "overwrite=true").code == 0
    assert corrected.read_text() != "by hand"


def test_symbols_in_a_text_have_no_meaning(
    folder: Path, checkpoint: list[str], call: Call
) -> None:
    text = "text=" + "${amount} " + (folder / "0.txt").read_text()
    finished = call(main, folder / "0.flac", text, *checkpoint)
    assert "Interpolation" not in finished.err
    assert finished.out.count("\n") > 1 or "'$'" in finished.err


def test_each_utterance_of_a_manifest_is_aligned(
    utterances: list[Utterance], checkpoint: list[str], tmp_path: Path, call: Call
) -> None:
    one, other = utterances[:2]
    piece = Utterance(other.audio, other.duration - 0.1, other.text, offset=0.1)
    write_manifest(tmp_path / "m.jsonl", [one, other, piece])
    finished = call(main, f"manifest={tmp_path / 'm.jsonl'}", "format=json", *checkpoint)
    entries = [json.loads(line) for line in finished.out.splitlines()]
    assert finished.code == 0
    assert [entry["text"] for entry in entries] == [one.text, other.text, other.text]
    assert [entry["start"] for entry in entries] == [0.0, 0.0, 0.1]
    assert entries[2]["words"][0]["start"] >= 0.1
    call(
        main, f"manifest={tmp_path / 'm.jsonl'}", f"output={tmp_path / 'out'}", *checkpoint
    )
    assert sum(path.suffix == ".ctm" for path in (tmp_path / "out").rglob("*@0.1.ctm")) == 1


def test_a_dash_reads_standard_input(
    utterances: list[Utterance],
    checkpoint: list[str],
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = utterances[0]
    named = call(main, one.audio, f"text={one.text}", *checkpoint).out
    monkeypatch.setattr(
        sys, "stdin", SimpleNamespace(buffer=io.BytesIO(one.audio.read_bytes()))
    )
    piped = call(main, "-", f"text={one.text}", *checkpoint).out
    assert [line.split()[1:] for line in piped.splitlines()] == [
        line.split()[1:] for line in named.splitlines()
    ]
    assert piped.startswith("stdin 1 ")


def test_a_text_that_does_not_match_is_reported_but_is_not_an_error(
    utterances: list[Utterance], checkpoint: list[str], call: Call
) -> None:
    finished = call(
        main, utterances[0].audio, "text=zzz", "format=json", checkpoint[0], "min_score=1"
    )
    assert finished.code == 0
    assert (
        f"{utterances[0].audio}: the text does not match the audio (score 0."
        in finished.complaint
    )
    entry = json.loads(finished.out)
    assert (entry["fits"], entry["words"][0]["fits"]) == (False, False)


def test_stereo_from_a_phone_is_aligned(
    checkpoint: list[str], call: Call, tmp_path: Path
) -> None:
    sound = 0.1 * np.random.default_rng(0).standard_normal((66_150, 2))
    soundfile.write(tmp_path / "phone.wav", sound, 44_100)
    finished = call(main, tmp_path / "phone.wav", "text=hello", "format=json", *checkpoint)
    assert json.loads(finished.out)["end"] == 1.5


def test_each_channel_can_be_aligned_with_its_own_text(
    utterances: list[Utterance], checkpoint: list[str], tmp_path: Path, call: Call
) -> None:
    samples = [audio.load(utterance.audio) for utterance in utterances[:2]]
    stereo = np.zeros((max(map(len, samples)), 2), np.float32)
    for channel, waveform in enumerate(samples):
        stereo[: len(waveform), channel] = waveform
    path = tmp_path / "call.wav"
    soundfile.write(path, stereo, 16_000, subtype="FLOAT")
    for number, utterance in enumerate(utterances[:2], 1):
        soundfile.write(
            tmp_path / "call_.wav", stereo[:, number - 1], 16_000, subtype="FLOAT"
        )
        text = f"text={utterance.text}"
        alone = call(main, tmp_path / "call_.wav", text, *checkpoint).out
        finished = call(main, path, text, f"channel={number}", *checkpoint)
        assert finished.out == alone.replace("call_ 1", f"call {number}")
        output = f"output={tmp_path / 'out'}"
        call(main, path, text, f"channel={number}", "format=srt", output, *checkpoint)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "call.1.srt",
        "call.2.srt",
    ]
    finished = call(main, path, "text=a", "channel=3", *checkpoint)
    assert (finished.code, "no channel 3. Channels: 2." in finished.complaint) == (2, True)
    finished = call(main, path, "text=a", "channel=each", *checkpoint)
    assert finished.code == 2
    assert "channel must be mix or an integer >= 1, got 'each'" in finished.complaint


def test_a_failure_is_reported_and_the_others_are_aligned(
    folder: Path, checkpoint: list[str], call: Call
) -> None:
    folder.joinpath("1.txt").unlink()
    folder.joinpath("3.txt").write_text("größe", encoding="utf-8")
    folder.joinpath("more", "2.txt").write_bytes(b"\xff\xfe\xff")
    finished = call(main, folder, folder / "none.wav", *checkpoint)
    assert finished.code == 2
    assert finished.out.startswith("talks/0 1 ") or finished.out.startswith("0 1 ")
    lines = sorted(finished.err.splitlines())
    assert len(lines) == 4
    for message in (
        "1.flac: no 1.txt beside it",
        "2.txt: not UTF-8 text",
        "3.flac: its text has 'ö' 'ß'",
        "none.wav: no such file",
    ):
        assert sum(message in line for line in lines) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "its text has no words"),
        ("?!", "its text has no words"),
        ("7", "its text has '7', for which the model has no token"),
        ("it is " * 300, "characters do not fit into its"),
        ("nowhere.txt", "text=nowhere.txt: no such file"),
        ("/nowhere/text", "text=/nowhere/text: no such file"),
    ],
)
def test_a_text_that_cannot_be_aligned_gives_one_line_and_exit_code_2(
    utterances: list[Utterance], checkpoint: list[str], call: Call, text: str, message: str
) -> None:
    finished = call(main, utterances[0].audio, f"text={text}", *checkpoint)
    assert finished.code == 2
    assert message in finished.complaint
    assert finished.out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["a.wav", "text=a", "format=xml"],
            "format must be one of ctm, textgrid, srt, vtt, tsv, json, got",
        ),
        (["a.wav", "text=a", "unit=phones"], "unit must be one of words, characters, got"),
        (
            ["a.wav", "text=a", "unit=characters", "format=srt"],
            "unit=characters is for format=ctm; pass format=ctm",
        ),
        (
            ["a.wav", "text=a", "unit=characters", "format=json"],
            "unit=characters is for format=ctm; json has words and characters",
        ),
        (["a.wav", "text=a", "overwrite=true"], "is for files; pass output=FOLDER too"),
        (["a.wav", "text=a", "min_score=2"], "min_score must be >= 0 and <= 1, got 2"),
        (
            ["a.wav", "text=a", "min_score=low"],
            "min_score must be >= 0 and <= 1, got 'low'",
        ),
        (["a.wav", "text=a", "formt=json"], "did you mean format?"),
        (["a.wav", "text=a", "--json"], "no such option"),
        (["a.wav", "text=a", "checkpoint=nowhere"], "no such model"),
        (["a.wav", "b.wav", "text=a", "format=srt"], "pass output=FOLDER"),
        (
            ["a.wav", "a.flac", "text=a", "output=x"],
            "is the output of both a.wav and a.flac",
        ),
        (
            ["a.wav", "text=a", "output=2026_11_26"],
            "output must be text or null, got 20261126; quote text twice",
        ),
        (["manifest=7"], "manifest must be text or null, got 7"),
        (
            ["a.wav", "manifest=m.jsonl"],
            "manifest=FILE has recordings and texts; omit the others",
        ),
        (["manifest=nowhere.jsonl"], "nowhere.jsonl: no such manifest"),
        (["-"], "standard input has no text beside it"),
        (["a.wav"], "a.wav: no such file"),
        (["text=a"], "no recording; pass files"),
        (["a b.wav", "a_b.wav", "text=a"], "a_b is the name of both a b.wav and a_b.wav"),
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


def test_an_output_folder_that_cannot_be_created_is_reported_before_the_model_loads(
    call: Call, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    finished = call(
        main, folder / "0.flac", f"output={tmp_path / 'file'}", "checkpoint=nowhere"
    )
    assert finished.code == 2
    assert "file: File exists" in finished.complaint


def test_the_words_of_a_recording_of_several_windows_are_in_order_to_the_end(
    utterances: list[Utterance], checkpoint: list[str], call: Call, tmp_path: Path
) -> None:
    joined = np.concatenate(
        [soundfile.read(utterance.audio)[0] for utterance in utterances * 6]
    )
    soundfile.write(tmp_path / "long.wav", joined, 16_000)
    (tmp_path / "long.txt").write_text(
        "\n".join(utterance.text for utterance in utterances * 6)
    )
    entry = json.loads(call(main, tmp_path / "long.wav", "format=json", *checkpoint).out)
    assert entry["end"] == pytest.approx(len(joined) / 16_000, abs=1e-3)
    assert entry["end"] > 40
    assert [word["text"] for word in entry["words"]] == entry["text"].split()
    edges = [edge for word in entry["words"] for edge in (word["start"], word["end"])]
    assert edges == sorted(edges)
    assert edges[-1] > 0.8 * entry["end"]


def test_words_of_joined_real_clips_are_in_their_own_clip_and_a_wrong_text_is_reported(
    build: Callable[..., CTCModel], call: Call, tmp_path: Path
) -> None:
    clips = _real_clips(3)
    _overfit(
        build(channels=8, hidden_size=40, num_layers=1, cell="lstm", dropout=0.0), clips
    ).save(tmp_path / "model.safetensors")
    order, second = [0, 2, 1] * 6, 16_000
    quiet = 1e-3 * np.random.default_rng(1).standard_normal(second)
    joined = [piece for k in order for piece in (quiet, clips[k][0])]
    soundfile.write(tmp_path / "long.wav", np.concatenate(joined), 16_000)
    ends = np.cumsum([len(clips[k][0]) + second for k in order]) / second
    owners = [i for i, k in enumerate(order) for _ in clips[k][1].split()]
    arguments = (
        main,
        tmp_path / "long.wav",
        f"checkpoint={tmp_path / 'model.safetensors'}",
        "format=json",
    )

    finished = call(*arguments, "text=" + " ".join(clips[k][1] for k in order))
    assert finished.err == ""
    entry = json.loads(finished.out)
    assert entry["fits"]
    assert entry["end"] > 30
    # An overfitted model may emit the first letter of a clip in the silence before it: check ends
    clip = [(ends[i] - len(clips[order[i]][0]) / second, ends[i]) for i in owners]
    within = [
        low < word["end"] <= high
        for word, (low, high) in zip(entry["words"], clip, strict=True)
    ]
    assert np.mean(within) > 0.95

    finished = call(*arguments, "text=" + " ".join(clips[1][1] for _ in order))
    assert "the text does not match the audio" in finished.complaint
    assert not json.loads(finished.out)["fits"]


def _real_clips(count: int) -> list[tuple[np.ndarray, str]]:
    """Return waveforms and transcripts of the training split of AN4."""
    if not (SHARED / "an4").is_dir():
        pytest.skip(f"needs the shared corpora beside the repository, in {SHARED}")
    with (SHARED / "an4" / "index.tsv").open(encoding="utf-8") as lines:
        rows = [
            row for row in csv.DictReader(lines, delimiter="\t") if row["split"] == "train"
        ]
    words = [
        row
        for row in rows
        if all(len(word) > 1 for word in row["text"].split())
        and row["text"].count(" ") == 2
    ]
    chosen = words[:: len(words) // count]
    return [
        (audio.load(SHARED / "an4" / row["path"]), row["text"].lower())
        for row in chosen[:count]
    ]


def _overfit(model: CTCModel, clips: list[tuple[np.ndarray, str]]) -> CTCModel:
    """Train until the model spells the clips between silences, alone and two in a row."""
    optimizer, rng = (
        torch.optim.AdamW(model.train().parameters(), lr=8e-3),
        np.random.default_rng(0),
    )
    for step in range(400):
        waveforms, labels = [], []
        for _ in range(3):
            order = rng.permutation(len(clips))[: 2 if step % 4 == 3 else 1]
            pieces = [
                piece
                for k in order
                for piece in (
                    1e-3 * rng.standard_normal(rng.integers(2_000, 18_000)),
                    clips[k][0],
                )
            ]
            waveforms.append(torch.from_numpy(np.concatenate(pieces).astype(np.float32)))
            labels.append(
                torch.tensor(model.tokenizer.encode(" ".join(clips[k][1] for k in order)))
            )
        emissions = model(*pad_batch(waveforms))
        targets, sizes = pad_batch(labels)
        loss = (
            ctc_loss(emissions.log_probs, emissions.lengths, targets, sizes).sum()
            / sizes.sum()
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if loss < 0.03:
            break
    return model.eval()


def test_files_have_the_same_names_whatever_recordings_have_a_text(
    folder: Path, checkpoint: list[str], tmp_path: Path, call: Call
) -> None:
    days = tmp_path / "days"
    for day in ("monday", "tuesday"):
        (days / day).mkdir(parents=True)
        (days / day / "talk.flac").write_bytes((folder / "0.flac").read_bytes())
    out = tmp_path / "out"
    for day in ("monday", "tuesday"):
        text = days / day / "talk.txt"
        text.write_text((folder / "0.txt").read_text())
        finished = call(main, days, "format=srt", f"output={out}", *checkpoint)
        assert f"{out / day / 'talk.srt'}\n" in finished.out
        text.unlink()


@pytest.mark.parametrize("path", ["my talk.txt", "scripts/talk.md", "/no such/talk.TXT"])
def test_a_mistyped_path_of_a_text_is_not_aligned(
    path: str, utterances: list[Utterance], checkpoint: list[str], call: Call
) -> None:
    finished = call(main, utterances[0].audio, f"text={path}", *checkpoint)
    assert finished.code == 2
    assert f"text={path}: no such file" in finished.complaint


def test_an_exported_model_cannot_align(
    utterances: list[Utterance], tmp_path: Path, call: Call
) -> None:
    (tmp_path / "model.onnx").write_bytes(b"onnx")
    finished = call(
        main, utterances[0].audio, "text=a", f"checkpoint={tmp_path / 'model.onnx'}"
    )
    assert "an exported model; this needs the model.safetensors" in finished.complaint
