"""Live audio: blocks of samples at 16 kHz from a pipe or a microphone, as they arrive."""

import io
import signal
from collections.abc import Generator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, BinaryIO

import numpy as np
import soundfile
import soxr

from asr.audio import SAMPLE_RATE, Channel
from asr.audio.channels import select_channel
from asr.audio.containers import HEAD_SIZE, parse_wav
from asr.audio.io import MAX_SAMPLE
from asr.errors import AudioError, ConfigError

BLOCK = 0.1  # seconds
MAX_WAIT = 5.0  # seconds until a microphone that gives no samples counts as disconnected
ENCODINGS = {"s16le": "PCM_16", "f32le": "FLOAT", "mulaw": "ULAW", "alaw": "ALAW"}
_BYTES = {  # of a sample in each of libsndfile's encodings that can be read from a pipe
    "PCM_U8": 1,
    "PCM_16": 2,
    "PCM_24": 3,
    "PCM_32": 4,
    "FLOAT": 4,
    "DOUBLE": 8,
    "ULAW": 1,
    "ALAW": 1,
}


@dataclass(frozen=True)
class PcmFormat:
    """How samples without a header are stored. `subtype` is libsndfile's name of the encoding."""

    sample_rate: int
    channels: int
    subtype: str

    @property
    def frame_size(self) -> int:
        """Bytes of a sample of all channels."""
        return self.channels * _BYTES[self.subtype]

    def decode(self, data: bytes) -> np.ndarray:
        """Return samples (S, channels) in -1..1."""
        complete = data[: len(data) - len(data) % self.frame_size]
        samples, _ = soundfile.read(
            io.BytesIO(complete),
            dtype="float32",
            always_2d=True,
            samplerate=self.sample_rate,
            channels=self.channels,
            format="RAW",
            subtype=self.subtype,
            endian="LITTLE",
        )
        return np.where(np.abs(samples) < MAX_SAMPLE, samples, np.float32(0))

    def to_wav(self, data: bytes) -> bytes:
        """Return samples as the content of a WAV file."""
        file = io.BytesIO()
        soundfile.write(file, self.decode(data), self.sample_rate, "FLOAT", format="WAV")
        return file.getvalue()


def read_header(stream: BinaryIO) -> PcmFormat | bytes:
    """Read the header of a WAV file of unknown length from a pipe.

    Returns:
        The format of the samples that follow, or the content of the complete stream if it is
            another file.
    """
    head = stream.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return head + stream.read()
    name = b""
    while name != b"data" and len(head) < HEAD_SIZE:
        chunk = stream.read(8)
        head += chunk
        name, size = chunk[:4], int.from_bytes(chunk[4:], "little")
        if name != b"data":
            head += stream.read(min(size + size % 2, HEAD_SIZE))
        if len(chunk) < 8:
            break
    if parse_wav(head, -1)[1]:
        try:
            with soundfile.SoundFile(io.BytesIO(head)) as sound:
                form = PcmFormat(sound.samplerate, sound.channels, sound.subtype)
        except soundfile.LibsndfileError:
            return head + stream.read()
        if form.subtype in _BYTES:
            return form
    return head + stream.read()


def read_pcm(
    stream: BinaryIO, form: PcmFormat, *, channel: Channel = "mix"
) -> Generator[np.ndarray]:
    """Yield blocks (S,) at 16 kHz of 0.1 s as soon as their samples have arrived.

    Args:
        stream: Samples without a header, such as those after `read_header`.
        form: Their format.
        channel: "mix" for the mean of all channels, or the number of a channel from 1.

    Raises:
        AudioError: If there is no such channel, or there are no samples.
    """
    resampler = soxr.ResampleStream(form.sample_rate, SAMPLE_RATE, 1)
    size = max(1, round(BLOCK * form.sample_rate)) * form.frame_size
    is_first, is_last = True, False
    while not is_last:
        data = stream.read(size)
        is_last = len(data) < size
        samples = form.decode(data)
        if is_first and not len(samples):
            raise AudioError("standard input: no samples")
        is_first = False
        if channel == "mix":
            waveform = samples.mean(axis=1)
        else:
            waveform = select_channel(samples, channel, lambda _: None)
        yield resampler.resample_chunk(waveform, last=is_last)


def record(device: str | int | None = None) -> Generator[np.ndarray]:
    """Open a microphone and return its blocks (S,) at 16 kHz, without an end.

    Args:
        device: Number or part of the name of a device, as `python -m sounddevice` lists them. None
            is the default device of the system.

    Raises:
        ConfigError: If sounddevice or PortAudio is not installed.
        AudioError: If there is no such device, or it stops.
    """
    sounddevice = _import_sounddevice()
    name = "microphone" if device is None else f"microphone {device}"
    blocks: SimpleQueue[np.ndarray] = SimpleQueue()

    def keep(samples: np.ndarray, *_: object) -> None:
        blocks.put(samples[:, 0].copy())

    try:
        rate = round(sounddevice.query_devices(device, "input")["default_samplerate"])
        microphone = sounddevice.InputStream(
            samplerate=rate,
            blocksize=round(BLOCK * rate),
            device=device,
            channels=1,
            dtype="float32",
            callback=keep,
        )
    except (ValueError, sounddevice.PortAudioError) as error:
        reason = str(error).partition("\n")[0].rstrip(". ")
        fix = "`python -m sounddevice` lists the devices; choose one with microphone="
        raise AudioError(f"{name}: {reason}. {fix}") from None

    def read() -> Generator[np.ndarray]:
        resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1)
        with microphone:
            while True:
                try:
                    block = blocks.get(timeout=MAX_WAIT)
                except Empty:
                    fix = "Is it still connected?"
                    raise AudioError(f"{name}: no samples. {fix}") from None
                yield resampler.resample_chunk(block)

    return read()


def _import_sounddevice() -> Any:
    """Import sounddevice.

    Raises:
        ConfigError: If it or PortAudio is not installed.
    """
    try:
        import sounddevice
    except ImportError:
        raise ConfigError("recording needs sounddevice; pip install 'asr[mic]'") from None
    except OSError:
        fix = "install PortAudio, such as the package libportaudio2"
        raise ConfigError(f"recording needs the library PortAudio; {fix}") from None
    return sounddevice


def until_interrupt(blocks: Generator[np.ndarray]) -> Generator[np.ndarray]:
    """Yield blocks up to Ctrl-C, so that the words before it are still transcribed.

    A second Ctrl-C has its usual effect.
    """
    is_waiting = is_stopped = False

    def stop(*_: object) -> None:
        nonlocal is_stopped
        is_stopped = True
        signal.signal(signal.SIGINT, previous)
        if is_waiting:
            raise KeyboardInterrupt

    previous = signal.signal(signal.SIGINT, stop)
    try:
        while True:
            try:
                is_waiting = True
                if is_stopped:
                    return
                block = next(blocks, None)
                is_waiting = False
            except KeyboardInterrupt:
                return
            if block is None:
                return
            yield block
    finally:
        signal.signal(signal.SIGINT, previous)
        blocks.close()  # frees the resampler, whose library complains at exit otherwise
