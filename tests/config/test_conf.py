"""Every file under conf/ is composed with its entry point and becomes the object that it describes."""

import errno
import os
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from asr.config import app as cli
from asr.config import build
from asr.data.manifest import Utterance, write_manifest
from asr.errors import ConfigError
from asr.nn.ctc import CTCModel
from asr.text import Tokenizer

GROUPS = sorted(path.relative_to(cli.CONF).with_suffix("") for path in cli.CONF.glob("*/*.yaml"))
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
NEEDS = {  # what an option must be given, here or on a machine without the device
    "trainer/gpu": ["trainer.accelerator=cpu"],
    "decoder/closed": ["decoder.phrases=[yes,no]"],
    "data/base": ["data.name=mine"],
}


def _entry(group: str) -> str:
    return "evaluate" if group == "decoder" else "train"


@pytest.mark.parametrize("option", GROUPS, ids=str)
def test_every_option_composes_and_resolves(option: Path, tmp_path: Path) -> None:
    group, name = option.parts
    cfg = cli.compose(
        _entry(group), [f"{group}={name}", f"dir={tmp_path}", *NEEDS.get(str(option), [])]
    )
    assert OmegaConf.to_container(cfg, resolve=True)


@pytest.mark.parametrize("option", [o for o in GROUPS if o.parts[0] in OBJECTS], ids=str)
def test_every_option_becomes_an_object(option: Path, tmp_path: Path) -> None:
    group, name = option.parts
    cfg = cli.compose(
        _entry(group), [f"{group}={name}", f"dir={tmp_path}", *NEEDS.get(str(option), [])]
    )
    made = instantiate(cfg[group])
    if group == "scheduler":
        made = made(torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0), steps=10)
        assert made.get_last_lr()[0] <= 1.0
    elif group == "optimizer":
        assert made([torch.zeros(1, requires_grad=True)]).param_groups
    elif name != "none":
        assert made is not None


@pytest.mark.parametrize(
    "experiment", sorted(p.stem for p in (cli.CONF / "experiment").glob("*.yaml"))
)
def test_every_experiment_becomes_a_model_with_its_optimizer(
    experiment: str, tmp_path: Path
) -> None:
    cfg = cli.compose("train", [f"experiment={experiment}", f"dir={tmp_path}"])
    plain = OmegaConf.to_container(cfg, resolve=True)
    model = CTCModel(
        features=plain["features"], encoder=plain["model"], tokenizer=Tokenizer.english()
    )
    optimizer = instantiate(cfg.optimizer)(model.parameters())
    assert instantiate(cfg.scheduler)(optimizer, steps=5)
    instantiate(cfg.augment)
    instantiate(cfg.trainer)


@pytest.mark.parametrize(
    "entry", ["train", "evaluate", "transcribe", "tune", "preview", "align", "compare"]
)
def test_every_entry_point_composes_without_overrides(entry: str) -> None:
    assert cli.compose(entry, [])


def test_a_manifest_tokenizer_is_built_from_transcripts(tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.jsonl", [Utterance(tmp_path / "a.wav", 1.0, "Ça va")])
    cfg = cli.compose("train", ["tokenizer=manifest"])
    assert instantiate(cfg.tokenizer)(["Ça va"]).tokens == (" ", "a", "v", "ç")


def test_a_fault_in_a_run_of_a_sweep_is_not_taken_for_a_bad_setting() -> None:
    with pytest.raises(ValueError, match="a fault"), cli._explaining("train"):
        raise ValueError("a fault")
    with pytest.raises(ConfigError, match="a group, as model or experiment"):
        cli.compose("train", ["model=null"])


def full(path: str) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"_target_": f"{__name__}.full", "path": "a.flac"}, "x: a.flac: No space left on device"),
        (
            {"_target_": "asr.decode.BeamDecoder", "beam_size": 0},
            "x: decoder.beam_size is 0; it must be at least 1",
        ),
        (
            {"_target_": "asr.decode.BeamDecoder", "beam_size": "???"},
            "x: decoder.beam_size: give it a value",
        ),
        (
            {"_target_": "asr.decode.BeamDecoder", "size": 3},
            "x: decoder: BeamDecoder.__init__() got an unexpected keyword argument",
        ),
        ({"beam_size": 3}, "x: decoder has no _target_"),
    ],
)
def test_what_an_object_cannot_be_built_of_is_told_in_a_line(
    settings: dict, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        cli.report_user_errors(
            lambda: build.instantiate("decoder", OmegaConf.create({"decoder": settings}).decoder), "x"
        )
    assert left.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(said)
