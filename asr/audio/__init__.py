"""Load, resample, and augment recordings."""

from asr.audio.io import (
    EXTENSIONS,
    ROUNDING,
    SAMPLE_RATE,
    AudioInfo,
    Source,
    find_recordings,
    info,
    load,
    resample,
)

__all__ = [
    "EXTENSIONS",
    "ROUNDING",
    "SAMPLE_RATE",
    "AudioInfo",
    "Source",
    "find_recordings",
    "info",
    "load",
    "resample",
]
