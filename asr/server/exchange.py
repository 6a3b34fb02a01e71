"""One HTTP request and its response, within the limits of size and time."""

import asyncio
import contextlib
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message, Receive, Scope, Send

from asr.server.limits import ApiError, BusyError, Limits

LINGER_SECONDS = 2.0  # for a client to notice a refusal before the connection closes
LINGER_BYTES = 64_000_000  # that it may still send in this time
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; "
    "worker-src 'self' blob:; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class Disk:
    """The bytes of all uploads that are held at once."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self.used = 0

    def reserve(self, size: int) -> None:
        """Count bytes.

        Raises:
            BusyError: If there are too many.
        """
        if self.used + size > self._limit:
            raise BusyError("the server holds too many uploads; try again")
        self.used += size

    def release(self, size: int) -> None:
        """Stop counting bytes."""
        self.used -= size


class Exchange:
    """The messages of one request. `receive` and `send` replace those of the server.

    The body is counted while it arrives, because its declared length may be wrong.
    """

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, limits: Limits, disk: Disk
    ) -> None:
        headers = Headers(scope=scope)
        declared = headers.get("content-length", "0")
        self.declared_size = int(declared) if declared.isdecimal() else 0
        self._is_complete = not self.declared_size and "transfer-encoding" not in headers
        self._receive, self._send = receive, send
        self._limits, self._disk = limits, disk
        self._max_size = limits.upload_mb * 1e6
        self._deadline = time.monotonic() + limits.upload_seconds
        self._size = 0
        self.status = 0

    def check_size(self, size: int) -> None:
        """Check the size of the request.

        Raises:
            ApiError: If it is too large.
        """
        if size > self._max_size:
            reason = f"the request is larger than {self._limits.upload_mb:g} MB"
            raise ApiError(413, reason, "request_too_large")

    async def receive(self) -> Message:
        """Return the next part of the request.

        Raises:
            ApiError: If the request is too large or the client too slow.
        """
        if self._is_complete:
            return await self._receive()
        seconds = min(self._limits.idle_seconds, self._deadline - time.monotonic())
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, seconds))
        except TimeoutError:
            reason = "the request did not arrive in time; send it again"
            raise ApiError(408, reason, "request_timeout") from None
        if message["type"] == "http.request":
            size = len(message.get("body", b""))
            self.check_size(self._size + size)
            self._disk.reserve(size)
            self._size += size
            self._is_complete = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the response with the headers of all responses.

        Raises:
            TimeoutError: If the client does not read it.
        """
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            if not self._is_complete:
                headers["Connection"] = "close"
        is_last = not message.get("more_body", False)
        if message["type"] == "http.response.body" and is_last and not self._is_complete:
            await self._write({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body", "body": b""}
        await self._write(message)

    async def _write(self, message: Message) -> None:
        await asyncio.wait_for(self._send(message), self._limits.idle_seconds)

    async def _linger(self) -> None:
        """Discard what the client still sends.

        Closing the connection right away would reset it, and the client might lose the response.
        """
        discarded, is_last = 0, False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while discarded < LINGER_BYTES and not is_last:
                    message = await self._receive()
                    discarded += len(message.get("body", b""))
                    is_last = not message.get("more_body", False)

    def close(self) -> None:
        """Release what the request holds."""
        self._disk.release(self._size)
        self._size = 0
