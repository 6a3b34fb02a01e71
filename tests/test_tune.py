"""Command line of tuning."""

import csv
from pathlib import Path

import pytest
from entry import Call, caller
from omegaconf import OmegaConf

from asr import evaluate, tune


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    return caller(monkeypatch, capsys)


@pytest.fixture
def settings(corpus: Path, trained: Path) -> list[str]:
    return [
        f"checkpoint={trained / 'model.safetensors'}",
        f"data.root={corpus}",
        "data.workers=0",
        "data.limit=8",
        "decoder.workers=1",
    ]


def test_the_tuned_decoder_has_the_fewest_errors_and_works_in_evaluation(
    settings: list[str], tmp_path: Path, call: Call
) -> None:
    lexicon = tmp_path / "words"
    lexicon.write_text("one\ntwo\nthree\nthe\nanswer\nis\n")
    finished = call(
        tune.main,
        *settings,
        f"dir={tmp_path}",
        "points=3",
        "rounds=1",
        f"decoder.lexicon={lexicon}",
        "decoder.nbest=2",
    )
    assert finished.code == 0, finished.err
    with (tmp_path / "points.csv").open() as file:
        points = list(csv.DictReader(file))
    assert len(points) >= 4
    assert {point["lm_weight"] for point in points} == {
        "0.0"
    }  # without a language model there is no weight to tune
    best = min(float(point["wer"]) for point in points)
    tuned = tmp_path / "decoder" / "tuned.yaml"
    chosen = OmegaConf.load(tuned)
    assert any(
        float(p["word_score"]) == chosen.word_score and float(p["wer"]) == best
        for p in points
    )
    assert chosen.nbest == 2
    assert chosen.calibration[0] >= 0
    assert (tmp_path / "surface.png").stat().st_size > 0
    scored = call(
        evaluate.main,
        *settings,
        "split=validation",
        f"dir={tmp_path / 'scored'}",
        f"decoder={tuned}",
    )
    assert f"WER {best:.2%}" in scored.out, scored.err
    assert f"WER {best:.2%}" in finished.out
    assert " words are too few to choose weights" in finished.out


def test_a_tuned_decoder_with_packaged_files_works_from_any_folder(
    settings: list[str], tmp_path: Path, call: Call
) -> None:
    finished = call(
        tune.main, *settings, "decoder=english", f"dir={tmp_path}", "points=2", "rounds=0"
    )
    assert finished.code == 0, finished.err
    chosen = OmegaConf.load(tmp_path / "decoder" / "tuned.yaml")
    assert (chosen.lm, chosen.lexicon) == ("english.arpa.gz", "english.words")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("decoder=greedy", "only a beam search has weights to tune"),
        (
            "decoder=nowhere/decoder/tuned.yaml",
            "decoder: nowhere/decoder/tuned.yaml: no such file",
        ),
        ("decoder.beam_size=0", "decoder.beam_size must be >= 1, got 0"),
        ("points=0", "points must be >= 1, got 0"),
        ("lm_weight=[2]", "lm_weight must be two numbers in ascending order, got [2]"),
        ("point=3", "did you mean points?"),
    ],
)
def test_wrong_settings_give_one_line(
    settings: list[str], tmp_path: Path, call: Call, override: str, message: str
) -> None:
    overrides = [
        s
        for s in settings
        if not (override.startswith("decoder=") and s.startswith("decoder"))
    ]
    finished = call(tune.main, *overrides, f"dir={tmp_path}", override)
    assert finished.code == 2
    assert message in finished.complaint


def test_a_file_as_an_option_must_be_in_a_folder_of_its_group(
    settings: list[str], tmp_path: Path, call: Call
) -> None:
    (tmp_path / "mine.yaml").write_text("_target_: asr.decode.Greedy\n")
    finished = call(evaluate.main, settings[0], f"decoder={tmp_path / 'mine.yaml'}")
    assert finished.code == 2
    assert "must be in a folder named decoder" in finished.complaint


def test_the_tuned_decoder_finds_its_files_from_any_folder(
    settings: list[str],
    tmp_path: Path,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("names.txt").write_text("one\n")
    Path("words.txt").write_text("one\ntwo\n")
    finished = call(
        tune.main,
        *settings,
        "data.limit=2",
        "dir=tuned",
        "points=1",
        "rounds=0",
        "decoder.hotwords=[names.txt,answer]",
        "decoder.lexicon=words.txt",
    )
    assert finished.code == 0, finished.err
    chosen = OmegaConf.load(tmp_path / "tuned" / "decoder" / "tuned.yaml")
    assert chosen.hotwords == [str(tmp_path / "names.txt"), "answer"]
    assert chosen.lexicon == str(tmp_path / "words.txt")
