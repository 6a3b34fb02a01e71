"""Clients that hang, lie, or send too much are refused while others continue."""

import contextlib
import io
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from openai import OpenAI
from serving import Gated, Running, Serve, wait_until

HEAD = (
    "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: localhost\r\n"
    "Content-Type: multipart/form-data; boundary=limit\r\n"
)
PART = b'--limit\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'


class Client:
    """A client that sends what it likes."""

    def __init__(self, running: Running) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(600)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(("127.0.0.1", running.port))

    def send(self, *parts: str | bytes) -> None:
        for part in parts:
            self.socket.sendall(part.encode() if isinstance(part, str) else part)

    def status(self) -> int:
        """Return the status of the response, and check that the connection is closed after it."""
        content = self.socket.makefile("rb").read()
        head, _, body = content.partition(b"\r\n\r\n")
        status = int(head.split()[1])
        assert json.loads(body)["error"]["message"]
        assert b"connection: close" in head.lower()
        return status


@pytest.fixture
def client() -> Iterator[object]:
    with contextlib.ExitStack() as stack:

        def connect(running: Running) -> Client:
            client = Client(running)
            stack.callback(client.socket.close)
            return client

        yield connect


def test_a_client_that_hangs_while_sending_is_refused_and_others_continue(
    serve: Serve, client, speech: bytes
) -> None:
    running = serve(idle_seconds=2)
    hanging = [client(running) for _ in range(10)]
    for each in hanging:
        each.send(HEAD, "Content-Length: 1000\r\n\r\n", PART, b"RIFF")
    wait_until(lambda: running.metric("asr_accepted_requests") == len(hanging))
    assert running.post(speech).status_code == 200
    wait_until(lambda: running.metric("asr_accepted_requests") == len(hanging))
    assert [each.status() for each in hanging] == [408] * len(hanging)
    wait_until(lambda: running.metric("asr_accepted_requests") == 0)
    wait_until(lambda: running.metric("asr_requests_total", status="408") == len(hanging))
    wait_until(lambda: running.metric("asr_upload_bytes") == 0)


def test_a_client_that_sends_too_slowly_is_refused(serve: Serve, client) -> None:
    running = serve(idle_seconds=60, upload_seconds=1)
    slow = client(running)
    slow.send(HEAD, "Content-Length: 1000\r\n\r\n", PART)
    with contextlib.suppress(OSError):
        for _ in range(40):
            slow.send(b"x")
            time.sleep(0.1)
    wait_until(lambda: running.metric("asr_requests_total", status="408") == 1)


@pytest.mark.parametrize("start", ["", "GET /health HTTP/1.1\r\nHost: local"])
def test_a_connection_without_a_request_is_closed(serve: Serve, client, start: str) -> None:
    silent = client(serve(idle_seconds=1))
    silent.send(start)
    assert silent.socket.recv(100) == b""


def test_a_kept_connection_without_another_request_is_closed(serve: Serve, client) -> None:
    running = serve(idle_seconds=1)
    kept = client(running)
    request = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for _ in range(3):
        kept.send(request)
        answer = b""
        while not answer.endswith(b'{"status":"ok"}'):
            answer += kept.socket.recv(4000)
    kept.send("GET /he")
    assert kept.socket.recv(100) == b""


def test_two_gigabytes_are_refused_before_they_are_sent(serve: Serve, client) -> None:
    running = serve()
    large = client(running)
    large.send(HEAD, "Content-Length: 2000000000\r\n\r\n", PART)
    assert large.status() == 413


