"""Load, resample, and augment recordings."""

from asr.audio.channels import Channel, check_channel
from asr.audio.folders import (
    EXTENSIONS,
    UNREADABLE,
    VIDEO_EXTENSIONS,
    find_recordings,
    is_recording,
    list_files,
)
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
    "UNREADABLE",
    "VIDEO_EXTENSIONS",
    "AudioInfo",
    "Channel",
    "OnDamage",
    "Recording",
    "Source",
    "check_channel",
    "find_recordings",
    "info",
    "is_recording",
    "list_files",
    "load",
    "resample",
]
