"""Every file under conf/ composes and describes an object that can be built."""

import errno
import importlib
import os
import re
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import torch
from entry import caller
from hydra.utils import instantiate
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from asr.config import build
from asr.config.app import CONF, compose
from asr.config.hints import explain_hydra_errors
from asr.config.reporting import find_user_error, report_user_errors
from asr.config.schema import AlignSettings, TranscriptFormat
from asr.data.manifest import Utterance, write_manifest
from asr.errors import ConfigError
from asr.inference.formats import FORMATS

GROUPS = sorted(path.relative_to(CONF).with_suffix("") for path in CONF.glob("*/*.yaml"))
OBJECTS = {
    "augment",
    "callbacks",
    "decoder",
    "features",
    "logger",
    "model",
    "optimizer",
    "scheduler",
    "tokenizer",
    "trainer",
}
REQUIRED = {  # settings without a default, and settings for a machine without the device
    "trainer/gpu": ["trainer.accelerator=cpu"],
    "decoder/closed": ["decoder.phrases=[yes,no]"],
    "data/base": ["data.name=mine"],
}
OPTIONAL_PACKAGES = ("wandb", "mlflow")  # options with the name of the package


def entry_point(group: str) -> str:
    return "evaluate" if group == "decoder" else "train"


@pytest.mark.parametrize("option", GROUPS, ids=str)
def test_every_option_composes_and_resolves(option: Path, tmp_path: Path) -> None:
    group, name = option.parts
    if name in OPTIONAL_PACKAGES:
        pytest.importorskip(name)
    cfg = compose(
        entry_point(group),
        [f"{group}={name}", f"dir={tmp_path}", *REQUIRED.get(str(option), [])],
    )
    assert OmegaConf.to_container(cfg, resolve=True)


@pytest.mark.parametrize("option", [o for o in GROUPS if o.parts[0] in OBJECTS], ids=str)
def test_every_option_builds_an_object(option: Path, tmp_path: Path) -> None:
    group, name = option.parts
    if name in OPTIONAL_PACKAGES:
        pytest.importorskip(name)
    cfg = compose(
        entry_point(group),
        [f"{group}={name}", f"dir={tmp_path}", *REQUIRED.get(str(option), [])],
    )
    if group == "augment":
        build.build_augmentation(cfg.augment)
        build.build_batch_augments(cfg.augment, separator=[1])
        return
    if group == "trainer":
        cfg.trainer.precision = "32-true"  # auto depends on the device
    built = instantiate(cfg[group])
    if group == "scheduler":
        built = built(
            torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0), steps=10
        )
        assert built.get_last_lr()[0] <= 1.0
    elif group == "optimizer":
        assert built([torch.zeros(1, requires_grad=True)]).param_groups
    else:
        assert built is not None


@pytest.mark.parametrize(
    "entry",
    [
        "train",
        "adapt",
        "evaluate",
        "transcribe",
        "tune",
        "preview",
        "align",
        "export",
        "compare",
        "serve",
    ],
)
def test_every_entry_point_composes_without_overrides(entry: str) -> None:
    assert compose(entry, [])


