"""Load, resample, and augment recordings."""

from asr.audio.channels import Channel
from asr.audio.folders import EXTENSIONS, VIDEO_EXTENSIONS, find_recordings, list_files
from asr.audio.io import (
    ROUNDING,
    SAMPLE_RATE,
    AudioInfo,
    OnDamage,
    Recording,
    Source,
    info,
    load,
    resample,
)

__all__ = [
    "EXTENSIONS",
    "ROUNDING",
    "SAMPLE_RATE",
    "VIDEO_EXTENSIONS",
    "AudioInfo",
    "Channel",
    "OnDamage",
    "Recording",
    "Source",
    "find_recordings",
    "info",
    "list_files",
    "load",
    "resample",
]
