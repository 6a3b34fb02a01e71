"""The command that adapts a model to recordings."""

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from entry import Call, caller

from asr import adapt, compare
from asr.config.app import CONF, compose
from asr.config.recordings import describe_source
from asr.data.manifest import read_manifest
from asr.inference.transcriber import Transcriber
from asr.nn.ctc import CTCModel
from asr.training.module import CTCModule

SMALL = ["data.workers=0", "trainer.accelerator=cpu", "trainer.max_epochs=2"]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    return caller(monkeypatch, capsys)


@pytest.fixture(scope="module")
def recordings(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of recordings with texts by two speakers."""
    folder = tmp_path_factory.mktemp("own") / "my recordings"
    manifest = corpus / "manifests" / "synthetic" / "train.jsonl"
    for i, utterance in enumerate(read_manifest(manifest)):
        path = folder / f"speaker{i % 2}" / f"{i}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(utterance.audio, path)
        path.with_suffix(".txt").write_text(utterance.text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def settings(trained: Path) -> list[str]:
    """Return the settings of a small adaptation."""
    return [*SMALL, f"init={trained / 'model.safetensors'}"]


@pytest.fixture(scope="module")
def adapted(
    recordings: Path, settings: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return the folder of a finished adaptation."""
    folder = tmp_path_factory.mktemp("adapted")
    assert not list(adapt.adapt([str(recordings)], [*settings, f"dir={folder}"]))
    return folder


def test_one_command_prepares_trains_and_scores_before_and_after(
    recordings: Path, settings: list[str], tmp_path: Path, call: Call
) -> None:
    folder = tmp_path / "run"
    finished = call(adapt.main, recordings, f"dir={folder}", *settings)
    assert finished.code == 0, finished.err
    wer = r"WER \d+\.\d% \(\d+\.\d% to \d+\.\d%\) in \d+ words of \d+ held-out recordings"
    assert re.search(f"^before: {wer}$", finished.out, re.MULTILINE)
    assert re.search(f"^after: {wer}$", finished.out, re.MULTILINE)
    assert re.search(
        r"^after - before: .* points \(.*\), p .*$", finished.out, re.MULTILINE
    )
    assert "freeze=1 trainer.max_epochs=2 optimizer.lr=0.0002" in finished.out
    assert "words are too few to judge" in finished.out
    *_, command = finished.out.splitlines()
    path = folder / "model.safetensors"
    assert command == f"python -m asr.transcribe talk.wav checkpoint={path}"
    utterance = read_manifest(folder / "manifests" / "my-recordings" / "train.jsonl")[0]
    assert isinstance(Transcriber.load(path).transcribe(utterance.audio).text, str)


def test_a_tenth_is_held_out_and_scored_and_the_speakers_of_few_are_shared(
    adapted: Path, recordings: Path
) -> None:
    manifests = adapted / "manifests" / "my-recordings"
    train, held_out = (
        read_manifest(manifests / f"{split}.jsonl") for split in ("train", "validation")
    )
    count = len(list(recordings.rglob("*.flac")))
    assert len(held_out) == -(-count // 10)
    assert len(train) + len(held_out) == count
    assert {utterance.speaker for utterance in train} == {"speaker0", "speaker1"}
    for name in ("before", "after"):
        summary = json.loads((adapted / name / "summary.json").read_text())
        assert summary["utterances"] == len(held_out)


def test_the_folder_has_instructions_and_the_result(
    adapted: Path, trained: Path, call: Call
) -> None:
    text = (adapted / "README.md").read_text()
    assert f"checkpoint={adapted / 'model.safetensors'}" in text
    assert str(trained / "model.safetensors") in text
    result = json.loads((adapted / "summary.json").read_text())["adaptation"]
    before = json.loads((adapted / "before" / "summary.json").read_text())
    assert result["before"]["wer"] == pytest.approx(before["wer"], abs=1e-5)
    assert result["init"] == str(trained / "model.safetensors")
    assert result["verdict"] in text
    finished = call(compare.main, adapted / "before", adapted / "after")
    assert finished.code == 0
    assert (adapted / "after" / "compare.html").is_file()


def test_no_score_selects_the_weights(adapted: Path) -> None:
    best, last = (
        torch.load(adapted / "checkpoints" / f"{name}.ckpt", weights_only=False)
        for name in ("best", "last")
    )
    assert best["epoch"] == last["epoch"] == 1  # every epoch has the same WER
    model = CTCModel.load(adapted / "model.safetensors").state_dict()
    assert all(torch.equal(last["state_dict"][f"model.{k}"], model[k]) for k in model)


def test_an_interrupted_adaptation_resumes_exactly(
    recordings: Path,
    settings: list[str],
    adapted: Path,
    tmp_path: Path,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = [recordings, f"dir={tmp_path / 'run'}", *settings]
    start = CTCModule.on_train_batch_start

    def interrupt(module: CTCModule, batch: object, batch_idx: int) -> None:
        start(module, batch, batch_idx)
        if module.trainer.current_epoch == 1:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(CTCModule, "on_train_batch_start", interrupt)
        stopped = call(adapt.main, *arguments)
    assert stopped.code == 130
    assert "Continue from the last checkpoint with resume=true" in stopped.err
    assert not (tmp_path / "run" / "model.safetensors").exists()
    assert "pass another dir" in call(adapt.main, *arguments).err
    other = call(adapt.main, *arguments, "resume=true", "data.recipe.validation=0.3")
    assert other.code == 2
    assert "data.recipe.validation is 0.3, but " in other.complaint
    whole = CTCModel.load(adapted / "model.safetensors").state_dict()
    for _ in range(2):  # a finished training may be resumed, too
        assert call(adapt.main, *arguments, "resume=true").code == 0
        resumed = CTCModel.load(tmp_path / "run" / "model.safetensors").state_dict()
        assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_run_without_a_checkpoint_can_start_again(
    recordings: Path, settings: list[str], tmp_path: Path, call: Call
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("seed: 1\n")
    arguments = ["trainer.max_epochs=1", f"dir={tmp_path / 'run'}"]
    refused = call(adapt.main, recordings, *settings, *arguments)
    assert "config.yaml was not written by an adaptation" in refused.err
    assert (tmp_path / "run" / "config.yaml").read_text() == "seed: 1\n"
    (tmp_path / "run" / "before").mkdir()
    assert call(adapt.main, recordings, *settings, *arguments).code == 0
    assert (tmp_path / "run" / "manifests").is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_table_teaches_other_letters_and_keeps_the_old_ones(
    recording: Callable[..., Path],
    trained: Path,
    settings: list[str],
    tmp_path: Path,
    call: Call,
) -> None:
    rows = ["audio,text"]
    for i, text in enumerate(("grün", "grüß dich", "über 7 %", "öl")):
        rows.append(f"{recording(f'{i}.wav', 2.0, seed=i).name},{text}")
    table = tmp_path / "table.csv"
    table.write_text("\n".join(rows), encoding="utf-8")
    finished = call(adapt.main, table, f"dir={tmp_path / 'run'}", *settings)
    assert finished.code == 0, finished.err
    assert re.search("new tokens that .* lacks: .*ü", finished.out)
    before, after = (
        CTCModel.load(folder / "model.safetensors").tokenizer.tokens
        for folder in (trained, tmp_path / "run")
    )
    assert after[: len(before)] == before
    assert "ü" in after[len(before) :]
    assert "%" not in after


def test_recordings_without_a_text_are_counted_with_the_fix(
    recordings: Path, settings: list[str], tmp_path: Path, call: Call
) -> None:
    copied = shutil.copytree(recordings, tmp_path / "own")
    missing = sorted(copied.rglob("*.txt"))[0]
    missing.unlink()
    arguments = ["trainer.max_epochs=1", f"dir={tmp_path / 'run'}"]
    finished = call(adapt.main, copied, *settings, *arguments)
    assert finished.code == 0
    assert (
        f"1 recording has no text. Write the words of {missing.stem}.flac" in finished.out
    )
    assert f"output={copied} writes drafts" in finished.out


def test_clips_that_are_too_long_and_own_files_of_settings_do_not_change_the_plan(
    recordings: Path, settings: list[str], tmp_path: Path, call: Call
) -> None:
    group = tmp_path / "options" / "optimizer"
    group.mkdir(parents=True)
    text = (CONF / "optimizer" / "adamw.yaml").read_text(encoding="utf-8")
    (group / "gentle.yaml").write_text(text.replace("lr: 3.0e-3", "lr: 1.5e-4"))
    arguments = [f"optimizer={group / 'gentle.yaml'}", "data.max_seconds=2", *settings]
    finished = call(adapt.main, recordings, f"dir={tmp_path / 'run'}", *arguments)
    assert finished.code == 0
    used = [
        utterance.duration
        for utterance in read_manifest(next(tmp_path.glob("run/manifests/*/train.jsonl")))
        if utterance.duration <= 2
    ]
    hours = sum(used) / 3600
    assert f"{hours:.2f} h of speech to train on: freeze=" in finished.out
    assert "optimizer.lr=0.00015 " in finished.out


def test_recordings_that_are_all_too_long_stop_an_adaptation_before_it_scores(
    recordings: Path, settings: list[str], tmp_path: Path, call: Call
) -> None:
    limit = "data.max_seconds=0.2"
    finished = call(adapt.main, recordings, f"dir={tmp_path / 'run'}", *settings, limit)
    assert finished.code == 2
    assert "cut longer ones at pauses with recipes.segment" in finished.err
    assert "before:" not in finished.out


def test_two_recordings_of_one_name_stop_an_adaptation_before_it_trains(
    recording: Callable[..., Path], settings: list[str], tmp_path: Path, call: Call
) -> None:
    path = recording("call.wav", 6.0)
    rows = ["audio,start,end,text,split"]
    spans = [(0, 2, "validation"), (0, 3, "validation"), (3, 6, "train")]
    rows += [f"{path},{start},{end},one,{split}" for start, end, split in spans]
    (tmp_path / "table.csv").write_text("\n".join(rows), encoding="utf-8")
    run = tmp_path / "run"
    refused = call(adapt.main, tmp_path / "table.csv", f"dir={run}", *settings)
    assert refused.code == 2
    assert "2 utterances are" in refused.err
    assert not (run / "checkpoints").exists()


def test_another_adaptation_in_the_folder_is_refused(
    recordings: Path, settings: list[str], tmp_path: Path, call: Call
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    hold = f"""
from pathlib import Path
from asr.config.adaptation import LOCK
from asr.training.run_folder import hold_folder
with hold_folder(Path({str(run)!r}), LOCK):
    print("held", flush=True)
    input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", hold],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        refused = call(adapt.main, recordings, f"dir={run}", *settings)
        other.communicate("\n", timeout=600)
    assert refused.code == 2
    assert "another run is using this folder" in refused.err
    assert not (run / "manifests").exists()


@pytest.mark.parametrize(
    ("folder", "name"), [("it's 20 % off", "it-s-20-off"), ("2026", "2026"), ("=é", "é")]
)
def test_a_folder_may_have_any_name(tmp_path: Path, folder: str, name: str) -> None:
    path = tmp_path / folder
    path.mkdir()
    cfg = compose("adapt", describe_source([str(path)]))
    assert cfg.data.recipe.audio == str(path)
    assert cfg.name == name
    assert cfg.dir == f"outputs/adapted/{name}"


@pytest.mark.parametrize(
    ("files", "arguments", "message"),
    [
        ({}, ["nowhere"], "nowhere: no such folder or table"),
        ({"own/a.txt": "a"}, ["own"], "train: no usable recordings among 1"),
        (
            {"own/a.wav": "", "own/b.wav": ""},
            ["own"],
            "2 recordings have no text. Write the",
        ),
        ({"own/a.wav": "", "own/a.txt": " "}, ["own"], "1 recording has no text"),
        (
            {"own/a.wav": "", "own/a.txt": "a"},
            ["own"],
            "1 usable recording, and none is held out to score",
        ),
        ({"own/a.wav": ""}, ["own/a.wav"], "a.wav: pass its folder, or a table"),
        ({"a.csv": "audio,text\n"}, ["a.csv"], "a.csv: no recordings"),
        (
            {"own/a.txt": "a"},
            ["own", "own"],
            "pass one folder of recordings or one table, got",
        ),
        ({}, ["seed=1"], "pass one folder of recordings or one table, got []"),
        ({"own/a.txt": "a"}, ["own", "epochs=3"], "did you mean"),
        ({"own/a.txt": "a"}, ["own", "freeze=9"], "freeze must be <= 1, the layers of the"),
        ({"own/a.txt": "a"}, ["own", "resume=true"], "last.ckpt not found"),
        ({"own/a.txt": "a"}, ["own", "trainer=ddp"], "trainer.devices must be 1, got auto"),
        ({"own/a.txt": "a"}, ["own", "init=none"], "none: no such model"),
        ({"own/a.txt": "a"}, ["own", "model=small"], "Leave out model and features"),
        (
            {"own/a.txt": "a"},
            ["own", "trainer.max_epochs=0"],
            "trainer.max_epochs must be >= 1, got 0",
        ),
        ({"own/a.txt": "a"}, ["own", "init=null"], "init must be the model to adapt"),
        ({"own/a.txt": "a"}, ["own", "--fast"], "--fast: no such option"),
    ],
)
def test_bad_input_gets_one_line_and_exit_code_2(
    files: dict[str, str],
    arguments: list[str],
    message: str,
    settings: list[str],
    sound: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: Call,
) -> None:
    import soundfile

    monkeypatch.chdir(tmp_path)
    for name, text in files.items():
        path = Path(name)
        path.parent.mkdir(exist_ok=True)
        if path.suffix == ".wav":
            soundfile.write(path, sound(1.0), 16_000)
        else:
            path.write_text(text)
    finished = call(adapt.main, *settings, *arguments)
    assert finished.code == 2
    assert message in finished.err.splitlines()[-1]
    assert "Traceback" not in finished.err
    assert not list(tmp_path.rglob("model.safetensors"))