def test_two_gigabytes_of_unknown_length_are_refused_while_they_are_sent(
    serve: Serve, client, speech: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    running = serve(upload_mb=5)
    large = client(running)
    large.send(HEAD, "Transfer-Encoding: chunked\r\n\r\n")
    large.send(f"{len(PART):x}\r\n", PART, "\r\n")
    chunk = bytes(2**20)
    sent = 0
    with contextlib.suppress(OSError):
        while (
            sent < 2_000_000_000
            and running.metric("asr_requests_total", status="413") is None
        ):
            large.send(f"{len(chunk):x}\r\n", chunk, "\r\n")
            sent += len(chunk)
    assert 4e6 < sent < 2e9
    wait_until(lambda: running.metric("asr_requests_total", status="413") == 1)
    assert running.post(speech).status_code == 200
    assert list(tmp_path.iterdir()) == []
    wait_until(lambda: running.metric("asr_upload_bytes") == 0)


def test_an_ordinary_client_reads_why_its_upload_is_refused(serve: Serve) -> None:
    running = serve(upload_mb=1)
    url = f"{running.url}/v1/audio/transcriptions"
    content = io.BytesIO(bytes(30_000_000))
    answer = httpx2.post(url, files={"file": ("a.wav", content)}, timeout=600)
    assert answer.status_code == 413
    assert answer.json()["error"]["message"] == "the request is larger than 1 MB"


def test_a_client_that_declares_too_little_is_refused(
    serve: Serve, client, speech: bytes
) -> None:
    running = serve()
    liar = client(running)
    end = b"\r\n--limit--\r\n"
    liar.send(HEAD, f"Content-Length: {len(PART) + 5}\r\n\r\n", PART, speech, end)
    answer = liar.socket.recv(10_000)
    assert answer.startswith(b"HTTP/1.1 400")
    assert running.post(speech).status_code == 200
    wait_until(lambda: running.metric("asr_accepted_requests") == 0)


def test_a_client_that_leaves_while_sending_frees_its_place(serve: Serve, client) -> None:
    running = serve()
    leaving = client(running)
    leaving.send(HEAD, "Content-Length: 1000\r\n\r\n", PART)
    wait_until(lambda: running.metric("asr_accepted_requests") == 1)
    leaving.socket.close()
    wait_until(lambda: running.metric("asr_accepted_requests") == 0)


def test_a_request_whose_client_has_left_is_not_transcribed(
    serve: Serve, gated: Gated, client, speech: bytes
) -> None:
    running = serve(gated, workers=1)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(running.post, speech)
        assert gated.has_started.wait(600)
        leaving = client(running)
        size = len(PART) + len(speech) + 13
        leaving.send(
            HEAD, f"Content-Length: {size}\r\n\r\n", PART, speech, b"\r\n--limit--\r\n"
        )
        wait_until(lambda: running.metric("asr_queue_length") == 1)
        leaving.socket.close()
        wait_until(lambda: len(running.server.server_state.connections) == 1)
        gated.gate.set()
        assert first.result().status_code == 200
    wait_until(lambda: running.metric("asr_accepted_requests") == 0)
    assert running.metric("asr_request_seconds_count") == 1


def test_requests_beyond_the_queue_are_refused_and_may_be_repeated(
    serve: Serve, gated: Gated, speech: bytes
) -> None:
    running = serve(gated, queue=3, workers=1)
    with ThreadPoolExecutor() as pool:
        accepted = [pool.submit(running.post, speech) for _ in range(3)]
        wait_until(lambda: running.metric("asr_accepted_requests") == 3)
        wait_until(lambda: running.metric("asr_queue_length") == 2)
        refused = running.post(speech)
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        assert httpx2.get(f"{running.url}/health").status_code == 200
        client = OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=50)
        patient = pool.submit(
            client.audio.transcriptions.create, file=("a.flac", speech), model="asr"
        )
        wait_until(lambda: running.metric("asr_requests_total", status="429") == 2)
        gated.gate.set()
        assert [each.result().status_code for each in accepted] == [200] * 3
        assert patient.result().text == accepted[0].result().json()["text"]


def test_the_space_of_all_uploads_is_limited(
    serve: Serve, gated: Gated, speech: bytes
) -> None:
    running = serve(gated, disk_mb=1.5 * len(speech) / 1e6)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(running.post, speech)
        wait_until(lambda: running.metric("asr_upload_bytes") > len(speech))
        assert running.post(speech).status_code == 429
        gated.gate.set()
        assert first.result().status_code == 200
    assert running.post(speech).status_code == 200


def test_a_client_that_does_not_read_does_not_keep_its_place(
    serve: Serve, client, speech: bytes
) -> None:
    running = serve(idle_seconds=1)
    deaf = client(running)
    request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
    deaf.socket.settimeout(2)
    with contextlib.suppress(OSError):
        for _ in range(100_000):
            deaf.send(request)
    wait_until(lambda: not running.server.server_state.connections)
    assert running.post(speech).status_code == 200


def test_accepted_requests_are_finished_when_the_server_stops(
    serve: Serve, gated: Gated, speech: bytes
) -> None:
    running = serve(gated, workers=2)
    with ThreadPoolExecutor() as pool:
        answers = [pool.submit(running.post, speech) for _ in range(5)]
        wait_until(lambda: running.metric("asr_queue_length") == 3)
        running.server.should_exit = True
        wait_until(lambda: not running.server.servers[0].is_serving())
        with pytest.raises(httpx2.ConnectError):
            running.post(speech)
        gated.gate.set()
        assert [each.result().status_code for each in answers] == [200] * 5
    running.thread.join()
