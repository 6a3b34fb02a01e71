"""Check the settings of a training. This module does not import Lightning, which takes seconds."""

from pathlib import Path

import torch
from omegaconf import DictConfig

from asr.config.build import build_augmentation, build_batch_augments, instantiate, plain
from asr.config.values import convert
from asr.errors import ConfigError, ModelError
from asr.nn.ctc import CTCModel
from asr.text import Tokenizer
from asr.training.schedule import create_optimizer
from asr.validation import Count


def check_objects(cfg: DictConfig) -> None:
    """Build the objects of a training without data, except those of Lightning.

    Raises:
        ConfigError: If a class rejects its settings, `freeze` does not fit the model, or `init` is
            in the folder of the run.
        ModelError: If `init` is not a model or has another architecture.
    """
    instantiate("tokenizer", cfg.tokenizer)
    build_augmentation(cfg.augment)
    build_batch_augments(cfg.augment, separator=())
    instantiate("augment.spec", cfg.augment.spec)
    model = create_model(cfg, Tokenizer.english())
    load_init(cfg, model)
    freeze_layers(cfg, model)
    for name in ("lr", "weight_decay"):  # torch's message would not name the setting
        convert(f"optimizer.{name}", cfg.optimizer.get(name), float | None)
    for name in ("max_epochs", "accumulate_grad_batches"):
        convert(f"trainer.{name}", cfg.trainer.get(name), Count | None)
    optimizer, scheduler = (instantiate(k, cfg[k]) for k in ("optimizer", "scheduler"))
    create_optimizer(optimizer, scheduler, [torch.zeros(1, requires_grad=True)], steps=10)
    if cfg.init is not None:
        path = Path(cfg.init)  # "english" is not a path
        if path.is_file() and Path(cfg.dir).resolve() in path.resolve().parents:
            raise ConfigError(
                f"init={cfg.init} is in dir={cfg.dir}, which a new run moves aside. Pass another "
                "dir=DIR"
            )


def load_init(cfg: DictConfig, model: CTCModel) -> None:
    """Load the weights of the trained model `init` into a model, if `init` is set.

    Raises:
        ModelError: If `init` is not a model or has another architecture.
    """
    if cfg.init is None:
        return
    trained = CTCModel.load(cfg.init)
    try:
        model.init_from(trained)
    except ModelError as error:
        raise ModelError(
            f"init={cfg.init}: {error}. Leave out model and features"
        ) from None


def freeze_layers(cfg: DictConfig, model: CTCModel) -> None:
    """Exclude the lower layers of a model from training, as many as `freeze` says.

    Raises:
        ConfigError: If the model has fewer layers, its encoder cannot be frozen, or its weights
            would be random.
    """
    if not cfg.freeze:
        return
    if cfg.init is None:
        raise ConfigError(
            f"freeze={cfg.freeze} would keep random weights. Pass init=PATH of a trained model"
        )
    if not hasattr(model.encoder, "freeze"):
        name = type(model.encoder).__name__
        raise ConfigError(f"freeze: {name} has no method freeze. Omit this setting")
    try:
        model.encoder.freeze(cfg.freeze)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def create_model(cfg: DictConfig, tokenizer: Tokenizer) -> CTCModel:
    """Return an untrained model.

    Raises:
        ConfigError: If a class rejects its settings.
    """
    features, encoder = plain(cfg.features), plain(cfg.model)
    try:
        return CTCModel(features=features, encoder=encoder, tokenizer=tokenizer)
    except ValueError as error:  # names the argument, features or encoder
        raise ConfigError(str(error).replace("encoder.", "model.", 1)) from error