def test_the_manifest_tokenizer_is_built_from_transcripts(tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.jsonl", [Utterance(tmp_path / "a.wav", 1.0, "Ça va")])
    cfg = compose("train", ["tokenizer=manifest"])
    assert instantiate(cfg.tokenizer)(["Ça va"]).tokens == (" ", "a", "v", "ç")


def test_a_value_error_in_a_sweep_is_not_reported_as_a_wrong_setting() -> None:
    with (
        pytest.raises(ValueError, match="a fault"),
        explain_hydra_errors(lambda: (compose("train", []), compose("train", []))),
    ):
        raise ValueError("a fault")
    with pytest.raises(ConfigError, match="a group such as model or experiment"):
        compose("train", ["model=null"])


def test_a_missing_value_that_others_refer_to_is_named() -> None:
    with pytest.raises(OmegaConfBaseException) as error:
        compose("train", ["data=base"])
    assert str(find_user_error(error.value)) == "data.name has no value; pass data.name=..."


def raise_disk_full(path: str) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"_target_": f"{__name__}.raise_disk_full", "path": "a.flac"},
            "x: a.flac: No space left on device",
        ),
        (
            {"_target_": "asr.decode.beam.BeamDecoder", "beam_size": 0},
            "x: decoder.beam_size must be >= 1, got 0",
        ),
        (
            {"_target_": "asr.decode.beam.BeamDecoder", "beam_size": "???"},
            "x: decoder.beam_size has no value; pass decoder.beam_size=...",
        ),
        (
            {"_target_": "asr.decode.beam.BeamDecoder", "size": 3},
            "x: decoder: BeamDecoder.__init__() got an unexpected keyword argument",
        ),
        ({"beam_size": 3}, "x: decoder has no _target_"),
    ],
)
def test_settings_that_a_class_rejects_are_reported_in_one_line(
    settings: dict, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = OmegaConf.create({"decoder": settings})
    assert report_user_errors("x", lambda: build.instantiate("decoder", cfg.decoder)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(message)


def test_the_schemas_list_every_output_format() -> None:
    assert get_args(TranscriptFormat) == tuple(FORMATS)
    assert set(get_args(get_type_hints(AlignSettings)["format"])) <= FORMATS.keys()


def test_settings_may_refer_to_other_settings() -> None:
    cfg = compose(
        "evaluate", ["data.workers=3", "data.batch_seconds=${data.workers}", "dir=${split}"]
    )
    assert (cfg.data.batch_seconds, cfg.dir) == (3, "test")
    with pytest.raises(ConfigError, match=r"^data\.batch_seconds must be > 0, got 0$"):
        compose("evaluate", ["data.workers=0", "data.batch_seconds=${data.workers}"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.batch_seconds=-3", "data.batch_seconds must be > 0, got -3"),
        ("data.max_seconds=long", "data.max_seconds must be a number or null, got 'long'"),
        ("data.on_error=ignore", "data.on_error must be one of skip, raise, got 'ignore'"),
        ("data.train=[a.jsonl,7]", "data.train must be text, got 7"),
        ("resume=yes", "resume must be true or false, got 'yes'"),
    ],
)
def test_a_wrong_value_is_reported_with_its_setting(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        compose("train", [override])
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("entry", "overrides", "message"),
    [
        (
            "train",
            ["callbacks=averaged", "callbacks.ema.decai=0.9"],
            "did you mean callbacks.ema.decay?",
        ),
        (
            "train",
            ["scheduler=noam", "scheduler.warmup_step=3"],
            "did you mean scheduler.warmup_steps?",
        ),
        (
            "transcribe",
            ["decoder=beam", "decoder.beam_sizes=20"],
            "did you mean decoder.beam_size?",
        ),
        ("compare", ["model=base"], "no setting 'model' (--help shows them)"),
        ("serve", ["limits=null"], "limits must be a group of settings, got None"),
        ("serve", ["limits=3"], "limits must be a group of settings, got 3"),
    ],
)
def test_wrong_settings_of_chosen_options_are_explained(
    entry: str, overrides: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        compose(entry, overrides)


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("train", ["--foo"], "--foo: no such option; see --help"),
        (
            "train",
            ["-m", "seed=1,2", "--cfg", "job"],
            "Only one of --run, --multirun, --cfg",
        ),
        ("evaluate", ["-m", "data=an4,fsdd"], "-m is an option of asr.train"),
    ],
)
def test_wrong_options_give_one_line(
    command: str,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    main = importlib.import_module(f"asr.{command}").main
    finished = caller(monkeypatch, capsys)(main, *arguments)
    assert finished.code == 2
    assert message in finished.complaint
