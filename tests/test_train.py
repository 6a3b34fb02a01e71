"""The training command: its results, its output, and its errors."""

import gc
import json
import re
from pathlib import Path

import psutil
import pytest
import torch
from entry import Call, caller
from matplotlib.figure import Figure
from training_runs import SMALL, run

from asr.config.app import compose
from asr.data.manifest import Utterance, read_manifest, write_manifest
from asr.evaluate import evaluate
from asr.inference.transcriber import Transcriber
from asr.nn.ctc import CTCModel
from asr.train import main, train
from asr.training.module import CTCModule


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    return caller(monkeypatch, capsys)


def test_a_run_leaves_a_model_scores_logs_and_plots(trained: Path) -> None:
    summary = json.loads((trained / "summary.json").read_text())
    assert {"val_wer", "seed", "commit", "versions", "hours", "seconds", "config"} <= set(
        summary
    )
    assert summary["hours"]["train"] > 0
    assert (
        CTCModel.load(trained / "model.safetensors").scores["val_wer"] == summary["val_wer"]
    )
    header, *rows = (trained / "csv" / "version_0" / "metrics.csv").read_text().splitlines()
    metrics = {
        "train/loss",
        "train/lr",
        "train/grad_norm",
        "train/padding",
        "train/audio_seconds_per_second",
        "val/wer",
        "val/cer",
        "val/blank",
    }
    assert metrics <= set(header.split(","))
    assert rows
    assert list((trained / "tensorboard").glob("events*"))
    assert (trained / "plots" / "0.png").read_bytes().startswith(b"\x89PNG")
    transcripts = (trained / "plots" / "utterances.txt").read_text()
    assert "  reference   " in transcripts
    assert "  hypothesis  " in transcripts
    assert {"best.ckpt", "last.ckpt"} == {
        p.name for p in (trained / "checkpoints").iterdir()
    }


