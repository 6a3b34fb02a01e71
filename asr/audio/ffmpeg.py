"""Read m4a, webm, wma, amr, and whatever else FFmpeg decodes, with PyAV."""

import io
import struct
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from typing import Any, BinaryIO

import numpy as np

from asr.audio.damage import Timed, fill_gaps
from asr.audio.readers import Content, ForwardBuffer, Reader, open_content
from asr.errors import AudioError

MAX_FAILURES = 100  # damaged parts in a row without a packet between them
SHORTFALL = 0.1  # seconds by which packets may end before the length in an mp4 header


class FFmpegReader(Reader):
    """A recording in a container that FFmpeg reads.

    FFmpeg applies edit lists and drops the delay and the padding that encoders add.
    """

    is_exact = False  # containers round times

    def __init__(
        self,
        source: Content,
        form: str,
        *,
        damage: str = "",
        is_stream: bool = False,
        skip_damage: bool = False,
    ) -> None:
        """Find the end by reading all packets without decoding them.

        Args:
            source: Path or content of the recording.
            form: FFmpeg's name of the container.
            damage: Reason if the file is known to be cut off.
            is_stream: Whether to ignore the length in the header of a WAV file.
            skip_damage: Whether to read damaged parts as zeros, instead of stopping there.

        Raises:
            AudioError: If FFmpeg cannot read the container or it has no audio.
        """
        super().__init__()
        self._source = source
        self._form = form
        self._skip_damage = skip_damage
        self._is_stream = is_stream
        self._limit: int | None = None  # samples up to the end of an edit list
        self.damage = damage
        with self._open() as (container, stream):
            self.sample_rate = int(stream.codec_context.sample_rate or 0)
            self.channels = int(stream.codec_context.channels or 0)
            self.frames = self._count_frames(container, stream) if self.sample_rate else 0
        decode = self._decode_around_damage if skip_damage else self._decode
        self._buffer = ForwardBuffer(decode, self.channels, self.sample_rate)

    def read(self, first: int, count: int) -> np.ndarray:
        """Return samples (S, channels), fewer than `count` at the end or at damage."""
        return self._buffer.read(first, count)

    def close(self) -> None:
        """Close the file."""
        self._buffer.close()

    @contextmanager
    def _open(self) -> Iterator[tuple[Any, Any]]:
        """Yield the container and its first audio stream.

        Raises:
            AudioError: If FFmpeg cannot read the container or it has no audio.
        """
        av = import_av()
        options = {"ignore_length": "1"} if self._is_stream else {}
        with open_content(self._source) as file:
            try:
                container = av.open(
                    file, format=self._form, options=options, metadata_errors="ignore"
                )
            except (av.FFmpegError, ValueError, EOFError) as error:
                reason = getattr(error, "strerror", "") or str(error)
                if self._form == "mov" and not _has_index(file):
                    reason = "no index: the recorder was stopped before it wrote it"
                raise AudioError(reason) from None
            with closing(container):
                if not container.streams.audio:
                    raise AudioError("it has no audio track")
                chosen = container.streams.audio[0]
                if not (chosen.codec_context and chosen.time_base):
                    raise AudioError("no decoder for its audio")
                for stream in container.streams:
                    if stream.index != chosen.index:
                        stream.discard = av.stream.Discard.all  # do not read the video
                yield container, chosen

    def _count_frames(self, container: Any, stream: Any) -> int:
        """Return the number of samples according to the packets."""
        rate, base = self.sample_rate, stream.time_base
        start = end = None
        ticks = skipped = 0
        is_cut = False
        for packet in self._packets(container, stream):
            if packet.is_corrupt and not self._is_stream:
                is_cut = True
                continue
            is_cut = is_cut and not (self._skip_damage and packet.size)
            ticks += packet.duration or 0
            if packet.pts is not None:
                start = packet.pts if start is None else start
                end = packet.pts + (packet.duration or 0)
            if packet.has_sidedata("skip_samples"):
                # The duration of the last packet already lacks the padding at the end.
                data = bytes(packet.get_sidedata("skip_samples"))
                skipped += struct.unpack_from("<I", data)[0]
        if is_cut:
            self.damage = self.damage or "cut off"
        has_gap = self._skip_damage and end is not None and end - start > ticks
        if (has_gap or base * rate > 1.001) and start is not None and end is not None:
            ticks = end - start  # durations rounded to milliseconds add up to a large error
        if stream.codec_context.name in ("wmav1", "wmav2"):
            skipped += 512 if rate <= 16_000 else 1024 if rate <= 22_050 else 2048
        frames = max(0, round(ticks * base * rate) - skipped)
        if self._form == "mov" and (stream.duration or 0) > 0:
            self._limit = round(stream.duration * base * rate)
            if frames < self._limit - SHORTFALL * rate:
                self.damage = self.damage or "cut off"
            frames = min(frames, self._limit)
        return frames

    def _packets(self, container: Any, stream: Any) -> Iterator[Any]:
        av = import_av()
        packets = container.demux(stream)
        failures = 0
        while failures < MAX_FAILURES:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.FFmpegError, ValueError, EOFError):
                if not self._skip_damage:
                    break
                failures += 1
                packets = container.demux(stream)
            else:
                failures = 0
                yield packet
        self.damage = self.damage or "damaged or cut off"

    def _decode(self) -> Generator[np.ndarray]:
        """Yield samples (S, channels) up to the end or to damage."""
        with self._open() as (container, stream):
            yield from self._cut(samples for _, samples in self._pieces(container, stream))

    def _decode_around_damage(self) -> Generator[np.ndarray]:
        """Yield samples (S, channels), with zeros for damaged parts."""
        with self._open() as (container, stream):
            start = round((stream.start_time or 0) * stream.time_base * self.sample_rate)
            pieces = self._pieces(container, stream)
            limits = start, self.frames, self.sample_rate
            yield from self._cut(fill_gaps(pieces, *limits, self.damaged))

    def _cut(self, pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield samples up to the end of an edit list."""
        position = 0
        for samples in pieces:
            if self._limit is not None:
                samples = samples[: max(0, self._limit - position)]
            position += len(samples)
            yield samples

    def _pieces(self, container: Any, stream: Any) -> Iterator[Timed]:
        """Yield samples with their times, up to the end or to damage that is not skipped."""
        for frame in self._frames(container, stream):
            if frame.sample_rate == self.sample_rate:
                ticks = frame.pts
                time = (
                    None if ticks is None else ticks * stream.time_base * self.sample_rate
                )
                yield time if time is None else round(time), to_float(frame, self.channels)
            elif not self._skip_damage:
                self.damage = "the sample rate changes"
                return

    def _frames(self, container: Any, stream: Any) -> Iterator[Any]:
        """Yield decoded frames, up to the end or to damage that is not skipped."""
        av = import_av()
        for packet in self._packets(container, stream):
            if self._skip_damage and packet.is_corrupt and not self._is_stream:
                continue
            try:
                yield from packet.decode()
            except (av.FFmpegError, ValueError, EOFError):
                if not (packet.is_corrupt or self._skip_damage):
                    self.damage = self.damage or "damaged"
                    return


def _has_index(file: BinaryIO) -> bool:
    """Return whether an mp4 file has the box "moov", without which it cannot be decoded."""
    position, size = 0, file.seek(0, io.SEEK_END)
    while position < size:
        file.seek(position)
        length, name, long_length = struct.unpack(">I4sQ", file.read(16).ljust(16, b"\0"))
        if name == b"moov":
            return True
        if length == 0:  # the last box, up to the end
            return False
        position += max(8, long_length if length == 1 else length)
    return False


@cache
def import_av() -> Any:
    """Import PyAV, which takes a while, without the messages that FFmpeg prints."""
    import av
    import av.stream

    av.logging.set_level(None)
    return av


def to_float(frame: Any, channels: int) -> np.ndarray:
    """Return the samples (S, channels) of a frame of FFmpeg as float32 in -1..1."""
    samples = frame.to_ndarray()  # planar: (channels, S), otherwise (1, S * channels)
    count = frame.layout.nb_channels
    samples = samples.T if frame.format.is_planar else samples.reshape(-1, count)
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.float32) - 128) / 128
    elif samples.dtype.kind == "i":
        samples = samples * np.float32(1 / (np.iinfo(samples.dtype).max + 1))
    if count != channels:  # the stream changes between mono and stereo
        samples = np.repeat(samples.mean(axis=1, keepdims=True), channels, axis=1)
    return np.ascontiguousarray(samples, dtype=np.float32)
