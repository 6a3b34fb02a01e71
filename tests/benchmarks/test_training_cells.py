"""Tables of trainings: cells run once, steps follow from the data, and voices are divided."""

import json

import pytest

from asr.config.app import compose
from asr.data.manifest import Utterance, read_manifest
from asr.errors import ConfigError


@pytest.fixture
def cells(script):
    return script("training_cells")


@pytest.fixture
def trained(cells, build, monkeypatch):
    """Replace trainings by a model without training, and return the runs."""
    runs = []

    def train(run, settings, log):
        runs.append(run)
        run.mkdir(parents=True)
        build().save(run / "model.safetensors")
        summary = {"steps": 9, "epochs": 3, "seconds": 1.5, "commit": "abc"}
        (run / "summary.json").write_text(json.dumps(summary))

    monkeypatch.setattr(cells, "train", train)
    return runs


@pytest.fixture
def cell(cells, root, tmp_path):
    splits = (
        read_manifest(root / f"manifests/an4/{split}.jsonl")
        for split in ("train", "validation", "test")
    )
    settings = ["experiment=an4", f"data.root={root}"]
    return cells.Cell(tmp_path / "cell", *splits, settings, steps=10)


def test_a_finished_cell_is_not_trained_again(cells, cell, trained):
    first = cells.finish(cell)
    assert first["utterances"] == 3
    assert first["steps"] == 9
    assert cells.finish(cell) == first
    assert trained == [cell.folder / "run"]


def test_a_folder_of_other_settings_is_an_error(cells, cell, trained):
    cells.finish(cell)
    with pytest.raises(ConfigError, match="of other settings"):
        cells.finish(cell._replace(steps=20))


def test_a_training_that_was_not_scored_is_only_scored(cells, cell, trained):
    cells.finish(cell)
    (cell.folder / "result.json").unlink()
    assert cells.finish(cell)["utterances"] == 3
    assert len(trained) == 1


def test_a_failed_training_is_an_error_with_its_last_line(cells, tmp_path):
    with pytest.raises(ConfigError, match=r"train\.log: .*no setting"):
        cells.train(tmp_path / "run", ["no_such_setting=1"], tmp_path / "train.log")


def test_epochs_follow_from_steps_and_seconds(cells, cell):
    clips = [
        Utterance("a.wav", 15.0, "a")
    ] * 6  # 90 s in batches of 20 s: 5 steps per epoch
    chosen = cells.schedule(cell._replace(train=clips, steps=1001), cell.settings)
    assert "trainer.max_epochs=201" in chosen
    assert "trainer.check_val_every_n_epoch=20" in chosen
    cfg = compose("train", [*cell.settings, *chosen])
    assert cfg.callbacks.ema.decay == pytest.approx(1 - 1 / 100.1, abs=1e-4)


def test_an_experiment_without_a_moving_average_gets_none(cells, cell):
    chosen = cells.schedule(cell, ["experiment=fsdd"])
    assert not any("ema" in setting for setting in chosen)


def test_seconds_take_the_same_prefix_of_any_order(cells):
    clips = [Utterance(f"{i}.wav", 1.0 + i, str(i)) for i in range(10)]
    few, many = (cells.take_seconds(clips, seconds) for seconds in (20, 40))
    assert cells.total_seconds(few) <= 20 < cells.total_seconds(many) <= 40
    assert many[: len(few)] == few == cells.take_seconds(clips[::-1], 20)
    assert len(cells.take_seconds(clips, 0.1)) == 1


def test_no_text_of_the_test_of_a_voice_is_in_its_training(script):
    clips = [Utterance(f"{i}.wav", 1.0, str(i % 30)) for i in range(100)]
    voice = script("held_out").HeldOutSet("corpus, voice", clips)
    corpus = script("finetuning").split_voice(voice)
    assert len(corpus.test) == 20
    assert not {u.text for u in corpus.test} & {u.text for u in corpus.train}
    assert not {*corpus.validation} & {*corpus.train, *corpus.test}
    assert corpus.name == "corpus-voice"


def test_fine_tuning_has_a_row_for_each_start(
    script, build, root, tmp_path, trained, capsys
):
    build().save(tmp_path / "model.safetensors")
    finetuning = script("finetuning")
    arguments = [f"{tmp_path}/model.safetensors", "--corpora", "an4", f"--root={root}"]
    arguments += ["--minutes", "30", "0.005", "--steps=5", "--tuning-steps=5"]
    finetuning.run(*finetuning.parse([*arguments, f"--folder={tmp_path}/cells"]))
    names = {"nothing-0.005", "nothing-0.1", "init-0.005", "init-0.1"}
    assert {run.parent.name for run in trained} == names
    settings = json.loads((tmp_path / "cells/an4/init-0.1/cell.json").read_text())
    assert f"init={tmp_path}/model.safetensors" in settings["settings"]
    heading, _, *lines = capsys.readouterr().out.strip().splitlines()
    assert heading == "| Corpus | Start | 0 min | 0.005 min | 30 min |"
    starts = [line.split(" | ")[1:3] for line in lines]
    assert starts[0] == ["from nothing", ""]
    assert starts[1][0] == "init=MODEL"
    assert all(line.endswith("all 0.1 min |") for line in lines)
    assert all(line.startswith("| AN4 (in training)") for line in lines)


def test_the_learning_curve_has_a_point_for_each_amount_and_kind(
    script, root, tmp_path, trained, capsys
):
    english = root / "manifests" / "english"
    (english / "synthetic.jsonl").write_text((english / "train.jsonl").read_text())
    arguments = [f"--root={root}", "--hours", "0.0001", "5", "--steps=3"]
    arguments += [f"--folder={tmp_path}/cells", f"--plot={tmp_path}/plots/curve.png"]
    curve = script("learning_curve")
    curve.run(*curve.parse([*arguments, "model.hidden_size=8"]))
    names = [
        f"{hours}-{kind}" for hours in ("0.0001", "all") for kind in ("real", "synthetic")
    ]
    assert [run.parent.name for run in trained] == names
    assert "| real and synthetic speech |" in capsys.readouterr().out
    assert (tmp_path / "plots/curve.png").stat().st_size > 1000
    settings = json.loads((tmp_path / "cells/all-synthetic/cell.json").read_text())
    assert {f"data.root={root}", "model.hidden_size=8"} <= {*settings["settings"]}
    assert any(str(english / "synthetic.jsonl") in s for s in settings["settings"])
