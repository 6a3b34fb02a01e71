"""Live audio over WebSockets: 16-bit samples in, segments out when pauses close them."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

import numpy as np
import soxr
from fastapi import WebSocket
from numpy import ndarray
from starlette.exceptions import HTTPException
from starlette.websockets import WebSocketDisconnect

from asr.audio import SAMPLE_RATE
from asr.server.gate import KEY_PROTOCOL
from asr.server.limits import ApiError, BusyError, error_response
from asr.server.openai import live_segment
from asr.server.service import Service

MIN_RATE, MAX_RATE = 8_000, 192_000  # Hz
WAITING_BLOCKS = 8  # messages that may wait for recognition; then the server stops reading
NORMAL, GOING_AWAY, POLICY = 1000, 1001, 1008  # codes of closed WebSockets


class LiveStreams:
    """The open streams of a server.

    Args:
        service: The transcriber with its limits and metrics.
        origins: Other origins whose pages may open streams; "*" for all.
    """

    def __init__(self, service: Service, origins: Sequence[str]) -> None:
        self._service = service
        self._origins = origins
        self._streams: set[LiveStream] = set()
        self._is_stopping = False
        service.metrics.streams.set_function(lambda: len(self._streams))

    async def handle(self, socket: WebSocket) -> None:
        """Transcribe one stream."""
        try:
            stream = LiveStream(socket, self._service, self._check(socket))
        except HTTPException as error:
            await socket.send_denial_response(error_response(error))
            return
        self._streams.add(stream)
        try:
            protocols = socket.scope["subprotocols"]
            # browsers require one of theirs; the one with the key is the last choice
            named = [each for each in protocols if not each.startswith(KEY_PROTOCOL)]
            await socket.accept(next(iter([*named, *protocols]), None))
            await stream.run()
        except WebSocketDisconnect:
            pass
        finally:
            self._streams.discard(stream)

    async def stop(self) -> None:
        """Refuse new streams, and wait until the open ones have sent their last segments."""
        self._is_stopping = True
        for stream in tuple(self._streams):
            stream.stop(GOING_AWAY, "the server stops")
        while self._streams:
            await asyncio.sleep(0.05)

    def _check(self, socket: WebSocket) -> int:
        """Return the sample rate of a stream that is allowed.

        Raises:
            ApiError: If it is not.
        """
        if not socket.scope["has_key"]:
            reason = f"the API key is missing or wrong; send it as the protocol {KEY_PROTOCOL}KEY"
            raise ApiError(401, reason, "invalid_api_key")
        origin = socket.headers.get("origin")
        is_own = origin is None or urlsplit(origin).netloc == socket.headers.get("host")
        if not (is_own or origin in self._origins or "*" in self._origins):
            reason = f"pages of {origin} may not use this server"
            raise ApiError(403, reason, "wrong_origin")
        if self._is_stopping or len(self._streams) >= self._service.limits.streams:
            raise BusyError("the server has too many streams; try again")
        value = socket.query_params.get("sample_rate", str(SAMPLE_RATE))
        rate = int(value) if value.isdecimal() else 0
        if not MIN_RATE <= rate <= MAX_RATE:
            reason = f"sample_rate must be {MIN_RATE} to {MAX_RATE} Hz, got {value!r}"
            raise ApiError(400, reason, "invalid_rate")
        return rate


class LiveStream:
    """One stream. It ends with the message "end", at a limit, or when the client or server stops.

    Args:
        socket: Connection to the client.
        service: The transcriber with its limits.
        sample_rate: Rate of the samples in Hz.
    """

    def __init__(self, socket: WebSocket, service: Service, sample_rate: int) -> None:
        self._socket = socket
        self._service = service
        self._sample_rate = sample_rate
        self._blocks: asyncio.Queue[bytes | None] = asyncio.Queue(WAITING_BLOCKS)
        self._close: tuple[int, str] | None = None
        self._waiting = asyncio.timeout(None)  # for the next message
        self._bytes = 0

    def stop(self, code: int, reason: str) -> None:
        """End the stream after the messages that have arrived, and close it with a reason."""
        self._close = self._close or (code, reason)
        with suppress(RuntimeError):  # it is not waiting
            self._waiting.reschedule(0)

    async def run(self) -> None:
        """Send the segments, then a summary, and close the connection.

        Raises:
            WebSocketDisconnect: If the client has gone.
        """
        reading = asyncio.create_task(self._read())
        blocks = self._waveforms(asyncio.get_running_loop())
        texts = []
        try:
            async for segment in self._service.iterate(self._service.stream_live(blocks)):
                texts.append(segment.text)
                await self._send(live_segment(segment))
            seconds = round(self._bytes / 2 / self._sample_rate, 3)
            self._service.metrics.audio.inc(seconds)
            await self._send({"type": "done", "text": " ".join(texts), "duration": seconds})
            await self._socket.close(*(self._close or ()))
        finally:
            reading.cancel()
            with suppress(asyncio.QueueFull):  # a thread may wait for the next block
                self._blocks.put_nowait(None)

    async def _send(self, content: dict[str, object]) -> None:
        try:
            sending = self._socket.send_json(content)
            await asyncio.wait_for(sending, self._service.limits.idle_seconds)
        except TimeoutError:  # the client does not read
            raise WebSocketDisconnect(POLICY) from None

    async def _read(self) -> None:
        code, reason = await self._queue_audio()
        self._close = self._close or (code, reason)
        await self._blocks.put(None)

    async def _queue_audio(self) -> tuple[int, str]:
        """Queue the audio of messages, and return why no more follows: a code and a reason."""
        limits = self._service.limits
        while self._bytes <= 2 * limits.stream_seconds * self._sample_rate:
            seconds = 0 if self._close else limits.idle_seconds
            try:
                async with asyncio.timeout(seconds) as self._waiting:
                    message = await self._socket.receive()
            except TimeoutError:
                return self._close or (POLICY, f"no message for {limits.idle_seconds:g} s")
            if message["type"] == "websocket.disconnect" or message.get("text") == "end":
                return NORMAL, ""
            samples = message.get("bytes")
            if samples is None:
                return POLICY, "messages must be 16-bit samples or the text end"
            self._bytes += len(samples)
            await self._blocks.put(samples)
        return POLICY, f"streams are limited to {limits.stream_seconds:g} s"

    def _waveforms(self, loop: asyncio.AbstractEventLoop) -> Iterator[ndarray]:
        """Yield audio (S,) at 16 kHz. This runs in a thread."""
        stream = soxr.ResampleStream(self._sample_rate, SAMPLE_RATE, 1)
        data: bytes | None = b""
        rest = b""
        while data is not None:
            data = asyncio.run_coroutine_threadsafe(self._blocks.get(), loop).result()
            samples = rest + (data or b"")
            size = len(samples) // 2 * 2
            rest = samples[size:]
            waveform = np.frombuffer(samples[:size], "<i2").astype(np.float32) / 2**15
            if self._sample_rate != SAMPLE_RATE:
                waveform = stream.resample_chunk(waveform, last=data is None)
            yield waveform
