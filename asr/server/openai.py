"""Responses in the form of OpenAI's API."""

import json
import math
import zlib
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Literal

from fastapi.responses import JSONResponse, PlainTextResponse, Response

from asr.inference.segments import Segment
from asr.inference.transcript import Transcript

ResponseFormat = Literal["json", "text", "srt", "verbose_json", "vtt"]
TEXTS: dict[str, Callable[[Transcript], str]] = {
    "text": lambda transcript: f"{transcript.text}\n",
    "srt": Transcript.to_srt,
    "vtt": Transcript.to_vtt,
}


def transcription(
    transcript: Transcript, response_format: ResponseFormat, language: str, words: bool
) -> Response:
    """Return the response to a request.

    Args:
        transcript: The result.
        response_format: Its format.
        language: Language that the client named.
        words: Whether verbose JSON lists the words.
    """
    if response_format in TEXTS:
        media_type = "text/vtt" if response_format == "vtt" else "text/plain"
        return PlainTextResponse(TEXTS[response_format](transcript), media_type=media_type)
    seconds = round(transcript.duration, 3)
    body: dict[str, Any] = {"text": transcript.text}
    if response_format == "verbose_json":
        segments = [_segment(i, each) for i, each in enumerate(transcript.segments)]
        body |= {"task": "transcribe", "language": language, "duration": seconds}
        body |= {"confidence": round(transcript.confidence, 3), "segments": segments}
        if transcript.warnings:
            body["warnings"] = transcript.warnings
        damaged = [part for part in transcript.skipped if part.reason == "damaged"]
        if damaged:
            body["skipped"] = [asdict(part) for part in damaged]
        if words:
            body["words"] = _words(transcript.words)
    body["usage"] = {"type": "duration", "seconds": seconds}
    return JSONResponse(body)


def event(content: dict[str, object]) -> str:
    """Return a server-sent event."""
    return f"data: {json.dumps(content)}\n\n"


def live_segment(segment: Segment) -> dict[str, object]:
    """Return a segment of a stream of live audio."""
    return {"type": "segment", **_common(segment), "words": _words(segment.words)}


def _segment(number: int, segment: Segment) -> dict[str, object]:
    """Return a segment with all keys of Whisper's.

    The average log-probability is the logarithm of the confidence. Tokens are not listed.
    """
    text = segment.text.encode()
    return {
        "id": number,
        "seek": 0,
        **_common(segment),
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": round(math.log(max(segment.confidence, 1e-9)), 4),
        "compression_ratio": round(len(text) / len(zlib.compress(text)), 4),
        "no_speech_prob": 0.0,
    }


def _common(segment: Segment) -> dict[str, object]:
    return {"text": segment.text, **_times(segment)}


def _words(words: Any) -> list[dict[str, object]]:
    return [{"word": word.text, **_times(word)} for word in words]


def _times(item: Any) -> dict[str, float]:
    """Return the times and the confidence of a word or a segment."""
    return {name: round(getattr(item, name), 3) for name in ("start", "end", "confidence")}
