"""Encode waveforms in every format that is read, with PyAV or soundfile."""

import io
import tempfile
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile

RATES = (8_000, 16_000, 44_100, 48_000)


@dataclass(frozen=True)
class Encoding:
    """A format with its limits.

    Attributes:
        name: Name in test reports, which is also the extension up to the first "-".
        container: PyAV's container, or soundfile's format if `subtype` is set.
        codec: PyAV's encoder.
        subtype: soundfile's subtype.
        options: Options of PyAV's container.
        bit_rate: Bits per second, None for the encoder's default.
        rates: Sample rates that the encoder supports.
        channels: Numbers of channels that the encoder supports.
        loss: Largest error of a sample, None for a lossy format.
        correlation: Smallest correlation of a lossy format with the waveform.
        delay: Largest delay of the encoder in samples that the file does not mention.
        recovers: Whether the part before a cut can always be read. An index at the end is lost,
            and libsndfile writes Ogg pages of a second.
    """

    name: str
    container: str
    codec: str = ""
    subtype: str = ""
    options: dict[str, str] = field(default_factory=dict)
    bit_rate: int | None = None
    rates: tuple[int, ...] = RATES
    channels: tuple[int, ...] = (1, 2)
    loss: float | None = None
    correlation: float = 0.98
    delay: int = 0
    recovers: bool = True

    def encode(self, samples: np.ndarray, rate: int) -> bytes:
        """Return a file with samples (S, channels)."""
        if self.subtype:
            file = io.BytesIO()
            options = {"format": self.container, "subtype": self.subtype}
            soundfile.write(file, samples, rate, **options)
            return file.getvalue()
        return encode_with_ffmpeg(
            samples, rate, self.container, self.codec, self.options, self.bit_rate
        )


def encode_with_ffmpeg(
    samples: np.ndarray,
    rate: int,
    container: str,
    codec: str,
    options: dict[str, str] | None = None,
    bit_rate: int | None = None,
) -> bytes:
    """Return a file of samples (S, channels)."""
    layout = {1: "mono", 2: "stereo"}[samples.shape[1]]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        with av.open(str(path), "w", format=container, options=options or {}) as out:
            _encode(out, samples, rate, layout, codec, bit_rate)
        return path.read_bytes()


def _encode(out, samples, rate, layout, codec, bit_rate):
    stream = out.add_stream(codec, rate=rate, layout=layout)
    if bit_rate:
        stream.codec_context.bit_rate = bit_rate
    stream.codec_context.open()
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(samples.reshape(1, -1)), format="flt", layout=layout
    )
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    resampler = av.AudioResampler(
        format=stream.codec_context.format.name,
        layout=layout,
        rate=rate,
        frame_size=stream.codec_context.frame_size or None,
    )
    for part in [*resampler.resample(frame), *resampler.resample(None), None]:
        out.mux(stream.encode(part))


NO_XING = {"write_xing": "0", "id3v2_version": "0"}
FASTSTART = {"movflags": "faststart"}  # the index comes first
OPUS_RATES = (8_000, 16_000, 48_000)
AMR: dict[str, Any] = {
    "bit_rate": 12_200,
    "rates": (8_000,),
    "channels": (1,),
    "delay": 400,
    "correlation": 0.8,
}

ENCODINGS = {
    encoding.name: encoding
    for encoding in (
        Encoding("wav", "WAV", subtype="PCM_16", loss=1e-4),
        Encoding("wav-24", "WAV", subtype="PCM_24", loss=1e-6),
        Encoding("wav-float", "WAV", subtype="FLOAT", loss=0.0),
        Encoding("wav-ulaw", "WAV", subtype="ULAW", loss=0.03),
        Encoding("wav-alaw", "wav", "pcm_alaw", loss=0.03),
        Encoding("wav-adpcm", "wav", "adpcm_ms"),
        Encoding("wav-gsm", "WAV", subtype="GSM610", channels=(1,), correlation=0.9),
        Encoding("wav-g721", "WAV", subtype="G721_32", channels=(1,)),
        Encoding("w64", "W64", subtype="PCM_16", loss=1e-4),
        Encoding("flac", "FLAC", subtype="PCM_16", loss=1e-4),
        Encoding("aiff", "AIFF", subtype="PCM_16", loss=1e-4),
        Encoding("au", "AU", subtype="PCM_16", loss=1e-4),
        Encoding("sph", "NIST", subtype="PCM_16", loss=1e-4),
        Encoding("caf", "CAF", subtype="PCM_16", loss=1e-4),
        Encoding("caf-alac", "CAF", subtype="ALAC_16", loss=1e-4),
        Encoding("ogg", "OGG", subtype="VORBIS", recovers=False),
        Encoding(
            "opus",
            "OGG",
            subtype="OPUS",
            rates=OPUS_RATES,
            recovers=False,
            correlation=0.95,
        ),
        Encoding("mp3", "mp3", "libmp3lame"),
        Encoding("mp3-cbr", "mp3", "libmp3lame", options=NO_XING, delay=3_000),
        Encoding("mp2", "mp2", "mp2", rates=(16_000, 44_100, 48_000), delay=3_000),
        Encoding("aac", "adts", "aac", delay=3_000),
        Encoding("m4a", "ipod", "aac", recovers=False),
        Encoding("mp4", "mp4", "aac", options=FASTSTART),
        Encoding("mov", "mov", "alac", loss=1e-4, recovers=False),
        Encoding("3gp", "3gp", "amr_nb", recovers=False, **AMR),
        Encoding("amr", "amr", "amr_nb", **AMR),
        Encoding("webm", "webm", "libopus", rates=OPUS_RATES),
        Encoding("mkv", "matroska", "aac"),
        Encoding("wma", "asf", "wmav2", bit_rate=64_000, delay=3_000),
        Encoding("flv", "flv", "libmp3lame", rates=(44_100, 48_000), delay=3_000),
        Encoding("ts", "mpegts", "aac", delay=3_000),
        Encoding("avi", "avi", "libmp3lame", delay=3_000),
    )
}
