"""Live audio over WebSockets."""

import json
import time
from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import Any

import httpx2
import numpy as np
import pytest
import soxr
from serving import Running, Serve, wait_until
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from asr.inference.transcriber import Transcriber
from asr.server.live import LiveStream


def opened(running: Running, query: str = "", **options: Any) -> ClientConnection:
    url = f"ws://127.0.0.1:{running.port}/v1/stream{query}"
    return connect(url, open_timeout=600, close_timeout=600, proxy=None, **options)


def blocks(waveform: np.ndarray, size: int = 3201) -> Iterator[bytes]:
    """Yield 16-bit samples in messages whose ends are in the middle of samples too."""
    samples = (waveform * 2**15).clip(-(2**15), 2**15 - 1).astype("<i2").tobytes()
    for first in range(0, len(samples), size):
        yield samples[first : first + size]


def received(parts: list[bytes]) -> Iterator[np.ndarray]:
    """Yield the samples that each message completes, as the server receives them."""
    samples = np.frombuffer(b"".join(parts), "<i2").astype(np.float32) / 2**15
    ends = [end // 2 for end in accumulate(map(len, parts))]
    for first, end in pairwise([0, *ends]):
        yield samples[first:end]


def messages(socket: ClientConnection) -> list[dict[str, Any]]:
    """Return all messages until the server closes the connection."""
    return [json.loads(message) for message in socket]


@pytest.mark.parametrize("size", [3200, 3201])
def test_segments_arrive_when_pauses_close_them(
    serve: Serve, transcriber: Transcriber, talk: np.ndarray, size: int
) -> None:
    running = serve()
    sent = list(blocks(talk, size))
    with opened(running) as socket:
        for block in sent:
            socket.send(block)
        first = json.loads(socket.recv(600))  # before the end
        assert running.metric("asr_streams") == 1
        socket.send("end")
        *segments, done = [first, *messages(socket)]
    expected = list(transcriber.stream(received(sent)))
    assert len(expected) > 1
    assert [each["type"] for each in segments] == ["segment"] * len(expected)
    for got, segment in zip(segments, expected, strict=True):
        assert (
            got["text"] == segment.text == " ".join(word["word"] for word in got["words"])
        )
        assert (got["start"], got["end"]) == pytest.approx(
            (segment.start, segment.end), abs=0.001
        )
    assert done["type"] == "done"
    assert done["text"] == " ".join(segment.text for segment in expected)
    assert done["duration"] == pytest.approx(len(talk) / 16_000, abs=0.001)
    wait_until(lambda: running.metric("asr_streams") == 0)


def test_other_sample_rates_are_converted(
    serve: Serve, transcriber: Transcriber, talk: np.ndarray
) -> None:
    with opened(serve(), "?sample_rate=48000") as socket:
        for block in blocks(soxr.resample(talk, 16_000, 48_000), 48_000):
            socket.send(block)
        socket.send("end")
        *_, done = messages(socket)
    assert done["duration"] == pytest.approx(len(talk) / 16_000, abs=0.001)
    texts = [segment.text for segment in transcriber.stream([talk])]
    assert len(done["text"]) == pytest.approx(len(" ".join(texts)), rel=0.3)


def test_a_stream_without_audio_has_no_segments(serve: Serve) -> None:
    with opened(serve()) as socket:
        socket.send("end")
        assert messages(socket) == [{"type": "done", "text": "", "duration": 0.0}]


@pytest.mark.parametrize(
    ("limits", "sent", "reason"),
    [
        ({"stream_seconds": 1}, [bytes(32_002)], "streams are limited to 1 s"),
        ({"idle_seconds": 1}, [bytes(100)], "no message for 1 s"),
        ({}, ["stop"], "messages must be 16-bit samples or the text end"),
    ],
)
def test_a_stream_beyond_its_limits_is_closed_with_the_reason(
    serve: Serve, limits: dict[str, float], sent: list[str | bytes], reason: str
) -> None:
    with opened(serve(**limits)) as socket:
        for message in sent:
            socket.send(message)
        assert messages_until_error(socket)[-1]["type"] == "done"
        assert (socket.close_code, socket.close_reason) == (1008, reason)


def messages_until_error(socket: ClientConnection) -> list[dict[str, Any]]:
    received = []
    with pytest.raises(ConnectionClosed):
        while True:
            received.append(json.loads(socket.recv(600)))
    return received


def test_streams_are_limited_in_number(serve: Serve) -> None:
    running = serve(streams=1)
    with opened(running) as socket:
        with pytest.raises(InvalidStatus) as refused:
            opened(running)
        assert refused.value.response.status_code == 429
        assert refused.value.response.headers["retry-after"] == "1"
        socket.send("end")
        messages(socket)
    wait_until(lambda: running.metric("asr_streams") == 0)
    opened(running).close()


def test_a_client_that_goes_away_frees_its_place(serve: Serve, talk: np.ndarray) -> None:
    running = serve(streams=1)
    for _ in range(3):
        socket = opened(running)
        socket.send(next(blocks(talk)))
        wait_until(lambda: running.metric("asr_streams") == 1)
        socket.socket.close()
        wait_until(lambda: running.metric("asr_streams") == 0)


def status(running: Running, query: str = "", **options: Any) -> int:
    with pytest.raises(InvalidStatus) as refused:
        opened(running, query, **options)
    response = refused.value.response
    assert json.loads(response.body)["error"]["message"]
    return response.status_code


def test_the_key_is_a_header_or_a_protocol(serve: Serve) -> None:
    running = serve(key="horse")
    assert status(running) == 401
    assert status(running, additional_headers={"Authorization": "Bearer mule"}) == 401
    assert status(running, subprotocols=["asr", "key.mule"]) == 401
    opened(running, additional_headers={"Authorization": "Bearer horse"}).close()
    with opened(running, subprotocols=["asr", "key.horse"]) as socket:
        assert socket.subprotocol == "asr"
    with opened(running, subprotocols=["key.horse"]) as socket:
        assert socket.subprotocol == "key.horse"  # browsers require one of theirs
    opened(serve(key="a/b=="), subprotocols=["key.a%2Fb%3D%3D"]).close()


def test_pages_of_other_origins_may_open_streams_only_if_they_are_listed(
    serve: Serve,
) -> None:
    running = serve(cors_origins=["https://example.org"])
    for origin in (f"http://127.0.0.1:{running.port}", "https://example.org"):
        opened(running, origin=origin).close()
    assert status(running, origin="https://other.org") == 403


@pytest.mark.parametrize("rate", ["0", "7999", "1e4", "-16000", "999999", ""])
def test_an_impossible_sample_rate_is_refused(serve: Serve, rate: str) -> None:
    assert status(serve(), f"?sample_rate={rate}") == 400


@pytest.mark.parametrize("pause", [0.0, 0.03])  # 0.03 s: messages arrive faster
def test_a_server_that_stops_sends_the_last_segments(
    serve: Serve,
    transcriber: Transcriber,
    talk: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    pause: float,
) -> None:
    read = LiveStream._waveforms

    def read_slowly(*arguments: Any) -> Iterator[np.ndarray]:
        for waveform in read(*arguments):
            time.sleep(pause)
            yield waveform

    monkeypatch.setattr(LiveStream, "_waveforms", read_slowly)
    running = serve()
    sent = list(blocks(talk))
    with opened(running) as socket:
        for block in sent:
            socket.send(block)
        received_before = [json.loads(socket.recv(600))]
        socket.ping().wait(600)  # all messages before it have arrived
        running.server.should_exit = True
        *segments, done = [*received_before, *messages_until_error(socket)]
        assert socket.close_code == 1001
    expected = [segment.text for segment in transcriber.stream(received(sent))]
    assert [each["text"] for each in segments] == expected
    assert done["text"] == " ".join(expected)
    running.thread.join()


def test_the_stream_is_no_page(serve: Serve) -> None:
    assert httpx2.get(f"{serve().url}/v1/stream").status_code == 404
