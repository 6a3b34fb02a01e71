"""Load on asr.serve: python benchmarks/serving.py model.safetensors [--seconds 60].

Clients send recordings of noise one after the other, each as soon as it has the last answer. The
table has the answers by status, the memory of the server after a fifth of the time and at the end,
the latency, and the seconds of audio per second, also relative to `transcribe_many` in one process
without a server.
"""

import argparse
import asyncio
import io
import itertools
import os
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import soundfile
from rich.console import Console
from rich.table import Table

from asr.audio import SAMPLE_RATE
from asr.inference.transcriber import Transcriber

SECONDS = (2.0, 15.0)  # shortest and longest recording
RECORDINGS = 64
BOUNDARY = "benchmark"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--engine", default="auto")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", str(psutil.cpu_count(logical=False) or 1))
    recordings = make_recordings()
    reference = measure_library(options, recordings)
    results, memory, elapsed = measure_server(options, recordings)
    latencies = [latency for _, _, latency in results]
    audio = sum(seconds for status, seconds, _ in results if status == 200)
    statuses = Counter(status for status, _, _ in results)
    title = f"{options.clients} clients for {elapsed:.0f} s"
    table = Table(title=title, show_header=False)
    table.add_row("answers by status", str(dict(statuses)))
    table.add_row(
        "memory after a fifth, at the end", ", ".join(f"{m:.0f} MB" for m in memory)
    )
    table.add_row("median latency, s", f"{statistics.median(latencies):.2f}")
    table.add_row("99 % of latencies, s", f"{np.quantile(latencies, 0.99):.2f}")
    table.add_row("audio per second", f"{audio / elapsed:.1f} s")
    table.add_row("the same, transcribe_many", f"{reference:.1f} s")
    table.add_row("relative", f"{audio / elapsed / reference:.2f}")
    Console(width=100).print(table)


def make_recordings() -> list[tuple[float, bytes]]:
    """Return the seconds and the content of recordings of noise."""
    rng = np.random.default_rng(0)
    recordings = []
    for seconds in rng.uniform(*SECONDS, RECORDINGS):
        content = io.BytesIO()
        noise = 0.1 * rng.standard_normal(round(seconds * SAMPLE_RATE))
        soundfile.write(content, noise, SAMPLE_RATE, format="WAV", subtype="PCM_16")
        recordings.append((float(seconds), content.getvalue()))
    return recordings


def measure_library(
    options: argparse.Namespace, recordings: list[tuple[float, bytes]]
) -> float:
    """Return the seconds of audio per second of `transcribe_many`."""
    transcriber = Transcriber.load(options.model, engine=options.engine)
    began = time.perf_counter()
    contents = itertools.takewhile(
        lambda _: time.perf_counter() - began < options.seconds,
        itertools.cycle(content for _, content in recordings),
    )
    audio = sum(result.duration for result in transcriber.transcribe_many(contents))
    return audio / (time.perf_counter() - began)


def measure_server(
    options: argparse.Namespace, recordings: list[tuple[float, bytes]]
) -> tuple[list[tuple[int, float, float]], list[float], float]:
    """Return (status, seconds of audio, latency) of each answer, the memory, and the time."""
    arguments = [f"checkpoint={options.model}", f"engine={options.engine}", "port=0"]
    command = [sys.executable, "-m", "asr.serve", *arguments]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        match = re.search(r":(\d+)$", server.stdout.readline().strip())
        assert match, "the server did not start"
        load = run_clients(int(match[1]), server.pid, options, recordings)
        return asyncio.run(load)
    finally:
        server.terminate()
        server.wait()


async def run_clients(
    port: int,
    pid: int,
    options: argparse.Namespace,
    recordings: list[tuple[float, bytes]],
) -> tuple[list[tuple[int, float, float]], list[float], float]:
    """Send recordings from several clients until the time is over."""
    requests = itertools.cycle(
        (seconds, make_request(content)) for seconds, content in recordings
    )
    results: list[tuple[int, float, float]] = []
    start = time.perf_counter()
    end = start + options.seconds

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < end:
            seconds, request = next(requests)
            began = time.perf_counter()
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            await reader.readexactly(int(head.partition("content-length: ")[2].split()[0]))
            status = int(head.split()[1])
            results.append((status, seconds, time.perf_counter() - began))
            if "connection: close" in head:
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            if status == 429:
                await asyncio.sleep(1.0)
        writer.close()

    async def measure_memory() -> list[float]:
        await asyncio.sleep(options.seconds / 5)
        early = psutil.Process(pid).memory_info().rss / 1e6
        await asyncio.sleep(max(0.0, end - time.perf_counter()))
        return [early, psutil.Process(pid).memory_info().rss / 1e6]

    memory, *_ = await asyncio.gather(
        measure_memory(), *(client() for _ in range(options.clients))
    )
    return results, memory, time.perf_counter() - start


def make_request(content: bytes) -> bytes:
    """Return an HTTP request with a recording."""
    part = 'Content-Disposition: form-data; name="file"; filename="a.wav"'
    body = f"--{BOUNDARY}\r\n{part}\r\n\r\n".encode() + content
    body += f"\r\n--{BOUNDARY}--\r\n".encode()
    head = (
        "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


if __name__ == "__main__":
    main()