def test_the_number_of_workers_does_not_change_the_weights(
    corpus: Path, tmp_path: Path
) -> None:
    for name, workers in (("a", 0), ("b", 2)):
        run(
            corpus,
            tmp_path / name,
            f"data.workers={workers}",
            "trainer.max_epochs=1",
            "callbacks.plots=null",
        )
    first, second = (
        CTCModel.load(tmp_path / n / "model.safetensors").state_dict() for n in "ab"
    )
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_garbage_collection_does_not_touch_objects_that_data_workers_share(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen = []
    monkeypatch.setattr(
        CTCModule, "on_train_start", lambda self: frozen.append(gc.get_freeze_count())
    )
    run(corpus, tmp_path, "trainer.max_epochs=1", "callbacks.plots=null", "data.limit=8")
    assert frozen[0] > 10_000  # modules and their objects
    assert gc.get_freeze_count() == 0


def test_data_workers_are_forked_before_a_step_allocates_memory(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes: dict[str, set[int]] = {}

    def record_processes(name: str) -> None:
        step = getattr(CTCModule, name)

        def recording_step(module: CTCModule, *arguments: object) -> object:
            processes.setdefault(name, {child.pid for child in psutil.Process().children()})
            return step(module, *arguments)

        monkeypatch.setattr(CTCModule, name, recording_step)

    record_processes("training_step")
    record_processes("validation_step")
    before = {child.pid for child in psutil.Process().children()}
    run(corpus, tmp_path, "trainer.max_epochs=1", "callbacks.plots=null", "data.workers=1")
    assert len(processes["training_step"] - before) == 2
    assert processes["validation_step"] == processes["training_step"]


def test_plots_do_not_stay_in_memory(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []

    def count_figures(_: CTCModule) -> None:
        counts.append(sum(isinstance(item, Figure) for item in gc.get_objects()))

    monkeypatch.setattr(CTCModule, "on_train_epoch_start", count_figures)
    run(corpus, tmp_path, "callbacks.plots.epochs=1")
    assert len(list((tmp_path / "plots").glob("*.png"))) > 0
    assert counts == [0, 0]


def test_an_earlier_run_in_the_folder_is_moved_aside(corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text("seed: 5\n")
    run(corpus, folder, "trainer.max_epochs=1", "callbacks.plots=null")
    assert (tmp_path / "run-1" / "config.yaml").read_text() == "seed: 5\n"


def test_an_earlier_run_around_the_working_directory_is_not_moved(
    corpus: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.yaml").write_text("seed: 5\n")
    monkeypatch.chdir(tmp_path)
    finished = call(main, *SMALL, f"data.root={corpus}", "dir=.")
    assert finished.code == 2
    assert "dir=. has an earlier run, and cannot be moved aside" in finished.complaint
    assert (tmp_path / "config.yaml").read_text() == "seed: 5\n"


@pytest.mark.parametrize("cell", ["lstm", "rnn"])
def test_other_cells_train_with_corpus_statistics(
    corpus: Path, tmp_path: Path, cell: str
) -> None:
    settings = [
        f"model.cell={cell}",
        "features.normalize=corpus",
        "scheduler=warmup_cosine",
        "tokenizer=manifest",
    ]
    run(
        corpus,
        tmp_path,
        *settings,
        "trainer.max_epochs=1",
        "callbacks.plots=null",
        "logger=csv",
    )
    model = CTCModel.load(tmp_path / "model.safetensors")
    assert model.features.cmvn_mean.abs().sum() > 0


def test_a_model_can_memorize_a_few_utterances(corpus: Path, tmp_path: Path) -> None:
    settings = [
        "experiment=overfit",
        f"data.root={corpus}",
        f"dir={tmp_path}",
        "data.limit=6",
        "model.num_layers=1",
        "trainer.accelerator=cpu",
    ]
    summary = train(compose("train", settings))
    assert summary["final_val_wer"] == 0
    utterance = read_manifest(corpus / "manifests" / "synthetic" / "train.jsonl")[0]
    transcriber = Transcriber.load(tmp_path / "model.safetensors")
    assert transcriber.transcribe(utterance.audio).text == utterance.text


@pytest.mark.parametrize(
    "settings",
    [
        ["trainer.max_epochs=3", "trainer.check_val_every_n_epoch=2"],
        [
            "trainer.max_epochs=1",
            "trainer.check_val_every_n_epoch=10",
            "callbacks.checkpoints=null",
        ],
        [
            "trainer.max_time=00:00:00:01",
            "trainer.check_val_every_n_epoch=1000",
            "trainer.max_epochs=10000",
        ],
        [
            "callbacks=last",
            "+trainer.max_steps=3",
            "trainer.check_val_every_n_epoch=1000",
        ],
    ],
)
def test_the_score_of_a_run_belongs_to_its_final_weights(
    settings: list[str], corpus: Path, tmp_path: Path
) -> None:
    summary = run(
        corpus,
        tmp_path,
        *settings,
        "callbacks.plots=null",
        "callbacks.stop=null",
        "data.limit=8",
    )
    data = [
        f"data.root={corpus}",
        "data.limit=8",
        f"dir={tmp_path / 'evaluation'}",
        "split=validation",
    ]
    cfg = compose("evaluate", [*data, f"checkpoint={tmp_path / 'model.safetensors'}"])
    assert summary["val_wer"] == pytest.approx(evaluate(cfg)["wer"])
    assert summary["val_wer"] > 0.5  # training was short


def test_unreadable_and_too_short_utterances_are_counted_and_listed(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    utterances = read_manifest(corpus / "manifests" / "synthetic" / "train.jsonl")[:8]
    broken = tmp_path / "broken.flac"
    broken.write_bytes(utterances[0].audio.read_bytes()[:3000])
    text = "far too many words for half a second of speech"
    too_short = Utterance(utterances[1].audio, 0.5, text)
    unreadable = Utterance(broken, 1.0, "cut off")
    write_manifest(tmp_path / "m.jsonl", [*utterances, unreadable, too_short])
    folder = tmp_path / "run"
    summary = run(
        corpus, folder, f"data.train={tmp_path / 'm.jsonl'}", "callbacks.plots=null"
    )
    assert summary["skipped"] == 1
    assert "broken.flac" in (folder / "skipped.txt").read_text()
    assert summary["left_out"]["train"] == 1
    assert "too short for its transcript" in (folder / "left_out_train.txt").read_text()
    assert "left out: 1 too short" in capsys.readouterr().out


def test_out_of_memory_prints_one_line_with_the_batch_and_the_setting(
    corpus: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(CTCModule, "training_step", step)
    finished = call(main, *SMALL, f"data.root={corpus}", f"dir={tmp_path}")
    assert finished.code == 2
    assert re.search(
        r"ran out of memory in a batch of \d+ utterances of up to \d+\.\d s\. Lower "
        r"data.batch_seconds",
        finished.complaint,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data.batch_second=3"], "did you mean data.batch_seconds?"),
        (["nothing"], "nothing: not a setting; pass KEY=VALUE"),
        (["modle=tiny"], "did you mean model?"),
        (["modle.hidden_size=3"], "did you mean model.hidden_size?"),
        (["lr=1e-3"], "did you mean optimizer.lr?"),
        (["data.lr=1e-3"], "did you mean optimizer.lr?"),
        (["epochs=3"], "did you mean callbacks.plots.epochs or trainer.max_epochs?"),
        (
            ["trainer.limit_train_batches=3"],
            "no setting 'trainer.limit_train_batches' yet; "
            "+trainer.limit_train_batches=... adds it",
        ),
        (
            ["+trainer.val_check_interval=100"],
            "trainer: `val_check_interval` (100) must be less than or equal",
        ),
        (
            ["+trainer.overfit_batches=2"],
            "trainer.overfit_batches is not supported. Use experiment=overfit",
        ),
        (
            ["trainer.max_epochs=null", "trainer.max_time=00:00:00:01"],
            "trainer.max_epochs must be set: the learning rate falls until the last epoch",
        ),
        (
            ["+trainer.gradient_clip_algorithm=value"],
            "trainer.gradient_clip_algorithm must be norm, got value",
        ),
        (
            ["trainer.precision=16-true"],
            "trainer.precision must be auto, 32-true, bf16-mixed, or 16-mixed, got 16-true",
        ),
        (
            ["experiment=demo", "augment.spec.time_width=3"],
            "the chosen option of augment.spec has no such setting or is null",
        ),
        (["model=null"], "a group such as model or experiment must be one of its options"),
        (["model=tinny"], "Available options in 'model': base large small tiny"),
        (["+speed=3"], "nothing reads this setting"),
        (["resume=no"], "resume must be true or false, got 'no'"),
        (
            ["name=2026_11_26"],
            "name must be text, got 20261126; quote text twice",
        ),
        (["data.train=[7]"], "data.train must be text, got 7"),
        (["data.min_seconds=[]"], "data.min_seconds must be a number, got []"),
        (["optimizer.lr=fast"], "optimizer.lr must be a number or null, got 'fast'"),
        (
            ["tokenizer=bpe", "tokenizer.size=many"],
            "tokenizer.size must be >= 28, got 'many'",
        ),
        (["scheduler.end={a:1}"], "scheduler: end must be >= 0, got {'a': 1}"),
        (
            ["callbacks.stop.monitor=null"],
            "callbacks.stop.monitor must be one of val/wer, val/cer, val/loss, val/blank, got None",
        ),
        (["model.dropout=1.5"], "model.dropout must be >= 0 and <= 1, got 1.5"),
        (["data.cache_folder=null"], "data.cache_folder must be text, got None"),
        (["init=7"], "init must be text or null, got 7"),
        (
            ["augment.noise=true"],
            "augment.noise must be a group of settings or null, got True",
        ),
        (
            ["+trainer.limit_val_batches=0"],
            "trainer.limit_val_batches must not be 0",
        ),
        (
            ["callbacks.stop=true"],
            "callbacks.stop must be a group of settings or null, got True",
        ),
        (["logger.csv=7"], "logger.csv must be a group of settings or null, got 7"),
        (
            ["logger.csv.name=2026"],
            "logger.csv.name must be text or null, got 2026; quote text twice",
        ),
        (["model.intermediate=2"], "model.intermediate must be a list of numbers, got 2"),
        (["+data.batch_second=3"], "did you mean batch_seconds?"),
        (
            ["+augment.noize.probability=1"],
            "augment.noize: nothing reads this setting; did you mean noise?",
        ),
        (["model.cell=gro"], "model.cell must be one of gru, lstm, rnn, got 'gro'"),
        (["+model.depth=3"], "unexpected keyword argument 'depth'"),
        (["data.batch_seconds=0"], "data.batch_seconds must be > 0, got 0"),
        (["data.batch_seconds=nan"], "data.batch_seconds must be > 0, got nan"),
        (["data.limit=-1"], "data.limit must be >= 1, got -1"),
        (["data.workers=-1"], "data.workers must be >= 0, got -1"),
        (["seed=-1"], "seed must be >= 0"),
        (["trainer.max_epochs=0"], "trainer.max_epochs must be >= 1, got 0"),
        (
            ["trainer.accumulate_grad_batches=0"],
            "trainer.accumulate_grad_batches must be >= 1, got 0",
        ),
        (["model.channels=0"], "model.channels must be >= 1, got 0"),
        (["features.hop_ms=0"], "features.hop_ms must be >= 0.0625, got 0"),
        (
            ["callbacks.stop.monitor=val/x"],
            "callbacks.stop.monitor must be one of val/wer, val/cer, val/loss, val/blank, "
            "got 'val/x'",
        ),
        (["callbacks.plots.epochs=0"], "callbacks.plots.epochs must be >= 1, got 0"),
        (["data.workers=1.5"], "data.workers must be an integer, got 1.5"),
        (["trainer.max_epochs=1.5"], "trainer.max_epochs must be an integer, got 1.5"),
        (["augment.consistency=-1"], "augment.consistency must be >= 0, got -1"),
        (["augment.spec.time_masks=-1"], "augment.spec.time_masks must be >= 0, got -1"),
        (["optimizer.lr=-1"], "optimizer: Invalid learning rate: -1"),
        (["scheduler.warmup=2"], "scheduler: warmup must be >= 0 and <= 1, got 2"),
        (["data=an4", "data.root=nowhere"], "no such manifest"),
        (["data.train=[]"], "no manifest given"),
        (["data.cache=zip"], "data.cache must be one of pcm or null, got 'zip'"),
        (["data.min_seconds=500"], "no training utterance is left"),
        (["resume=true"], "last.ckpt not found. Omit resume=true"),
        (["init=nowhere.safetensors"], "nowhere.safetensors: no such model"),
        (["freeze=1"], "freeze=1 would keep random weights. Pass init=PATH"),
        (["freeze=-1"], "freeze must be >= 0, got -1"),
        (["tokenizer=init"], "tokenizer=init takes the tokens of a model. Pass init=PATH"),
        (
            ["callbacks.checkpoints.monitor=null", "callbacks.checkpoints.average=2"],
            "callbacks.checkpoints.average must be 1 without a monitor, got 2",
        ),
        (
            ["trainer.accelerator=cpu", "+trainer.speed=1"],
            "trainer: Trainer.__init__() got an unexpected keyword argument 'speed'",
        ),
        (
            ["optimizer._partial_=x"],
            "optimizer: Instantiation: _partial_ flag must be a bool",
        ),
        (
            ["augment.spec=null", "+augment.spec.time_masks=1"],
            "augment.spec has no _target_",
        ),
        (["callbacks.stop._target_=Stop"], "callbacks.stop: Error loading 'Stop'"),
        (
            ["optimizer._target_=torch.optim.NAdam"],
            "unexpected keyword argument 'fused'. Remove a setting with ~optimizer.KEY",
        ),
    ],
)
def test_bad_settings_get_one_line_and_exit_code_2(
    corpus: Path, tmp_path: Path, call: Call, arguments: list[str], message: str
) -> None:
    earlier = tmp_path / "run" / "config.yaml"
    earlier.parent.mkdir()
    earlier.write_text("of an earlier run")
    finished = call(main, f"data.root={corpus}", f"dir={earlier.parent}", *arguments)
    assert finished.code == 2
    assert message in finished.complaint
    assert earlier.read_text() == "of an earlier run"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_wrong_setting_prevents_the_download_of_a_corpus(
    tmp_path: Path, call: Call
) -> None:
    settings = [f"data.root={tmp_path / 'data'}", f"dir={tmp_path / 'run'}"]
    for wrong in ("model.dropout=2", "optimizer.lr=-1", "augment.pauses.seconds=-1"):
        assert call(main, *settings, wrong).code == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["{"], "line 1: not JSON"),
        (
            ['{"audio_filepath": "a.wav", "duration": 1, "text": "a"}', '{"text": "b"}'],
            "line 2: lacks audio_filepath",
        ),
        ([], "the manifest is empty"),
        (
            ['{"audio_filepath": "a.wav", "duration": -1, "text": "a"}'],
            "duration must be > 0",
        ),
        (
            ['{"audio_filepath": "a.wav", "duration": 2, "text": "naïve"}'],
            "a.wav: the transcript has 'ï'",
        ),
    ],
)
def test_bad_manifests_get_one_line_with_the_line_number(
    corpus: Path, tmp_path: Path, call: Call, lines: list[str], message: str
) -> None:
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("\n".join(lines), encoding="utf-8")
    finished = call(
        main, f"data.root={corpus}", f"dir={tmp_path / 'run'}", f"data.train={manifest}"
    )
    assert finished.code == 2
    assert message in finished.complaint


@pytest.mark.parametrize(
    ("split", "settings", "message"),
    [
        ("train", ["data.on_error=raise"], "PATH: not a recording that can be read"),
        (
            "train",
            ["data.on_error=raise", "data.workers=1"],
            "PATH: not a recording that can be read",
        ),
        (
            "train",
            [],
            "no training utterance could be read. The first error: PATH: not a recording",
        ),
        (
            "validation",
            [],
            "no validation utterance could be read. The first error: PATH: not a recording",
        ),
    ],
)
def test_unreadable_files_stop_a_run_on_request_or_if_nothing_else_is_left(
    corpus: Path, tmp_path: Path, call: Call, split: str, settings: list[str], message: str
) -> None:
    (tmp_path / "a.wav").write_text("not audio")
    (tmp_path / "m.jsonl").write_text(
        '{"audio_filepath": "a.wav", "duration": 2, "text": "a"}\n'
    )
    overrides = [
        *SMALL,
        f"data.root={corpus}",
        f"dir={tmp_path / 'run'}",
        f"data.{split}={tmp_path / 'm.jsonl'}",
        "callbacks.plots=null",
    ]
    finished = call(main, *overrides, *settings)
    assert finished.code == 2
    assert finished.complaint.startswith(
        "asr.train: " + message.replace("PATH", str(tmp_path / "a.wav"))
    )
    assert "\n" not in finished.complaint.strip()


def test_a_folder_that_cannot_be_written_gets_one_line(
    corpus: Path, tmp_path: Path, call: Call
) -> None:
    (tmp_path / "file").touch()
    finished = call(main, *SMALL, f"data.root={corpus}", f"dir={tmp_path / 'file' / 'run'}")
    assert finished.code == 2
    assert "use another folder" in finished.complaint


def test_verbose_shows_the_traceback(corpus: Path, tmp_path: Path, call: Call) -> None:
    finished = call(
        main, "-v", f"data.root={corpus}", f"dir={tmp_path}", "data.batch_seconds=0"
    )
    assert finished.code == 2
    assert "Traceback" in finished.err


def test_a_model_with_a_bpe_tokenizer_is_trained_saved_and_loaded(
    corpus: Path, tmp_path: Path
) -> None:
    run(corpus, tmp_path, "tokenizer=bpe", "tokenizer.size=60", "trainer.max_epochs=1")
    model = CTCModel.load(tmp_path / "model.safetensors")
    assert len(model.tokenizer) == model.head.out_features == 60
    assert not model.tokenizer.is_character_level
    recording = read_manifest(corpus / "manifests" / "synthetic" / "validation.jsonl")[0]
    assert isinstance(Transcriber(model).transcribe(recording.audio).text, str)
