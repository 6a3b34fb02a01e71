"""Load recordings of any libsndfile format, sample rate, and number of channels as waveforms."""

import io
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from asr.audio.remote import ByteRange, read_ranges
from asr.errors import AudioError

SAMPLE_RATE = 16_000  # Hz; the rate of loaded waveforms
EXTENSIONS = frozenset(
    {
        ".wav",
        ".flac",
        ".ogg",
        ".oga",
        ".opus",
        ".mp3",
        ".sph",
        ".aif",
        ".aiff",
        ".au",
        ".w64",
    }
)
ROUNDING = 0.05  # seconds by which a manifest may overstate a duration
HEAD_SIZE = 1 << 16  # bytes; the header chunks of a WAV file lie within them

Source = str | Path | bytes | ByteRange


@dataclass(frozen=True)
class AudioInfo:
    """Duration in seconds, sample rate in Hz, and number of channels of a recording."""

    duration: float
    sample_rate: int
    channels: int


def info(source: Source) -> AudioInfo:
    """Return duration, sample rate, and channels from the header, without decoding samples.

    Raises:
        AudioError: If the recording cannot be opened or its header is invalid.
    """
    with _open(source, _name(source)) as sound:
        return AudioInfo(sound.frames / sound.samplerate, sound.samplerate, sound.channels)


def load(
    source: Source,
    *,
    offset: float = 0.0,
    duration: float | None = None,
    sample_rate: int = SAMPLE_RATE,
    name: str | None = None,
) -> np.ndarray:
    """Return a recording or a part of it as a mono float32 waveform (S,) in -1..1.

    Channels are averaged. Only the requested part is decoded.

    Args:
        source: Path, byte range of a shard, or content of a file.
        offset: Start in seconds.
        duration: Length in seconds. None loads up to the end.
        sample_rate: Rate of the returned waveform in Hz.
        name: Name of the recording in error messages.

    Raises:
        AudioError: If the recording is missing, empty, cut off, shorter than requested, or in an
            unknown format, or if it contains NaN or infinite samples.
    """
    name = name or _name(source)
    with _open(source, name) as sound:
        native_rate = sound.samplerate
        waveform = _read_frames(sound, name, offset, duration)
    if waveform.ndim > 1:
        waveform = waveform.mean(axis=1)  # (S, channels) to (S,)
    invalid = ~np.isfinite(waveform)
    if invalid.any():
        seconds = offset + invalid.argmax() / native_rate
        reason = f"NaN or infinite sample at {seconds:.2f} s. Export it again."
        raise AudioError(f"{name}: {reason}")
    return resample(waveform, native_rate, sample_rate)


def resample(waveform: np.ndarray, source_rate: float, target_rate: float) -> np.ndarray:
    """Resample a waveform (S,) with soxr at high quality. Rates are in Hz."""
    if source_rate == target_rate:
        return np.ascontiguousarray(waveform)
    return soxr.resample(waveform, source_rate, target_rate)


def find_recordings(folder: Path) -> list[Path]:
    """Return the sorted paths of all files below a folder with an extension of audio."""
    files = filter(Path.is_file, folder.rglob("*"))
    return sorted(path for path in files if path.suffix.lower() in EXTENSIONS)


def _read_frames(
    sound: soundfile.SoundFile, name: str, offset: float, duration: float | None
) -> np.ndarray:
    """Return samples (S,) of a mono file, else (S, channels), at the rate of the file."""
    rate = sound.samplerate
    first = round(max(0.0, offset) * rate)
    available = sound.frames - first
    wanted = available if duration is None else round(duration * rate)
    if available <= 0 or wanted - available > ROUNDING * rate:
        part = f"{first / rate:.2f} s to {(first + wanted) / rate:.2f} s"
        end = f"it ends at {sound.frames / rate:.2f} s"
        raise AudioError(f"{name}: cannot load {part}, because {end}")
    wanted = min(wanted, available)
    try:
        sound.seek(first)
        samples = sound.read(wanted, dtype="float32")
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{name}: damaged or cut off ({_reason(error)})") from None
    if len(samples) < wanted:
        seconds = (first + len(samples)) / rate
        raise AudioError(f"{name}: cut off at {seconds:.2f} s. Get a complete copy.")
    return samples


def _open(source: Source, name: str) -> soundfile.SoundFile:
    """Open a recording and check its header.

    Raises:
        AudioError: If the recording cannot be opened or its header is invalid.
    """
    if isinstance(source, ByteRange):
        (content,) = read_ranges([source])
        if isinstance(content, AudioError):
            raise content
        source = content
    try:
        reason = _find_damage(source)
        if not reason:
            file = io.BytesIO(source) if isinstance(source, bytes) else source
            sound = soundfile.SoundFile(file)
            if sound.frames > 0:
                return sound
            reason = "contains no samples"
    except (OSError, ValueError) as error:  # ValueError: the name contains a null character
        reason = f"{_reason(error).lower()}. Check the path and its permissions."
    except (soundfile.LibsndfileError, TypeError) as error:
        reason = f"not a recording that can be read ({_reason(error)}). Convert it to WAV or FLAC."
    raise AudioError(f"{name}: {reason}")


def _find_damage(source: str | Path | bytes) -> str:
    """Return the reason if a file is empty, or ends before its header says, else ""."""
    with (
        io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as file
    ):
        head = file.read(HEAD_SIZE)
        size = file.seek(0, io.SEEK_END)
    declared = _declared_wav_size(head)
    if declared > size:
        return f"cut off: {size:,} of {declared:,} bytes. Get a complete copy."
    return "" if size else "empty file (0 bytes)"


def _declared_wav_size(head: bytes) -> int:
    """Return the byte at which the samples of a WAV file end according to its header.

    0 for other formats and for streams of unknown length. libsndfile silently corrects the length
    of a truncated file, which would then pass as a shorter recording.
    """
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return 0
    position = 12
    while position + 8 <= len(head):
        name, size = struct.unpack_from("<4sI", head, position)
        position += 8
        if name == b"data":
            is_stream = size >= 0x7FFFFF00  # written by programs that cannot seek back
            return 0 if is_stream else position + size
        position += size + size % 2
    return 0


def _name(source: Source) -> str:
    return "standard input" if isinstance(source, bytes) else str(source)


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None)
    return str(text or error).rstrip(". ")
