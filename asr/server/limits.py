"""Limits of the server, and the errors that clients get."""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of requests and streams.

    Attributes:
        upload_mb: Size of a request.
        disk_mb: Size of all uploads that are held at once.
        audio_seconds: Length of a recording.
        queue: Requests that are accepted at once, those that are transcribed included.
        workers: Requests that are transcribed at once.
        idle_seconds: Time that a client may let pass without sending or receiving anything.
        upload_seconds: Time that a client has to send a request.
        streams: WebSocket streams at once.
        stream_seconds: Length of a stream.
    """

    upload_mb: float
    disk_mb: float
    audio_seconds: float
    queue: int
    workers: int
    idle_seconds: float
    upload_seconds: float
    streams: int
    stream_seconds: float


class ApiError(HTTPException):
    """An answer that refuses a request, with the reason in one sentence.

    Args:
        status: HTTP status code.
        message: Reason.
        code: Machine-readable reason, as in OpenAI's API.
        headers: Additional headers.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, headers)
        self.code = code


class BusyError(ApiError):
    """An answer to a client that should try again in a second."""

    def __init__(self, message: str) -> None:
        super().__init__(429, message, "rate_limit_exceeded", {"Retry-After": "1"})


def error_body(error: HTTPException) -> dict[str, object]:
    """Return an error as OpenAI's API does."""
    kind = "server_error" if error.status_code >= 500 else "invalid_request_error"
    code = getattr(error, "code", None)
    content = {"message": str(error.detail), "type": kind, "param": None, "code": code}
    return {"error": content}


def error_response(error: HTTPException) -> JSONResponse:
    """Return the response for an error."""
    return JSONResponse(error_body(error), error.status_code, error.headers)
