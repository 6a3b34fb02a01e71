"""Run the application with uvicorn."""

import asyncio
import ipaddress
import logging
import os
import signal
import socket
import time
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from asr.errors import ConfigError
from asr.server.limits import Limits

MAX_MESSAGE = 2**18  # bytes of a WebSocket message
EXTRA_CONNECTIONS = 500  # that may be open beside those of accepted requests


def bind(host: str, port: int) -> socket.socket:
    """Return a socket at an address. It does not listen yet.

    Raises:
        ConfigError: If the address does not exist or is in use.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
        try:
            if os.name == "posix":  # on Windows, this would share the port
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        fix = "pass another port=, or port=0 for a free one"
        raise ConfigError(f"host={host} port={port}: {reason}; {fix}") from None
    return listener


def is_public(listener: socket.socket) -> bool:
    """Return whether other machines may reach a socket."""
    return not ipaddress.ip_address(listener.getsockname()[0]).is_loopback


def create_server(app: FastAPI, limits: Limits) -> "Server":
    """Return a server of the application. Its `run` needs the socket of `bind`."""
    # it logs a line for each malformed form
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    config = uvicorn.Config(
        app,
        http="h11",
        ws="websockets-sansio",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        limit_concurrency=limits.queue + limits.streams + EXTRA_CONNECTIONS,
        ws_max_size=MAX_MESSAGE,
        ws_per_message_deflate=False,
    )
    return Server(config, limits)


def run(app: FastAPI, listener: socket.socket, limits: Limits) -> None:
    """Serve until SIGTERM or SIGINT, and then finish the accepted requests."""
    # uvicorn handles the signal and sends it again at the end, which would end the process
    signal.signal(signal.SIGTERM, lambda *_: None)
    create_server(app, limits).run([listener])


class Server(uvicorn.Server):
    """uvicorn's server, which also drops connections that wait too long for the client."""

    def __init__(self, config: uvicorn.Config, limits: Limits) -> None:
        super().__init__(config)
        self._limits = limits
        self._dropping: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start and print the address."""
        await super().startup(sockets)
        self._dropping = asyncio.create_task(self._drop_idle())
        for listener in sockets or []:
            host, port = listener.getsockname()[:2]
            address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            print(f"listening on http://{address}", flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting connections, end the streams, and finish the accepted requests."""
        for server in self.servers:
            server.close()
        await self.config.app.state.live.stop()  # type: ignore[union-attr]
        await super().shutdown(sockets)

    async def _drop_idle(self) -> None:
        """Drop connections whose client neither completes a request nor reads the response."""
        since: dict[tuple[Any, ...], float] = {}
        while True:
            now = time.monotonic()
            waiting = filter(_waits_for_client, self.server_state.connections)
            # a client that makes progress changes its key
            since = {key: since.get(key, now) for key in map(_progress, waiting)}
            for (connection, *_), start in since.items():
                if now - start > self._limits.idle_seconds:
                    connection.transport.abort()
            await asyncio.sleep(1.0)


def _waits_for_client(connection: Any) -> bool:
    """Return whether a connection has no request, or data that the client has not read."""
    if connection.transport.is_closing():
        return True
    if not isinstance(connection, H11Protocol):
        return False  # streams have their own limits
    cycle = connection.cycle
    return cycle is None or cycle.response_complete or connection.flow.write_paused


def _progress(connection: Any) -> tuple[Any, ...]:
    unread = connection.transport.get_write_buffer_size()
    return connection, getattr(connection, "cycle", None), unread
