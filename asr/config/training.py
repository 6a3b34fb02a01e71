"""Build the model, the data, and the trainer of a training run from its configuration."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from asr.audio import SAMPLE_RATE
from asr.config.build import (
    build_augmentation,
    build_batch_augments,
    instantiate,
    plain,
    read_split,
)
from asr.config.checks import create_model, freeze_layers, load_init
from asr.config.values import convert
from asr.data.cache import cache_audio
from asr.data.filter import filter_utterances, keep_all
from asr.data.manifest import Utterance
from asr.errors import ConfigError
from asr.nn.checkpoint import read_checkpoint
from asr.nn.ctc import CTCModel
from asr.text import Tokenizer
from asr.training.data import SpeechData, fit_cmvn
from asr.training.lightning_workarounds import AtomicCheckpointIO
from asr.training.module import CTCModule
from asr.training.precision import resolve_precision, training_device
from asr.training.run_folder import check_architecture
from asr.training.tracking import TRACKERS, raised_by_tracker, start_tracker
from asr.training.validation import ScoreName
from asr.validation import is_installed


def build_model_and_data(
    cfg: DictConfig, checkpoint: Path | None
) -> tuple[CTCModel, SpeechData]:
    """Build the model and the data.

    Args:
        cfg: Settings of `asr.train`.
        checkpoint: Checkpoint to resume from, which must have the same architecture.

    Raises:
        AsrError: If the settings or the data do not allow a training.
    """
    utterances = [read_split(cfg.data, split) for split in ("train", "validation")]
    if cfg.data.cache:
        folder = Path(cfg.data.cache_folder)
        utterances = [cache_audio(split, folder) for split in utterances]
    model = build_model(cfg, utterances[0])
    if checkpoint is not None:
        check_architecture(checkpoint, model)
    data = build_data(cfg, model, utterances)
    if checkpoint is None and not _has_statistics(cfg.init, model):
        fit_cmvn(model, data.selections["train"], cfg.seed, cfg.data.on_error)
    return model, data


def _has_statistics(init: str | None, model: CTCModel) -> bool:
    """Return whether the model `init`, if any, has the statistics of a model's features."""
    if init is None:
        return False
    header, _ = read_checkpoint(Path(init))
    return bool(header["features"] == model.architecture["features"])


def build_model(cfg: DictConfig, utterances: Sequence[Utterance]) -> CTCModel:
    """Build a model with a tokenizer for the utterances, and with the weights of `init` if set.

    Raises:
        ConfigError: If a class rejects its settings, or `freeze` does not fit the model.
        ModelError: If `init` is not a model or has another architecture.
    """
    model = create_model(cfg, build_tokenizer(cfg, utterances))
    load_init(cfg, model)
    freeze_layers(cfg, model)
    return model


def build_tokenizer(cfg: DictConfig, utterances: Sequence[Utterance]) -> Tokenizer:
    """Build the tokenizer, which may depend on the transcripts of the utterances.

    Raises:
        ConfigError: If the class rejects its settings.
    """
    tokenizer = instantiate("tokenizer", cfg.tokenizer)
    try:
        if not isinstance(tokenizer, Tokenizer):  # a function of the transcripts
            tokenizer = tokenizer(utterance.text for utterance in utterances)
    except ValueError as error:
        raise ConfigError(f"tokenizer.{error}") from error
    return tokenizer


def build_data(
    cfg: DictConfig, model: CTCModel, utterances: Sequence[list[Utterance]]
) -> SpeechData:
    """Select utterances from those to train on and those to validate on.

    Raises:
        ConfigError: If no training utterance is left.
        TextError: If a transcript has a character that the tokenizer lacks.
    """
    settings = cfg.data
    augment = build_augmentation(cfg.augment)

    def output_length(seconds: float) -> int:
        samples = int(seconds / augment.max_speed * SAMPLE_RATE)
        return int(model.output_lengths(torch.tensor(samples)))

    train = filter_utterances(
        utterances[0],
        model.tokenizer,
        output_length=output_length,
        min_seconds=settings.min_seconds,
        max_seconds=settings.max_seconds,
        on_unknown=settings.on_unknown,
    )
    if not train.examples:
        hint = "Check data.min_seconds and data.max_seconds"
        raise ConfigError(f"no training utterance is left: {train.summary()}. {hint}")
    return SpeechData(
        train=train,
        validation=keep_all(utterances[1], model.tokenizer),
        batch_seconds=settings.batch_seconds,
        workers=settings.workers,
        seed=cfg.seed,
        augment=augment,
        batch_augments=build_batch_augments(cfg.augment, model.tokenizer.encode(" ")),
        on_error=settings.on_error,
    )


