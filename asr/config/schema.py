"""Schemas of the configurations: the settings of each entry point with their types and bounds.

A group that builds an object is `Any`, because its class checks the arguments.
"""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal, TypedDict, get_type_hints, is_typeddict

from omegaconf import DictConfig, ListConfig, OmegaConf

from asr.config.values import convert, did_you_mean
from asr.errors import ConfigError
from asr.validation import (
    Count,
    CountOrZero,
    Fraction,
    Interval,
    NonNegative,
    Positive,
    check_integer,
    check_number,
)

Seconds = Annotated[float, check_number]
Seed = Annotated[int, partial(check_integer, ge=0, le=2**32 - 1)]
SampleRate = Annotated[int, partial(check_integer, ge=4000, le=384_000)]
Port = Annotated[int, partial(check_integer, ge=0, le=65535)]
Split = Literal["train", "validation", "test"]
TranscriptFormat = Literal[
    "text", "txt", "json", "jsonl", "srt", "vtt", "tsv", "ctm", "textgrid", "TextGrid"
]


def check_count_or_word(name: str, value: Any, *, words: Sequence[str]) -> None:
    """Check that a setting is a positive integer or one of some words, such as "auto".

    Raises:
        ValueError: If it is something else.
    """
    if value in words:
        return
    try:
        check_integer(name, value, ge=1)
    except ValueError:
        listed = ", ".join(words) + ("," if len(words) > 1 else "")
        wanted = f"{listed} or an integer >= 1"
        raise ValueError(f"{name} must be {wanted}, got {value!r}") from None


Threads = Annotated[Any, partial(check_count_or_word, words=["auto"])]
OneChannel = Annotated[Any, partial(check_count_or_word, words=["mix"])]
ChannelChoice = Annotated[Any, partial(check_count_or_word, words=["mix", "each"])]


class CpuSettings(TypedDict):
    """Group `cpu`."""

    threads: Threads
    wait_policy: Literal["auto", "passive", "active"]


class DataSettings(TypedDict):
    """Group `data`."""

    name: str
    root: str
    manifests: str
    train: Sequence[str]
    validation: Sequence[str]
    test: Sequence[str]
    recipe: Any
    limit: Count | None
    cache: Literal["pcm"] | None
    cache_folder: str
    batch_seconds: Positive
    workers: CountOrZero
    min_seconds: Seconds | None
    max_seconds: float | None
    on_error: Literal["skip", "raise"]
    on_unknown: Literal["error", "drop"]


class AugmentSettings(TypedDict):
    """Group `augment`."""

    speed: Any
    reverb: Any
    equalizer: Any
    noise: Any
    gain: Any
    narrow_band: Any
    codec: Any
    join: Any
    pauses: Any
    spec: Any
    consistency: NonNegative


class TrainSettings(TypedDict):
    """Settings of `asr.train`."""

    cpu: CpuSettings
    data: DataSettings
    features: Any
    augment: AugmentSettings
    tokenizer: Any
    model: Any
    optimizer: Any
    scheduler: Any
    trainer: Any
    callbacks: Any
    logger: Any
    name: str
    dir: str
    seed: Seed
    init: str | None
    freeze: CountOrZero
    resume: bool


class AdaptSettings(TrainSettings):
    """Settings of `asr.adapt`."""


class TranscribeSettings(TypedDict):
    """Settings of `asr.transcribe`."""

    cpu: CpuSettings
    decoder: Any
    checkpoint: str
    format: Sequence[TranscriptFormat]
    output: str | None
    overwrite: bool
    progress: Literal["auto", True, False]
    channel: ChannelChoice
    vad: bool
    encoding: Literal["s16le", "f32le", "mulaw", "alaw"] | None
    sample_rate: SampleRate | None
    channels: Count | None
    microphone: Any
    device: str
    engine: Literal["auto", "torch", "onnx"]


class AlignSettings(TypedDict):
    """Settings of `asr.align`."""

    cpu: CpuSettings
    checkpoint: str
    text: str | None
    manifest: str | None
    format: Literal["ctm", "textgrid", "srt", "vtt", "tsv", "json"]
    unit: Literal["words", "characters"]
    channel: OneChannel
    output: str | None
    overwrite: bool
    min_score: Fraction
    device: str


class ExportSettings(TypedDict):
    """Settings of `asr.export`."""

    target: Literal["onnx", "web", "half"]
    weights: Literal["float32", "int8"]
    output: str | None
    runtime: str | None


class LimitSettings(TypedDict):
    """Group `limits` of `asr.serve`."""

    upload_mb: Positive
    disk_mb: Positive
    audio_seconds: Positive
    queue: Count
    workers: Count
    idle_seconds: Positive
    upload_seconds: Positive
    streams: CountOrZero
    stream_seconds: Positive


class ServeSettings(TypedDict):
    """Settings of `asr.serve`."""

    cpu: CpuSettings
    decoder: Any
    checkpoint: str
    device: str
    engine: Literal["auto", "torch", "onnx"]
    vad: bool
    host: str
    port: Port
    name: str
    cors_origins: Sequence[str]
    limits: LimitSettings


class ScoringSettings(TypedDict):
    """Settings that `asr.evaluate` and `asr.tune` share."""

    cpu: CpuSettings
    data: DataSettings
    decoder: Any
    checkpoint: str
    split: Split
    device: str
    engine: Literal["auto", "torch", "onnx"]
    dir: str


class EvaluateSettings(ScoringSettings):
    """Settings of `asr.evaluate`."""

    report: bool
    examples: CountOrZero


class TuneSettings(ScoringSettings):
    """Settings of `asr.tune`."""

    lm_weight: Interval
    word_score: Interval
    points: Count
    rounds: CountOrZero


class PreviewSettings(TypedDict):
    """Settings of `asr.preview`."""

    data: DataSettings
    features: Any
    augment: AugmentSettings
    dir: str
    count: Count
    views: Count
    seed: Seed


class CompareSettings(TypedDict):
    """Settings of `asr.compare`."""

    dir: str
    output: str | None
    examples: CountOrZero


SCHEMAS = {
    "train": TrainSettings,
    "adapt": AdaptSettings,
    "evaluate": EvaluateSettings,
    "transcribe": TranscribeSettings,
    "align": AlignSettings,
    "export": ExportSettings,
    "serve": ServeSettings,
    "tune": TuneSettings,
    "preview": PreviewSettings,
    "compare": CompareSettings,
}


def check_settings(settings: DictConfig, schema: type, prefix: str = "") -> None:
    """Check a configuration against its schema, except settings without a value.

    Raises:
        ConfigError: If a setting is unknown, of another type, or out of bounds.
    """
    hints = get_type_hints(schema, include_extras=True)
    for name in settings:
        if name not in hints:
            hint = did_you_mean(str(name), list(hints))
            raise ConfigError(f"{prefix}{name!s}: nothing reads this setting{hint}")
    for name, hint in hints.items():
        if OmegaConf.is_missing(settings, name):
            continue
        value = settings[name]
        if isinstance(value, str) and not value:
            raise ConfigError(f"{prefix}{name} has no value; pass {prefix}{name}=...")
        if is_typeddict(hint):
            if not isinstance(value, DictConfig):
                raise ConfigError(
                    f"{prefix}{name} must be a group of settings, got {value!r}"
                )
            check_settings(value, hint, f"{prefix}{name}.")
        else:
            convert(
                prefix + name, list(value) if isinstance(value, ListConfig) else value, hint
            )
