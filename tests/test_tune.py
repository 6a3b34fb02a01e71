"""Tuning as a user runs it."""

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


def test_the_decoder_it_writes_has_the_fewest_errors_and_works_elsewhere(
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
        float(p["word_score"]) == chosen.word_score and float(p["wer"]) == best for p in points
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


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("decoder=greedy", "only a beam search has weights to tune"),
        ("decoder=nowhere/decoder/tuned.yaml", "decoder: nowhere/decoder/tuned.yaml: no such file"),
        ("decoder.beam_size=0", "decoder.beam_size is 0; it must be at least 1"),
        ("points=0", "points is 0; it must be at least 1"),
        ("lm_weight=[2]", "lm_weight is [2]; it must be two numbers"),
        ("point=3", "did you mean points?"),
    ],
)
def test_bad_settings_get_one_line(
    settings: list[str], tmp_path: Path, call: Call, override: str, said: str
) -> None:
    overrides = [
        s for s in settings if not (override.startswith("decoder=") and s.startswith("decoder"))
    ]
    finished = call(tune.main, *overrides, f"dir={tmp_path}", override)
    assert finished.code == 2
    assert said in finished.complaint


def test_an_option_of_ones_own_must_lie_in_a_folder_of_its_group(
    settings: list[str], tmp_path: Path, call: Call
) -> None:
    (tmp_path / "mine.yaml").write_text("_target_: asr.decode.Greedy\n")
    finished = call(evaluate.main, settings[0], f"decoder={tmp_path / 'mine.yaml'}")
    assert finished.code == 2
    assert "must lie in a folder that is named decoder" in finished.complaint
