"""Read, resample and augment recordings."""

from asr.audio.io import EXTENSIONS, ROUNDING, SAMPLE_RATE, Probe, Source, find, probe, read, resample

__all__ = ["EXTENSIONS", "ROUNDING", "SAMPLE_RATE", "Probe", "Source", "find", "probe", "read", "resample"]
