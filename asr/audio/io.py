"""From a file to a waveform: any format that libsndfile reads, any rate, any number of channels, or a piece of it."""

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from asr.audio.remote import ByteRange, read_ranges
from asr.errors import AudioError

SAMPLE_RATE = 16_000  # Hz, of every waveform behind this module
EXTENSIONS = frozenset(
    {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".sph", ".aif", ".aiff", ".au", ".w64"}
)
ROUNDING = 0.05  # seconds by which a manifest may overstate a duration before it counts as wrong

Source = str | Path | bytes | ByteRange


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says of it: duration in seconds, sample rate in Hz, number of channels."""

    duration: float
    rate: int
    channels: int


def info(source: Source) -> AudioInfo:
    """Duration, rate and channels of a recording, from its header alone.

    Raises AudioError where `read` would raise one for the file as a whole; samples are not looked at.
    """
    with _open(source, _name(source)) as sound:
        return AudioInfo(sound.frames / sound.samplerate, sound.samplerate, sound.channels)


def load(
    source: Source,
    *,
    offset: float = 0.0,
    duration: float | None = None,
    rate: int = SAMPLE_RATE,
    name: str | None = None,
) -> np.ndarray:
    """A recording, or a piece of it, as a mono waveform (S,) of float32 at `rate` Hz; full scale is -1..1.

    `source` is a path, a piece of a shard or the file's bytes, which messages call `name`; `offset` and `duration` are
    seconds, and only that piece is decoded. Channels are averaged. Raises AudioError, with that name, for one that is
    missing, empty, of an unknown format, cut off, shorter than its header says or than the piece asked for, or that
    holds NaN or infinite samples.
    """
    name = name or _name(source)
    with _open(source, name) as sound:
        first = round(max(0.0, offset) * sound.samplerate)
        wanted = sound.frames - first if duration is None else round(duration * sound.samplerate)
        available = sound.frames - first
        if available <= 0 or wanted - available > ROUNDING * sound.samplerate:
            held = sound.frames / sound.samplerate
            end = "the end" if duration is None else f"{offset + duration:.2f} s"
            raise AudioError(
                f"{name}: asked for {offset:.2f} s to {end}, but the recording ends at {held:.2f} s"
            )
        wanted = min(wanted, available)
        try:
            sound.seek(first)
            samples = sound.read(wanted, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise AudioError(
                f"{name}: damaged or cut off ({_reason(error)}); get a whole copy of it"
            ) from None
        native = sound.samplerate
    if len(samples) < wanted:
        raise AudioError(
            f"{name}: cut off: its header promises {wanted / native:.2f} s from {offset:.2f} s on, "
            f"{len(samples) / native:.2f} s could be read; get a whole copy of it"
        )
    waveform = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    if not np.isfinite(waveform).all():
        at = offset + np.flatnonzero(~np.isfinite(waveform))[0] / native
        raise AudioError(
            f"{name}: a sample at {at:.2f} s is NaN or infinite; export the recording again"
        )
    return resample(waveform, native, rate)


def resample(waveform: np.ndarray, source_rate: float, target_rate: float) -> np.ndarray:
    """The waveform (S,) at another rate in Hz, by soxr at high quality; as it is where the rates are equal."""
    if source_rate == target_rate:
        return np.ascontiguousarray(waveform)
    return soxr.resample(waveform, source_rate, target_rate)


def find_recordings(folder: Path) -> list[Path]:
    """Every recording below a folder, by its file's ending, in the order of the paths."""
    return sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS and path.is_file()
    )


def _open(source: Source, name: str) -> soundfile.SoundFile:
    file: BinaryIO | str
    if isinstance(source, ByteRange):
        (found,) = read_ranges([source])
        if isinstance(found, AudioError):
            raise found
        source = found
    if isinstance(source, bytes):
        size, head, file = len(source), source[: 1 << 16], io.BytesIO(source)
    else:
        path = Path(source)
        try:
            size = path.stat().st_size
            with path.open("rb") as stream:
                head = stream.read(1 << 16)
        except FileNotFoundError:
            raise AudioError(f"{name}: no such file; check the path") from None
        except IsADirectoryError:
            raise AudioError(f"{name}: is a folder, not a recording") from None
        except (OSError, ValueError) as error:  # the latter for a name that no file can have
            raise AudioError(
                f"{name}: cannot be opened ({getattr(error, 'strerror', None) or error})"
            ) from None
        file = str(path)
    if size == 0:
        raise AudioError(f"{name}: empty file (0 bytes)")
    try:
        sound = soundfile.SoundFile(file)
    except (soundfile.LibsndfileError, TypeError) as error:
        raise AudioError(
            f"{name}: not a recording that can be read ({_reason(error)}); WAV, FLAC, Ogg, Opus and MP3 can"
        ) from None
    try:
        if sound.samplerate <= 0:
            raise AudioError(f"{name}: its header gives a sample rate of {sound.samplerate} Hz")
        if sound.frames <= 0:
            raise AudioError(f"{name}: holds no samples")
        promised = _promised_wav_bytes(head)
        if promised is not None and promised > size:
            raise AudioError(
                f"{name}: its header promises {promised:,} bytes, the file has {size:,}: cut off, or not finished; "
                "get a whole copy of it"
            )
    except AudioError:
        sound.close()
        raise
    return sound


def _promised_wav_bytes(head: bytes) -> int | None:
    """Where a WAV's data ends by its own header; None for other formats and for streams of unknown length.

    libsndfile quietly cuts a lying length down to the file's, so that a truncated copy would pass as a short one.
    """
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return None
    at = 12
    while at + 8 <= len(head):
        (size,) = struct.unpack_from("<I", head, at + 4)
        if head[at : at + 4] == b"data":
            streamed = size >= 0x7FFFFF00  # what programs write that cannot seek back
            return None if streamed else at + 8 + size
        at += 8 + size + size % 2
    return None


def _name(source: Source) -> str:
    return "standard input" if isinstance(source, bytes) else str(source)


def _reason(error: Exception) -> str:
    return str(getattr(error, "error_string", error)).rstrip(". ")
