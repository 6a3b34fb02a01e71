"""Build objects from the groups of a configuration."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from asr.config.reporting import find_user_error
from asr.errors import AsrError, ConfigError

if TYPE_CHECKING:
    from asr.audio.augment import Chain
    from asr.data.batch_augment import BatchAugment
    from asr.data.manifest import Utterance
    from asr.evaluation.evaluator import Corpus
    from asr.text import Tokenizer

# in the order in which they are applied
AUGMENTATIONS = ("speed", "reverb", "equalizer", "noise", "gain", "narrow_band", "codec")


def instantiate(group: str, settings: Any, **others: Any) -> Any:
    """Build the object that a group of settings describes, or return None for null.

    Args:
        group: Name of the group in error messages, such as "decoder".
        settings: Group of the configuration, with the class in `_target_`.
        others: Arguments of the class that are not settings.

    Raises:
        ConfigError: If the settings are not a group or the class rejects them.
    """
    from hydra.errors import HydraException
    from hydra.utils import instantiate

    if settings is None:
        return None
    if not isinstance(settings, DictConfig):
        raise ConfigError(f"{group} must be a group of settings or null, got {settings!r}")
    if "_target_" not in settings:
        raise ConfigError(f"{group} has no _target_, so it was null before these settings")
    try:
        return instantiate(settings, **others)
    except (HydraException, TypeError) as error:
        if isinstance(find_user_error(error), AsrError):
            raise
        cause = error.__cause__ or error
        argument = str(cause).split(" ")[0].rstrip(":")  # if our constructor raised it
        separator = "." if argument in settings else ": "
        raise ConfigError(f"{group}{separator}{cause}") from error


def build_augmentation(augment: DictConfig) -> "Chain":
    """Build the waveform augmentations of the group `augment`.

    Raises:
        ConfigError: If a class rejects its settings.
    """
    from asr.audio.augment import Chain

    return Chain(*(instantiate(f"augment.{name}", augment[name]) for name in AUGMENTATIONS))


def build_batch_augments(
    augment: DictConfig, separator: Sequence[int]
) -> "list[BatchAugment]":
    """Build the augmentations of whole batches of the group `augment`.

    Args:
        augment: Settings of the group.
        separator: Labels between two transcripts.

    Raises:
        ConfigError: If a class rejects its settings.
    """
    join = instantiate("augment.join", augment.join, separator=separator)
    pauses = instantiate("augment.pauses", augment.pauses)
    return [step for step in (join, pauses) if step is not None]


def ensure_corpus(data: DictConfig) -> None:
    """Run the recipe of a corpus if it has one that has not finished yet.

    Processes that start together, such as those of torchrun, wait for the first one.
    """
    manifests = Path(data.manifests)
    if data.recipe is None or _is_prepared(manifests):
        return
    from filelock import FileLock  # not imported if the corpus is there

    manifests.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(manifests.with_name(f".{manifests.name}.lock")):
        if not _is_prepared(manifests):
            instantiate("data.recipe", data.recipe)


def _is_prepared(folder: Path) -> bool:
    """Return whether all manifests of a corpus exist, see `recipes.prepare`."""
    try:
        record = json.loads((folder / "prepared.json").read_text(encoding="utf-8"))
    except FileNotFoundError:  # manifests of another origin
        return any(folder.glob("*.jsonl"))
    except ValueError:  # interrupted
        return False
    manifests = [folder / f"{split}.jsonl" for split in record["splits"]]
    return record["options"] is not None and all(path.exists() for path in manifests)


def read_split(data: DictConfig, split: str) -> "list[Utterance]":
    """Return the utterances of a split.

    Raises:
        ManifestError: If a manifest is missing or invalid.
    """
    from asr.data.manifest import read_manifests

    ensure_corpus(data)
    return read_manifests(data[split], limit=data.limit)


def load_split(data: DictConfig, split: str, tokenizer: "Tokenizer") -> "Corpus":
    """Return the utterances of a split for scoring.

    Raises:
        ManifestError: If a manifest is missing or invalid.
        ConfigError: If no utterance has words.
    """
    from asr.evaluation.evaluator import load_corpus

    utterances = read_split(data, split)
    if not any(utterance.text.strip() for utterance in utterances):
        raise ConfigError(f"data.{split}: no text has words, so there is nothing to score")
    return load_corpus(
        utterances,
        tokenizer,
        batch_seconds=data.batch_seconds,
        workers=data.workers,
        on_error=data.on_error,
    )


def plain(cfg: DictConfig) -> dict[str, Any]:
    """Return a configuration as a dictionary, with references resolved."""
    return dict(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]


def with_absolute_files(decoder: DictConfig) -> Any:
    """Return the settings of a beam search without interpolations, with absolute paths of files."""
    settings: Any = OmegaConf.create(OmegaConf.to_container(decoder, resolve=True))
    for name in ("lm", "lexicon"):
        settings[name] = settings[name] and _absolute(settings[name])
    if isinstance(settings.hotwords, str):
        settings.hotwords = _absolute(settings.hotwords)
    elif settings.hotwords:
        settings.hotwords = [_absolute(entry) for entry in settings.hotwords]
    return settings


def _absolute(text: str) -> str:
    """Return the absolute path of a file, or another text unchanged, such as a packaged model."""
    is_file = os.path.isfile(text)  # noqa: PTH113  # pathlib raises for a long phrase
    return str(Path(text).resolve()) if is_file else text
