"""Build the model, the data, and the trainer of a training run from its configuration."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from asr.audio import SAMPLE_RATE
from asr.config.build import build_augmentation, instantiate
from asr.config.values import convert
from asr.data.cache import cache_audio
from asr.data.filter import filter_utterances, keep_all
from asr.data.manifest import Utterance, read_manifests
from asr.errors import ConfigError, ModelError
from asr.nn.ctc import CTCModel
from asr.text import Tokenizer
from asr.training.data import SpeechData
from asr.training.lightning_workarounds import AtomicCheckpointIO
from asr.training.module import CTCModule
from asr.training.validation import SCORES
from asr.validation import check_integer


def check_settings(cfg: DictConfig) -> None:
    """Check the settings that no constructor checks.

    Raises:
        ConfigError: If a setting is invalid.
    """
    with _as_setting():
        check_integer("seed", cfg.seed, ge=0, le=2**32 - 1)
        for name in ("max_epochs", "accumulate_grad_batches"):
            if cfg.trainer.get(name) is not None:
                check_integer(f"trainer.{name}", cfg.trainer[name], ge=1)
    if cfg.data.cache not in (None, "pcm"):
        raise ConfigError(f"data.cache must be pcm or null, got {cfg.data.cache}")


def read_utterances(data: DictConfig) -> dict[str, list[Utterance]]:
    """Read the training and validation manifests, and decode their audio into the cache if set.

    Raises:
        ConfigError: If a setting is invalid.
        ManifestError: If a manifest is missing or invalid.
    """
    with _as_setting("data."):
        utterances = {
            split: read_manifests(data[split], limit=data.limit)
            for split in ("train", "validation")
        }
    if data.cache is None:
        return utterances
    folder = Path(data.cache_folder)
    return {split: cache_audio(listed, folder) for split, listed in utterances.items()}


def build_model(cfg: DictConfig, utterances: Sequence[Utterance]) -> CTCModel:
    """Build a model with a tokenizer for the utterances, and load the weights of `init` if set.

    Raises:
        ConfigError: If a class rejects its settings.
        ModelError: If `init` is not a model or has another architecture.
    """
    tokenizer = instantiate("tokenizer", cfg.tokenizer)
    if not isinstance(tokenizer, Tokenizer):  # a function that builds one from transcripts
        with _as_setting("tokenizer."):
            tokenizer = tokenizer(utterance.text for utterance in utterances)
    model = CTCModel(features=plain(cfg.features), encoder=plain(cfg.model), tokenizer=tokenizer)
    if cfg.init is not None:
        trained = CTCModel.load(cfg.init)
        try:
            model.init_from(trained)
        except ModelError as error:
            raise ModelError(f"init={cfg.init}: {error}. Copy its model.* settings.") from None
    return model


def build_data(
    cfg: DictConfig, model: CTCModel, utterances: dict[str, list[Utterance]]
) -> SpeechData:
    """Select the utterances to train and validate on.

    Raises:
        ConfigError: If a setting is invalid or no training utterance is left.
        TextError: If a transcript has a character that the tokenizer lacks.
    """
    augment = build_augmentation(cfg.augment)

    def output_length(seconds: float) -> int:
        samples = int(seconds / augment.max_speed * SAMPLE_RATE)
        return int(model.output_lengths(torch.tensor(samples)))

    with _as_setting("data."):
        train = filter_utterances(
            utterances["train"],
            model.tokenizer,
            output_length=output_length,
            min_seconds=cfg.data.min_seconds,
            max_seconds=cfg.data.max_seconds,
            on_unknown=cfg.data.on_unknown,
        )
        if not train.examples:
            hint = "Check data.min_seconds and data.max_seconds."
            raise ConfigError(f"no training utterance is left: {train.summary()}. {hint}")
        return SpeechData(
            train=train,
            validation=keep_all(utterances["validation"], model.tokenizer),
            batch_seconds=cfg.data.batch_seconds,
            workers=cfg.data.workers,
            seed=cfg.seed,
            augment=augment,
            on_error=cfg.data.on_error,
        )


def build_module(cfg: DictConfig, model: CTCModel) -> CTCModule:
    """Combine a model with its optimizer, schedule, and masks.

    Raises:
        ConfigError: If a class rejects its settings.
    """
    with _as_setting("augment."):
        return CTCModule(
            model=model,
            optimizer=instantiate("optimizer", cfg.optimizer),
            scheduler=instantiate("scheduler", cfg.scheduler),
            spec_augment=instantiate("augment.spec", cfg.augment.spec),
            consistency=cfg.augment.consistency,
            seed=cfg.seed,
        )


def build_trainer(cfg: DictConfig) -> Any:
    """Build the Lightning Trainer with its callbacks and loggers.

    Raises:
        ConfigError: If a setting is invalid or training does not support it.
    """
    for name, callback in cfg.callbacks.items():
        if isinstance(callback, DictConfig) and callback.get("monitor", SCORES[0]) not in SCORES:
            wanted = f"callbacks.{name}.monitor must be one of {', '.join(SCORES)}"
            raise ConfigError(f"{wanted}, got {callback.monitor}")
    for name, logger in cfg.logger.items():
        if isinstance(logger, DictConfig) and logger.get("name") is not None:
            convert(f"logger.{name}.name", logger.name, str)
    callbacks, loggers = (
        [instantiate(f"{group}.{name}", settings) for name, settings in cfg[group].items()]
        for group in ("callbacks", "logger")
    )
    trainer = instantiate(
        "trainer",
        cfg.trainer,
        callbacks=[callback for callback in callbacks if callback is not None],
        logger=[logger for logger in loggers if logger is not None],
        plugins=[AtomicCheckpointIO()],
    )
    if not trainer.limit_val_batches:
        raise ConfigError("trainer.limit_val_batches must not be 0: validation chooses the model")
    if trainer.overfit_batches:
        raise ConfigError("trainer.overfit_batches is not supported. Use experiment=overfit.")
    if trainer.precision != "32-true" and not trainer.precision.endswith("-mixed"):
        wanted = "trainer.precision must be 32-true, bf16-mixed, or 16-mixed"
        raise ConfigError(f"{wanted}, got {trainer.precision}")
    return trainer


def plain(cfg: DictConfig) -> dict[str, Any]:
    """Return a configuration as a dictionary with all references resolved."""
    return dict(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]


@contextmanager
def _as_setting(prefix: str = "") -> Iterator[None]:
    """Turn a ValueError about an argument into a ConfigError about the setting of that name."""
    try:
        yield
    except ValueError as error:
        raise ConfigError(f"{prefix}{error}") from error
