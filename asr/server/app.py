"""The HTTP application: routes and the form of errors."""

import mimetypes
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

from fastapi import FastAPI, Form, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from asr.inference.segments import Segment
from asr.server import openai
from asr.server.gate import TRANSCRIPTIONS, Gate
from asr.server.limits import ApiError, error_body, error_response
from asr.server.live import LiveStreams
from asr.server.service import Service, Upload

WEB = Path(__file__).parents[1] / "web"
MAX_PROMPT = 2000  # characters
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
MEDIA_TYPES = {  # some systems have others, with which browsers refuse to run scripts
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}


def create_app(
    service: Service,
    *,
    name: str = "asr",
    key: str | None = None,
    cors_origins: Sequence[str] = (),
    web: Path = WEB,
) -> FastAPI:
    """Return the application.

    Args:
        service: The transcriber with its limits and metrics.
        name: Name of the model.
        key: Key that clients must send, None for no key.
        cors_origins: Origins whose pages may use the API; "*" for all.
        web: Folder of the page at "/".
    """
    app = FastAPI(title="asr", docs_url=None, redoc_url=None)
    app.add_middleware(Gate, limits=service.limits, metrics=service.metrics, key=key)
    if cors_origins:
        headers = ["Authorization", "Content-Type"]
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=headers,
        )
    app.add_exception_handler(HTTPException, _show_error)
    app.add_exception_handler(RequestValidationError, _show_invalid)
    app.add_exception_handler(Exception, _show_fault)
    _add_api(app, service)
    _add_models(app, name)
    _add_status(app, service)
    app.state.live = LiveStreams(service, cors_origins)
    app.add_api_websocket_route("/v1/stream", app.state.live.handle)
    _add_unknown(app)
    if web.is_dir():
        for suffix, media_type in MEDIA_TYPES.items():
            mimetypes.add_type(media_type, suffix)
        app.mount("/", StaticFiles(directory=web, html=True))
    return app


def _add_api(app: FastAPI, service: Service) -> None:
    @app.post(TRANSCRIPTIONS)
    async def transcribe(
        request: Request,
        file: UploadFile,
        response_format: Annotated[openai.ResponseFormat, Form()] = "json",
        prompt: Annotated[str, Form(max_length=MAX_PROMPT)] = "",
        language: Annotated[str, Form(max_length=100)] = "unknown",
        granularities: Annotated[
            list[Literal["word", "segment"]], Form(alias="timestamp_granularities[]")
        ] = [],  # noqa: B006  # FastAPI copies it
        stream: Annotated[bool, Form()] = False,
    ) -> Response:
        """Transcribe a recording. Other fields of OpenAI's API are accepted and not used."""
        upload = Upload(file.file, file.size or 0, prompt)
        if stream:
            return await _stream(service, upload)
        async with service.worker():
            if await request.is_disconnected():
                raise ApiError(499, "the client has gone")
            transcript = await service.run(service.transcribe, upload)
        words = "word" in granularities
        return openai.transcription(transcript, response_format, language, words)


async def _stream(service: Service, upload: Upload) -> Response:
    """Return a response that sends the text of each segment when it is complete.

    Raises:
        ApiError: If the recording cannot be transcribed.
    """

    async def work() -> AsyncGenerator[Segment]:
        async with service.worker():
            async for segment in service.iterate(service.stream_upload(upload)):
                yield segment

    async def events(segment: Segment | None) -> AsyncIterator[str]:
        text = ""
        try:
            while segment is not None:
                delta = f" {segment.text}" if text else segment.text
                text += delta
                yield openai.event({"type": "transcript.text.delta", "delta": delta})
                segment = await anext(segments, None)
            yield openai.event({"type": "transcript.text.done", "text": text})
        except ApiError as error:
            yield openai.event(error_body(error))
        finally:
            await segments.aclose()

    segments = work()
    first = await anext(segments, None)  # raises errors before the response begins
    return StreamingResponse(events(first), media_type="text/event-stream")


def _add_models(app: FastAPI, name: str) -> None:
    model = {"id": name, "object": "model", "created": int(time.time()), "owned_by": "asr"}

    @app.get("/v1/models")
    async def models() -> dict[str, object]:
        """List the model."""
        return {"object": "list", "data": [model]}

    @app.get("/v1/models/{name}")
    async def describe(name: str) -> dict[str, object]:
        """Describe the model."""
        if name != model["id"]:
            raise ApiError(404, f"no model {name!r}", "model_not_found")
        return model


def _add_unknown(app: FastAPI) -> None:
    """Answer other requests to the API, which the files of the page would answer otherwise."""

    @app.api_route("/v1/{path:path}", methods=METHODS, include_in_schema=False)
    async def refuse(request: Request) -> None:
        path = request.url.path
        if path in (TRANSCRIPTIONS, "/v1/models"):
            raise ApiError(405, f"{path} does not accept {request.method}")
        raise ApiError(404, f"no {path}; this server has {TRANSCRIPTIONS} and /v1/models")


def _add_status(app: FastAPI, service: Service) -> None:
    @app.get("/health")
    async def health() -> dict[str, str]:
        """Answer while the server runs."""
        return {"status": "ok"}

    @app.get("/metrics")
    async def metrics() -> Response:
        """Return metrics for Prometheus."""
        return Response(service.metrics.render(), media_type=CONTENT_TYPE_LATEST)


async def _show_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_response(error)


async def _show_invalid(_: Request, error: Exception) -> Response:
    """Return the first problem of the form of a request."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:] if isinstance(part, str))
    problem = first["msg"]
    if field == "file" and first["type"] != "missing":
        problem = "not an upload; curl sends a recording with -F file=@talk.wav"
    return error_response(ApiError(400, f"{field}: {problem}", first["type"]))


async def _show_fault(_: Request, error: Exception) -> Response:
    return error_response(HTTPException(500, "the server failed; its log has the reason"))