def build_module(cfg: DictConfig, model: CTCModel) -> CTCModule:
    """Combine a model with its optimizer, schedule, and masks.

    Raises:
        ConfigError: If a class rejects its settings.
    """
    return CTCModule(
        model=model,
        optimizer=instantiate("optimizer", cfg.optimizer),
        scheduler=instantiate("scheduler", cfg.scheduler),
        spec_augment=instantiate("augment.spec", cfg.augment.spec),
        consistency=cfg.augment.consistency,
        seed=cfg.seed,
    )


def build_trainer(cfg: DictConfig) -> Any:
    """Build the Lightning Trainer with its callbacks and loggers, except experiment trackers.

    GPUs may round float32 factors to TF32.

    Raises:
        ConfigError: If a setting is invalid or training does not support it.
    """
    algorithm = cfg.trainer.get("gradient_clip_algorithm")
    if algorithm not in (None, "norm"):
        raise ConfigError(f"trainer.gradient_clip_algorithm must be norm, got {algorithm}")
    _check_trackers(cfg)
    torch.set_float32_matmul_precision("high")
    device = training_device(cfg.trainer.accelerator)
    trainer = instantiate(
        "trainer",
        cfg.trainer,
        precision=resolve_precision(cfg.trainer.precision, device),
        callbacks=_instantiate_all(cfg, "callbacks", "monitor", ScoreName),
        logger=_instantiate_all(cfg, "logger", "name", str | None),
        plugins=[AtomicCheckpointIO()],
    )
    if not trainer.limit_val_batches:
        problem = "limit_val_batches must not be 0: validation selects the model"
    elif trainer.max_epochs is None and trainer.max_steps == -1:
        problem = "max_epochs must be set: the learning rate falls until the last epoch"
    elif trainer.overfit_batches:
        problem = "overfit_batches is not supported. Use experiment=overfit"
    else:
        return trainer
    raise ConfigError(f"trainer.{problem}")


def build_trackers(cfg: DictConfig) -> list[Any]:
    """Build and start the trackers, which write to the folder of the run or to a server.

    A resumed run continues its tracked runs. `cfg` gets their ids, so that config.yaml keeps them.

    Raises:
        ConfigError: If a tracker rejects its settings or cannot connect.
    """
    trackers = []
    for name, key in TRACKERS.items():
        if cfg.logger.get(name) is None:
            continue
        path = f"logger.{name}.{key}"
        run_id = OmegaConf.select(cfg, path)
        saved = Path(cfg.dir, "config.yaml")
        if run_id is None and cfg.resume and saved.is_file():
            run_id = OmegaConf.select(OmegaConf.load(saved), path)
            OmegaConf.update(cfg, path, run_id, force_add=True)
        try:
            tracker = instantiate(f"logger.{name}", cfg.logger[name])
            started = start_tracker(tracker, plain(cfg), is_resumed=run_id is not None)
        except Exception as error:
            if not raised_by_tracker(error):
                raise
            raise ConfigError(f"logger.{name}: {error}") from error
        OmegaConf.update(cfg, path, started, force_add=True)
        trackers.append(tracker)
    return trackers


def _instantiate_all(cfg: DictConfig, group: str, key: str, hint: Any) -> list[Any]:
    """Build the objects of a group. A setting `key` of any of them must have the type `hint`."""
    objects = []
    for name, settings in cfg[group].items():
        if isinstance(settings, DictConfig) and key in settings:
            # checkpoints without a monitor are not selected, so the last one counts
            wanted = hint | None if name == "checkpoints" else hint
            convert(f"{group}.{name}.{key}", settings[key], wanted)
        if group != "logger" or name not in TRACKERS:
            objects.append(instantiate(f"{group}.{name}", settings))
    return [each for each in objects if each is not None]


def _check_trackers(cfg: DictConfig) -> None:
    """Check that the packages of the trackers are installed.

    Raises:
        ConfigError: If one is missing.
    """
    for name in TRACKERS:
        if cfg.logger.get(name) is not None and not is_installed(name):
            raise ConfigError(
                f"logger.{name} requires a package. Run pip install 'asr[{name}]'"
            )
