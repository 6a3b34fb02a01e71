"""Transcription in threads, so that the event loop never waits for it."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from numpy import ndarray

from asr import audio
from asr.errors import AudioError, ConfigError
from asr.inference.segments import Segment
from asr.inference.transcriber import Transcriber
from asr.inference.transcript import Transcript
from asr.server.limits import ApiError, Limits
from asr.server.metrics import Metrics
from asr.server.prompt import BoostedDecoder, split_prompt

BLOCK_SECONDS = 5.0  # audio that a streamed transcription reads at once
MEMORY_BYTES = 1_000_000  # a larger upload is transcribed from a file
END: Any = object()  # of an iterator

Item = TypeVar("Item")


@dataclass(frozen=True)
class Upload:
    """A recording that a client has sent.

    Attributes:
        file: Its content.
        size: Number of bytes.
        prompt: Phrases to favor.
        received: When the request was complete, in seconds of the monotonic clock.
    """

    file: BinaryIO
    size: int
    prompt: str
    received: float = field(default_factory=time.monotonic)


class Service:
    """A transcriber that requests and streams share.

    Args:
        transcriber: The model and its decoder.
        limits: Limits of requests and streams.
        metrics: Metrics to update.
    """

    def __init__(self, transcriber: Transcriber, limits: Limits, metrics: Metrics) -> None:
        self.limits = limits
        self.metrics = metrics
        self._transcriber = transcriber
        transcriber.batcher.on_batch = lambda size, _: metrics.batch_size.observe(size)
        self._workers = asyncio.Semaphore(limits.workers)
        count = limits.workers + limits.streams
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="request")

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        """Wait for a free worker and occupy it."""
        with self.metrics.queue.track_inprogress():
            await self._workers.acquire()
        try:
            yield
        finally:
            self._workers.release()

    async def run(self, function: Callable[..., Item], *arguments: object) -> Item:
        """Call a function in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, function, *arguments)

    async def iterate(self, items: Iterator[Item]) -> AsyncIterator[Item]:
        """Yield the items of an iterator that runs in threads."""
        while (item := await self.run(next, items, END)) is not END:
            yield item

    def transcribe(self, upload: Upload) -> Transcript:
        """Return the transcript of an upload.

        Raises:
            ApiError: If it cannot be transcribed.
        """
        transcriber = self._with_phrases(upload.prompt)
        with self._open(upload) as source:
            return transcriber.transcribe(source)

    def stream_upload(self, upload: Upload) -> Iterator[Segment]:
        """Yield the segments of an upload when they are complete.

        Raises:
            ApiError: If it cannot be transcribed.
        """
        transcriber = self._with_phrases(upload.prompt)
        with (
            self._open(upload) as source,
            audio.Recording(source, on_damage="skip") as recording,
        ):
            yield from transcriber.stream(recording.blocks(BLOCK_SECONDS))

    def stream_live(self, blocks: Iterable[ndarray]) -> Iterator[Segment]:
        """Yield the segments of live audio, blocks (S,) at 16 kHz, when pauses close them."""
        return self._transcriber.stream(blocks)

    def _with_phrases(self, prompt: str) -> Transcriber:
        """Return a transcriber that favors the phrases of a prompt.

        Raises:
            ApiError: If the model cannot write a phrase.
        """
        phrases = split_prompt(prompt)
        if not phrases:
            return self._transcriber
        transcriber = copy(self._transcriber)  # shares the model and the batches
        tokenizer = transcriber.model.tokenizer
        try:
            transcriber.decoder = BoostedDecoder(transcriber.decoder, phrases, tokenizer)
        except ConfigError as error:
            reason = str(error).replace("hotwords", "prompt", 1)
            raise ApiError(400, reason, "invalid_prompt") from None
        return transcriber

    @contextmanager
    def _open(self, upload: Upload) -> Iterator[bytes | Path]:
        """Yield an upload that can be read and is short enough.

        Raises:
            ApiError: If it cannot be read or is too long.
        """
        with _as_source(upload) as source:
            try:
                seconds = audio.info(source, on_damage="skip").duration
                limit = self.limits.audio_seconds
                if seconds > limit:
                    reason = f"file: lasts {seconds:.0f} s; the limit is {limit:g} s"
                    raise ApiError(400, reason, "audio_too_long")
                yield source
            except AudioError as error:
                reason = str(error).removeprefix(f"{source!s}: ")
                reason = reason.removeprefix("recording: ")
                raise ApiError(400, f"file: {reason}", "invalid_audio") from None
        self.metrics.audio.inc(seconds)
        elapsed = time.monotonic() - upload.received
        self.metrics.latency.observe(elapsed)
        self.metrics.factor.observe(elapsed / seconds)


@contextmanager
def _as_source(upload: Upload) -> Iterator[bytes | Path]:
    """Yield the content of a small upload, or the path of a file with that of a large one."""
    if upload.size <= MEMORY_BYTES:
        yield upload.file.read()
        return
    with tempfile.TemporaryDirectory(prefix="asr-serve-") as folder:
        path = Path(folder, "recording")
        with path.open("wb") as copied:
            shutil.copyfileobj(upload.file, copied)
        upload.file.close()  # frees its space
        yield path
