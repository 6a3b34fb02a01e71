"""Transcribe recordings of any length with a trained model and a decoder."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asr.audio import SAMPLE_RATE, Channel, check_channel
from asr.audio.speech import Piece, split_at_pauses
from asr.decode.greedy import GreedyDecoder
from asr.decode.hypothesis import Decoder, Hypothesis
from asr.errors import AudioError
from asr.inference.batcher import Batcher
from asr.inference.model import AcousticModel, Engine, load_model
from asr.inference.read_ahead import read_ahead
from asr.inference.segments import Segment, split_segments
from asr.inference.sources import Audio, AudioSource, is_waveform, open_audio
from asr.inference.transcript import Skipped, Transcript, merge_alternatives
from asr.inference.windows import Window, Windower
from asr.nn.emissions import Emissions

BLOCK = 30.0  # seconds to read at once
AHEAD_SECONDS = 3600.0  # of audio that are read before they are decoded
DECODED_REGIONS = 16  # regions to decode in one call
MAX_LIVE_SECONDS = 15.0  # live speech without a pause is divided after this time


class _Region(NamedTuple):
    """A region of speech in samples, and its windows with their future emissions."""

    start: int
    end: int
    windows: list[tuple["Future[Emissions]", slice]]


class _Reading(NamedTuple):
    """A recording that has been read, while the network may still be running.

    Damaged parts are given by their start and end in seconds.
    """

    regions: list[_Region]
    samples: int
    damaged: Sequence[tuple[float, float]]
    warnings: Sequence[str]


class Transcriber:
    """A model in evaluation mode and a decoder, greedy by default.

    All methods may be called from several threads at once. Their audio shares the batches of the
    network.
    """

    def __init__(
        self, model: AcousticModel, decoder: Decoder | None = None, *, vad: bool = True
    ) -> None:
        """Create a transcriber.

        Args:
            model: The network.
            decoder: Decoder of its emissions.
            vad: Whether to divide recordings at pauses and to skip silence.
        """
        self.model = model
        self.decoder = decoder or GreedyDecoder()
        self.batcher = Batcher(model)
        self._vad = vad and not getattr(self.decoder, "needs_whole_recording", False)
        self._decoding = threading.Lock()  # decoders keep state

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        decoder: Decoder | None = None,
        device: str = "cpu",
        engine: Engine = "auto",
    ) -> "Transcriber":
        """Load a model from its file as `load_model` does.

        Raises:
            ModelError: If the file is not a model.
            ConfigError: If the device is not available or the engine is not installed.
        """
        return cls(load_model(path, device=device, engine=engine), decoder)

    def transcribe(
        self, audio: Audio, *, sample_rate: int | None = None, channel: Channel = "mix"
    ) -> Transcript:
        """Return the transcript of audio of any length.

        A recording that is cut off is transcribed up to that point. Damaged parts in the middle are
        skipped. Both log a warning, and the transcript lists them.

        Args:
            audio: A path, the content of a file, a binary file object, or samples: an array or a
                tensor (S,) or (channels, S) in -1..1, or of integers.
            sample_rate: Rate of samples in Hz, required for them and only for them.
            channel: "mix" for the mean of all channels, or the number of a channel from 1.

        Raises:
            AudioError: If the recording cannot be read or has no such channel.
            ValueError: If `channel` is neither "mix" nor a number from 1.
        """
        check_channel(channel)
        with open_audio(audio, sample_rate) as source:
            reading = self._read(source, channel)
        return self._finish(reading)

    def transcribe_channels(
        self, audio: Audio, *, sample_rate: int | None = None
    ) -> tuple[Transcript, ...]:
        """Return the transcript of each channel.

        Raises:
            AudioError: If the recording cannot be read.
        """
        with open_audio(audio, sample_rate) as source:
            reading = self._read_channels(source)
        return self._finish_channels(reading)

    def transcribe_many(
        self,
        audios: Iterable[Audio],
        *,
        sample_rate: int | None = None,
        channel: Channel = "mix",
    ) -> Iterator[Transcript | AudioError]:
        """Yield the transcripts of many recordings in order.

        Recordings are read while the network runs, and short ones share its batches. A recording
        that cannot be read yields its error. Arrays and tensors all have the rate `sample_rate`.

        Raises:
            ValueError: If `channel` is neither "mix" nor a number from 1.
        """
        check_channel(channel)

        def read(source: AudioSource) -> list[_Reading]:
            return [self._read(source, channel)]

        for result in self._transcribe_many(audios, read, sample_rate):
            yield result if isinstance(result, AudioError) else self._finish(result[0])

    def transcribe_many_channels(
        self, audios: Iterable[Audio], *, sample_rate: int | None = None
    ) -> Iterator[tuple[Transcript, ...] | AudioError]:
        """Yield the transcripts of each channel of many recordings, as `transcribe_many` does."""
        for result in self._transcribe_many(audios, self._read_channels, sample_rate):
            if isinstance(result, AudioError):
                yield result
            else:
                yield self._finish_channels(result)

    def stream(self, blocks: Iterable[np.ndarray]) -> Iterator[Segment]:
        """Yield the segments of live audio, blocks (S,) at 16 kHz, when pauses close them.

        Without voice activity detection, all segments follow at the end.
        """
        pieces = split_at_pauses(blocks, max_seconds=MAX_LIVE_SECONDS)
        for region in self._submit(pieces if self._vad else _join(blocks)):
            (hypothesis,) = self._decode([region])
            yield from split_segments(hypothesis.words)

    def decode(self, emissions: Emissions) -> list[Hypothesis]:
        """Return the hypothesis of each utterance from emissions (B, U, V)."""
        with self._decoding:
            return self.decoder(emissions, self.model.tokenizer)

    def _transcribe_many(
        self,
        audios: Iterable[Audio],
        read: Callable[[AudioSource], list[_Reading]],
        sample_rate: int | None,
    ) -> Iterator[list[_Reading] | AudioError]:
        """Yield what `read` returns for each recording, or its error."""
        if isinstance(audios, str | bytes | Path):
            raise TypeError(
                "transcribe_many needs several recordings, such as a list of paths"
            )

        def open_and_read(audio: Audio) -> list[_Reading] | AudioError:
            rate = sample_rate if is_waveform(audio) else None
            try:
                with open_audio(audio, rate) as source:
                    return read(source)
            except AudioError as error:
                return error

        def seconds(result: list[_Reading] | AudioError) -> float:
            readings = [] if isinstance(result, AudioError) else result
            return sum(reading.samples for reading in readings) / SAMPLE_RATE

        return read_ahead(open_and_read, audios, size=seconds, max_size=AHEAD_SECONDS)

    def _read_channels(self, source: AudioSource) -> list[_Reading]:
        """Read each channel and submit its windows to the network."""
        return [self._read(source, channel) for channel in range(1, source.channels + 1)]

    def _finish_channels(self, readings: Iterable[_Reading]) -> tuple[Transcript, ...]:
        """Return the transcript of each channel."""
        transcripts = enumerate(map(self._finish, readings), 1)
        return tuple(replace(transcript, channel=i) for i, transcript in transcripts)

    def _read(self, source: AudioSource, channel: Channel) -> _Reading:
        """Read a channel and submit its windows to the network."""
        samples = 0

        def count(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
            nonlocal samples
            for block in blocks:
                samples += len(block)
                yield block

        blocks = count(source.blocks(BLOCK, channel=channel))
        pieces = split_at_pauses(blocks) if self._vad else _join(blocks)
        with self.batcher.reading():
            regions = list(self._submit(pieces))
        return _Reading(regions, samples, source.damaged, tuple(source.warnings))

    def _submit(self, pieces: Iterable[Piece]) -> Iterator[_Region]:
        """Yield the regions of pieces, whose windows have been submitted to the network."""
        windower = Windower(self.model)
        submitted: list[tuple[Future[Emissions], slice]] = []

        def submit(window: Window) -> None:
            submitted.append((self.batcher.submit(window.samples), window.frames))

        start = None
        for piece in pieces:
            start = piece.start if start is None else start
            for window in windower.push(piece.samples):
                submit(window)
            if piece.is_last:
                submit(windower.finish())
                yield _Region(start, piece.start + len(piece.samples), submitted)
                start, submitted = None, []

    def _finish(self, reading: _Reading) -> Transcript:
        """Wait for the network, decode, and return the transcript."""
        regions = reading.regions
        hypotheses = []
        for first in range(0, len(regions), DECODED_REGIONS):
            hypotheses += self._decode(regions[first : first + DECODED_REGIONS])
        words = [word for hypothesis in hypotheses for word in hypothesis.words]
        return Transcript(
            text=" ".join(filter(None, (hypothesis.text for hypothesis in hypotheses))),
            duration=reading.samples / SAMPLE_RATE,
            score=sum(hypothesis.score for hypothesis in hypotheses),
            segments=tuple(split_segments(words)),
            alternatives=merge_alternatives(hypotheses),
            skipped=tuple(sorted(_skipped(reading), key=lambda part: part.start)),
            warnings=tuple(reading.warnings),
        )

    def _decode(self, regions: Sequence[_Region]) -> list[Hypothesis]:
        """Return the hypothesis of each region, with times in the recording."""
        rows = []
        for region in regions:
            windows = [(future.result(), frames) for future, frames in region.windows]
            parts = [emissions.log_probs[0, frames] for emissions, frames in windows]
            rows.append(parts[0] if len(parts) == 1 else np.concatenate(parts))
        hypotheses = self.decode(windows[0][0].with_rows(rows))
        return [
            _shift(hypothesis, region.start / SAMPLE_RATE)
            for hypothesis, region in zip(hypotheses, regions, strict=True)
        ]


def _join(blocks: Iterable[np.ndarray]) -> Iterator[Piece]:
    """Yield blocks as the pieces of one region."""
    position = 0
    for block in blocks:
        yield Piece(position, block, is_last=False)
        position += len(block)
    yield Piece(position, np.zeros(0, np.float32), is_last=True)


def _skipped(reading: _Reading) -> Iterator[Skipped]:
    """Yield the damaged parts, and the silence between regions without them."""
    yield from (Skipped(start, end, "damaged") for start, end in reading.damaged)
    occupied = [(r.start / SAMPLE_RATE, r.end / SAMPLE_RATE) for r in reading.regions]
    duration = reading.samples / SAMPLE_RATE
    position = 0.0
    for start, end in sorted([*occupied, *reading.damaged, (duration, duration)]):
        if start > position:
            yield Skipped(position, start, "silence")
        position = max(position, end)


def _shift(hypothesis: Hypothesis, offset: float) -> Hypothesis:
    """Add an offset in seconds to the times of the words."""
    words = [
        w._replace(start=w.start + offset, end=w.end + offset) for w in hypothesis.words
    ]
    return replace(hypothesis, words=tuple(words))
