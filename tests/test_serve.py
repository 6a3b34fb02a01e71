"""Command line of the server, as a process of its own."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from entry import Call, caller
from serving import wait_until

from asr.serve import main
from asr.server.run import bind

ROOT = Path(__file__).parents[1]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.delenv("ASR_API_KEY", raising=False)
    return caller(monkeypatch, capsys)


@pytest.fixture
def checkpoint(trained: Path) -> str:
    return f"checkpoint={trained / 'model.safetensors'}"


class Process:
    """A running server."""

    def __init__(self, *arguments: str, code: str = "") -> None:
        run = ["-c", code] if code else ["-m", "asr.serve"]
        command = [sys.executable, *run, "port=0", *arguments]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdout=pipe, stderr=pipe, text=True, cwd=ROOT
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        match = re.fullmatch(r"listening on (http://\S+)\n", line)
        assert match, line + self.process.communicate()[1]
        self.url = match[1]

    def stop(self) -> tuple[int, str]:
        """Send SIGTERM and return the exit code and the standard error."""
        self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=600)
        return self.process.returncode, errors


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def run(*arguments: str, **options: str) -> Process:
        started.append(Process(*arguments, **options))
        return started[-1]

    yield run
    for each in started:
        each.process.kill()
        each.process.communicate()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
def test_sigterm_loses_no_accepted_request_and_the_exit_code_is_0(
    start: Callable[..., Process], checkpoint: str, recording: Callable[..., Path]
) -> None:
    server = start(checkpoint, "limits.workers=2")
    content = recording("long.flac", 60.0).read_bytes()
    count = 12

    def post() -> httpx2.Response:
        url = f"{server.url}/v1/audio/transcriptions"
        return httpx2.post(url, files={"file": ("long.flac", content)}, timeout=600)

    def all_accepted() -> bool:
        lines = httpx2.get(f"{server.url}/metrics").text.splitlines()
        values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        finished = float(values.get('asr_requests_total{status="200"}', 0))
        return finished + float(values["asr_accepted_requests"]) == count

    with ThreadPoolExecutor(count) as pool:
        answers = [pool.submit(post) for _ in range(count)]
        wait_until(all_accepted)
        assert not all(answer.done() for answer in answers)
        code, errors = server.stop()
        assert [answer.result().status_code for answer in answers] == [200] * count
    assert (code, errors) == (0, "")


def test_the_onnx_engine_serves_without_torch(
    start: Callable[..., Process], checkpoint: str, recording: Callable[..., Path]
) -> None:
    code = "import atexit, sys\nfrom asr.serve import main\n"
    code += (
        "atexit.register(lambda: print('torch' in sys.modules, file=sys.stderr))\nmain()"
    )
    server = start(checkpoint, "engine=onnx", code=code)
    files = {"file": recording("a.wav", 1.0).read_bytes()}
    answer = httpx2.post(f"{server.url}/v1/audio/transcriptions", files=files, timeout=600)
    assert answer.status_code == 200
    if os.name != "nt":
        assert server.stop() == (0, "False\n")


def test_a_port_in_use_gives_one_line(call: Call, checkpoint: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        finished = call(main, checkpoint, f"port={port}")
    assert finished.code == 2
    assert f"port={port}: " in finished.complaint
    assert "port=0 for a free one" in finished.complaint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["port=70000"], "port must be >= 0 and <= 65535, got 70000"),
        (["limits.queue=0"], "limits.queue must be >= 1, got 0"),
        (["limits.size=3"], "limits.size"),
        (["host=no.such.host.invalid"], "host=no.such.host.invalid"),
        (["checkpoint=nowhere"], "no such model"),
        (["decoder.hotwords=[2024]"], "decoder.hotwords must be text"),
    ],
)
def test_wrong_settings_give_one_line_and_exit_code_2(
    call: Call, arguments: list[str], message: str
) -> None:
    finished = call(main, "port=0", *arguments)
    assert finished.code == 2
    assert message in finished.complaint


def test_an_empty_key_is_refused(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASR_API_KEY", "")
    assert "ASR_API_KEY must be" in call(main, "port=0").complaint


def test_a_missing_package_is_named(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastapi", None)
    for name in [name for name in sys.modules if name.startswith("asr.server.")]:
        monkeypatch.delitem(sys.modules, name)
    assert "pip install 'asr[serve]'" in call(main, "port=0").complaint


def test_a_server_that_others_can_reach_without_a_key_says_so(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["port=0", "host=0.0.0.0", "checkpoint=nowhere"]
    lines = call(main, *arguments).err.splitlines()
    assert "without a key; set ASR_API_KEY" in lines[0] and len(lines) == 2
    monkeypatch.setenv("ASR_API_KEY", "horse")
    assert "no such model" in call(main, *arguments).complaint


def test_a_bound_socket_does_not_accept_connections_yet() -> None:
    with bind("127.0.0.1", 0) as listener, pytest.raises(ConnectionRefusedError):
        socket.create_connection(listener.getsockname())
