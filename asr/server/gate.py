"""Checks that come before a request is read: the key, the queue, and the declared size."""

import contextlib
import hmac
from collections.abc import Iterator
from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from asr.server.exchange import Disk, Exchange
from asr.server.limits import ApiError, BusyError, Limits, error_response
from asr.server.metrics import Metrics

TRANSCRIPTIONS = "/v1/audio/transcriptions"
PROTECTED = ("/v1/", "/metrics")
KEY_PROTOCOL = "key."  # browsers can name protocols of a WebSocket, but not set headers


class Gate:
    """ASGI middleware that refuses requests before they cost anything.

    Args:
        app: The application.
        limits: Limits of requests.
        metrics: Metrics to update.
        key: Key that clients must send, None for no key.
    """

    def __init__(
        self, app: ASGIApp, *, limits: Limits, metrics: Metrics, key: str | None
    ) -> None:
        self._app = app
        self._limits = limits
        self._metrics = metrics
        self._key = key
        self._accepted = 0
        self._disk = Disk(limits.disk_mb * 1e6)
        metrics.accepted.set_function(lambda: self._accepted)
        metrics.disk.set_function(lambda: self._disk.used)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request, or refuse it."""
        if scope["type"] == "websocket":
            scope["has_key"] = self._has_key(scope)
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(scope, receive, send, self._limits, self._disk)
        transcribes = scope["path"] == TRANSCRIPTIONS and scope["method"] == "POST"
        try:
            self._check_key(scope)
            exchange.check_size(exchange.declared_size)
            with self._admit() if transcribes else contextlib.nullcontext():
                await self._app(scope, exchange.receive, exchange.send)
        except HTTPException as error:
            await error_response(error)(scope, exchange.receive, exchange.send)
        except TimeoutError:  # the client does not read the response
            if not exchange.status:
                raise
        finally:
            exchange.close()
            if transcribes:
                self._metrics.requests.labels(status=exchange.status or 500).inc()

    def _check_key(self, scope: Scope) -> None:
        if scope["path"].startswith(PROTECTED) and not self._has_key(scope):
            reason = "the API key is missing or wrong; send it as a Bearer token"
            headers = {"WWW-Authenticate": "Bearer"}
            raise ApiError(401, reason, "invalid_api_key", headers)

    def _has_key(self, scope: Scope) -> bool:
        """Return whether a request has the key, if there is one."""
        if self._key is None:
            return True
        scheme, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
        keys = [given] if scheme.lower() == "bearer" else []
        for protocol in scope.get("subprotocols", ()):
            if protocol.startswith(KEY_PROTOCOL):
                keys.append(unquote(protocol.removeprefix(KEY_PROTOCOL)))
        expected = self._key.encode()
        return any(hmac.compare_digest(key.encode(), expected) for key in keys)

    @contextlib.contextmanager
    def _admit(self) -> Iterator[None]:
        """Count an accepted request.

        Raises:
            BusyError: If there are too many.
        """
        if self._accepted >= self._limits.queue:
            raise BusyError("the queue of the server is full; try again")
        self._accepted += 1
        try:
            yield
        finally:
            self._accepted -= 1
