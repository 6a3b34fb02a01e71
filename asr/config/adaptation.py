"""The work of `asr.adapt`: choose settings, and score a model before and after."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from asr.config.app import compose
from asr.config.build import load_split, read_split
from asr.config.training import build_tokenizer
from asr.decode.greedy import GreedyDecoder
from asr.errors import ConfigError
from asr.evaluation.evaluator import evaluate_corpus
from asr.evaluation.systems import System
from asr.inference.transcriber import Transcriber
from asr.nn.checkpoint import read_checkpoint
from asr.nn.ctc import CTCModel
from asr.training.precision import training_device
from asr.training.run_folder import find_checkpoint, hold_folder, latest_checkpoint

MODEL = "model.safetensors"
LOCK = ".adapt.lock"  # file in the folder of an adaptation, held from its first step to its last
VALIDATIONS = 6  # during a training, each with a line of progress


@dataclass(frozen=True)
class Plan:
    """Settings for an amount of speech.

    Attributes:
        max_hours: Hours of training speech that it suits.
        freeze: Lower layers that keep their weights.
        epochs: Passes over the speech.
        lr: Highest learning rate.
        batch_seconds: Seconds of speech in a batch.
    """

    max_hours: float
    freeze: int
    epochs: int
    lr: float
    batch_seconds: float


# Little speech: few weights, small steps, and many passes. A model that learns a few minutes by
# heart forgets other words.
PLANS = (
    Plan(0.1, freeze=2, epochs=30, lr=2e-4, batch_seconds=20),
    Plan(0.5, freeze=1, epochs=20, lr=4e-4, batch_seconds=30),
    Plan(2.0, freeze=0, epochs=15, lr=5e-4, batch_seconds=40),
    Plan(10.0, freeze=0, epochs=12, lr=7e-4, batch_seconds=60),
    Plan(float("inf"), freeze=0, epochs=10, lr=1e-3, batch_seconds=120),
)


def choose_plan(hours: float) -> Plan:
    """Return the settings for hours of training speech."""
    return next(plan for plan in PLANS if hours < plan.max_hours)


def apply_plan(cfg: DictConfig, overrides: Sequence[str]) -> None:
    """Set what suits the hours of training speech, except the user's overrides, and print it.

    Args:
        cfg: Settings of prepared recordings, which are changed.
        overrides: Overrides of the command line.

    Raises:
        ModelError: If `init` is not a model.
        ConfigError: If no recording has the length of an utterance.
    """
    bounds = cfg.data.min_seconds or 0.0, cfg.data.max_seconds or math.inf
    utterances = [
        utterance
        for utterance in read_split(cfg.data, "train")
        if bounds[0] <= utterance.duration <= bounds[1]
    ]
    if not utterances:
        raise ConfigError(
            f"no recording for training has {bounds[0]:g} to {bounds[1]:g} s; cut longer ones at "
            "pauses with recipes.segment"
        )
    hours = sum(utterance.duration for utterance in utterances) / 3600
    header, _ = read_checkpoint(Path(cfg.init))
    adapted = build_tokenizer(cfg, utterances).tokens
    if tokens := [token for token in adapted if token not in header["tokens"]]:
        hint = ". Write numbers as words" if any(map(str.isdecimal, tokens)) else ""
        print(f"new tokens that {cfg.init} lacks: {' '.join(tokens)}{hint}")
    plan = choose_plan(hours)
    chosen = {
        "freeze": min(plan.freeze, header["encoder"].get("num_layers", 0)),
        "trainer.max_epochs": plan.epochs,
        "optimizer.lr": plan.lr,
        "data.batch_seconds": plan.batch_seconds,
    }
    every = max(1, plan.epochs // VALIDATIONS)
    given = {override.lstrip("+").partition("=")[0] for override in overrides}
    defaults = compose("adapt", [])
    for key, value in {**chosen, "trainer.check_val_every_n_epoch": every}.items():
        # a file of a group, such as trainer=FILE, may set it, too
        is_default = OmegaConf.select(cfg, key) == OmegaConf.select(defaults, key)
        if key not in given and is_default:
            OmegaConf.update(cfg, key, value)
    effective = (f"{key}={OmegaConf.select(cfg, key)}" for key in chosen)
    print(f"{hours:.2f} h of speech to train on: {' '.join(effective)}", flush=True)


@contextmanager
def hold_run(cfg: DictConfig) -> Iterator[None]:
    """Check the folder of a run, and hold it against other adaptations until the context ends.

    Raises:
        ConfigError: If another run uses the folder or has finished in it, if it holds something
            else, if there is nothing to resume, or if the trainer has several devices.
    """
    _check_run(cfg)
    folder = Path(cfg.dir)
    folder.mkdir(parents=True, exist_ok=True)
    with hold_folder(folder, LOCK):
        # An interrupted run has left config.yaml. Training would move the whole folder aside.
        if not cfg.resume:
            (folder / "config.yaml").unlink(missing_ok=True)
        yield


def _check_run(cfg: DictConfig) -> None:
    """Check the folder of a run before anything is written to it."""
    if cfg.init is None:
        raise ConfigError("init must be the model to adapt, got null")
    if cfg.trainer.get("devices") != 1:
        raise ConfigError(
            f"trainer.devices must be 1, got {cfg.trainer.get('devices')}. "
            "For several devices, use asr.train with init"
        )
    folder = Path(cfg.dir)
    if folder.is_dir():
        with hold_folder(folder):
            pass
    find_checkpoint(folder, resume=cfg.resume)
    if cfg.resume:
        return
    if latest_checkpoint(folder).is_file() or (folder / MODEL).is_file():
        raise ConfigError(
            f"dir={folder}: an adaptation is there already. Continue it with resume=true, or "
            "pass another dir=DIR"
        )
    if (folder / "config.yaml").exists() and not (folder / "before").is_dir():
        raise ConfigError(
            f"dir={folder}: config.yaml was not written by an adaptation. Pass another dir=DIR"
        )


def score(cfg: DictConfig, checkpoint: str, name: str) -> None:
    """Recognize the held-out recordings, write the results to DIR/NAME, and print the WER.

    Raises:
        ModelError: If the checkpoint is not a model.
        AudioError: If no held-out recording can be read.
        ConfigError: If two of them have the same name, so that scores cannot be compared.
    """
    device = str(training_device(cfg.trainer.accelerator))
    transcriber = Transcriber(CTCModel.load(checkpoint, device=device), GreedyDecoder())
    corpus = load_split(cfg.data, "validation", transcriber.model.tokenizer)
    evaluation = evaluate_corpus(transcriber, corpus)
    settings = {"checkpoint": str(checkpoint), "data.validation": cfg.data.validation}
    folder = Path(cfg.dir, name)
    evaluation.write(folder, settings)
    System.read(folder)  # refuses two recordings of one name before the training
    for recording, reason in evaluation.failures:
        print(f"{recording} could not be read: {reason}")
    low, high = evaluation.interval
    result = evaluation.score
    print(
        f"{name}: WER {result.wer:.1%} ({low:.1%} to {high:.1%}) in {result.words.length} words "
        f"of {result.utterances} held-out recordings",
        flush=True,
    )
