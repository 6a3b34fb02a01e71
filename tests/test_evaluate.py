"""Command line of evaluation."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import jiwer
import pytest
from entry import Call, caller

from asr.data.manifest import read_manifest, write_manifest
from asr.evaluate import main


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    return caller(monkeypatch, capsys)


@pytest.fixture
def settings(corpus: Path, trained: Path, tmp_path: Path) -> list[str]:
    model = trained / "model.safetensors"
    return [
        f"checkpoint={model}",
        f"data.root={corpus}",
        f"dir={tmp_path / 'report'}",
        "data.workers=0",
    ]


def test_the_report_lists_every_utterance_worst_first_and_agrees_with_jiwer(
    settings: list[str], tmp_path: Path, call: Call
) -> None:
    finished = call(main, *settings)
    assert finished.code == 0, finished.err
    rows = [
        json.loads(line)
        for line in (tmp_path / "report" / "utterances.jsonl").read_text().splitlines()
    ]
    assert [r["errors"] for r in rows] == sorted((r["errors"] for r in rows), reverse=True)
    expected = jiwer.process_words(
        [r["reference"] for r in rows], [r["hypothesis"] for r in rows]
    )
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    assert summary["wer"] == pytest.approx(expected.wer, abs=1e-5)
    assert summary["deletions"] == expected.deletions
    assert sum(group["words"] for group in summary["speakers"].values()) == summary["words"]
    assert sum(group["words"] for group in summary["lengths"].values()) == summary["words"]
    assert f"WER {expected.wer:.2%}" in finished.out
    assert summary["rtf"] > 0
    low, high = summary["wer_interval"]
    assert low <= summary["wer"] <= high
    assert f"({low:.2%} to {high:.2%})" in finished.out
    assert f"calibration error {summary['calibration_error']:.3f}" in finished.out
    assert (tmp_path / "report" / "reliability.png").stat().st_size > 0
    assert all(row["snr"] is not None for row in rows)
    assert sum(group["words"] for group in summary["snr"].values()) == summary["words"]
    assert summary["settings"]["split"] == "test"
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert f"{100 * expected.wer:.2f} %" in page
    wrong = sum(r["reference"] != r["hypothesis"] for r in rows)
    assert page.count("<audio") == min(50, wrong) > 0


def test_the_validation_score_equals_that_of_training(
    settings: list[str], trained: Path, tmp_path: Path, call: Call
) -> None:
    call(main, *settings, "split=validation")
    measured = json.loads((tmp_path / "report" / "summary.json").read_text())["wer"]
    assert measured == pytest.approx(
        json.loads((trained / "summary.json").read_text())["val_wer"], abs=1e-4
    )


def test_an_unreadable_recording_is_reported_and_the_others_are_scored(
    settings: list[str], corpus: Path, tmp_path: Path, call: Call
) -> None:
    good = read_manifest(corpus / "manifests" / "synthetic" / "test.jsonl")[:3]
    (tmp_path / "bad.wav").write_bytes(b"")
    manifest = tmp_path / "m.jsonl"
    write_manifest(manifest, [*good, type(good[0])(tmp_path / "bad.wav", 1.0, "x")])
    finished = call(main, *settings, f"data.test={manifest}")
    assert finished.code == 0
    assert "bad.wav: empty file" in finished.complaint
    assert "bad.wav" in (tmp_path / "report" / "failed.txt").read_text()


def test_the_page_is_optional_and_its_number_of_examples_is_a_setting(
    settings: list[str], tmp_path: Path, call: Call
) -> None:
    assert call(main, *settings, "report=false", "data.limit=3").code == 0
    page = tmp_path / "report" / "report.html"
    assert not page.exists()
    assert call(main, *settings, "examples=2", "data.limit=4").code == 0
    assert page.read_text(encoding="utf-8").count("<audio") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["examples=-1"], "examples must be >= 0, got -1"),
        (["split=tset"], "split must be one of train, validation, test, got 'tset'"),
        (["checkpoint=nowhere.safetensors"], "no such model"),
        (["checkpont=x"], "did you mean checkpoint?"),
        (["checkpoint="], "checkpoint has no value; pass checkpoint=..."),
        (["data.limt=3"], "did you mean data.limit?"),
    ],
)
def test_wrong_settings_give_one_line_and_exit_code_2(
    settings: list[str], call: Call, arguments: list[str], message: str
) -> None:
    finished = call(main, *settings, *arguments)
    assert finished.code == 2
    assert message in finished.complaint


def test_the_folder_of_a_training_keeps_its_summary(
    settings: list[str], trained: Path, call: Call
) -> None:
    before = (trained / "summary.json").read_text()
    finished = call(main, *settings, f"dir={trained}")
    assert finished.code == 2
    assert f"dir={trained} is the folder of a training; pass another" in finished.complaint
    assert (trained / "summary.json").read_text() == before


def test_a_file_as_dir_is_refused_before_the_model_loads(
    settings: list[str], tmp_path: Path, call: Call
) -> None:
    (tmp_path / "file").touch()
    finished = call(main, *settings, f"dir={tmp_path / 'file'}", "checkpoint=nowhere")
    assert finished.code == 2
    assert "file: File exists" in finished.complaint


def test_a_reader_that_closes_the_output_loses_no_report(
    settings: list[str], tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w", closefd=False) as closed, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", closed)
        finished = call(main, *settings, "data.limit=3")
    os.close(write)
    assert finished.code == 0
    assert (tmp_path / "report" / "report.html").is_file()


def test_the_decoder_is_a_setting_and_its_errors_give_one_line(
    settings: list[str], corpus: Path, tmp_path: Path, call: Call
) -> None:
    texts = {
        u.text for u in read_manifest(corpus / "manifests" / "synthetic" / "test.jsonl")
    }
    lexicon = tmp_path / "words.txt"
    lexicon.write_text("\n".join(sorted({word for text in texts for word in text.split()})))
    finished = call(
        main, *settings, "decoder=beam", f"decoder.lexicon={lexicon}", "decoder.workers=1"
    )
    assert finished.code == 0, finished.err
    rows = [
        json.loads(line)
        for line in (tmp_path / "report" / "utterances.jsonl").read_text().splitlines()
    ]
    assert {word for r in rows for word in r["hypothesis"].split()} <= set(
        lexicon.read_text().split()
    )

    refused = call(main, *settings, "decoder=beam", "decoder.lm=missing.arpa")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "missing.arpa: no such file" in refused.err

    unlisted = call(main, *settings, "decoder=closed")
    assert (unlisted.code, unlisted.err.count("\n")) == (2, 1)
    assert "decoder.phrases" in unlisted.err

    closed = call(main, *settings, "decoder=closed", "decoder.phrases=[yes,no]")
    assert closed.code == 0, closed.err
    rows = [
        json.loads(line)
        for line in (tmp_path / "report" / "utterances.jsonl").read_text().splitlines()
    ]
    assert {r["hypothesis"] for r in rows} <= {"yes", "no", ""}


def test_a_split_without_words_is_an_error(
    settings: list[str], corpus: Path, tmp_path: Path, call: Call
) -> None:
    utterances = read_manifest(corpus / "manifests" / "synthetic" / "test.jsonl")
    write_manifest(tmp_path / "m.jsonl", [replace(each, text="") for each in utterances])
    finished = call(main, *settings, f"data.test={tmp_path / 'm.jsonl'}")
    assert finished.code == 2
    assert (
        "data.test: no text has words, so there is nothing to score" in finished.complaint
    )
