"""The HTTP API through OpenAI's own client, which is not modified."""

import io
import json
import re
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI
from serving import Running, Serve, wait_until

from asr.inference.transcriber import Transcriber
from asr.inference.transcript import Skipped, Transcript
from asr.server.openai import transcription


@pytest.fixture
def client(serve: Serve) -> OpenAI:
    return connect(serve())


def connect(running: Running, **options: Any) -> OpenAI:
    options = {"api_key": "none", "max_retries": 0, **options}
    return OpenAI(base_url=f"{running.url}/v1", timeout=600, **options)


@pytest.mark.parametrize(
    ("response_format", "render"),
    [
        ("text", lambda transcript: f"{transcript.text}\n"),
        ("srt", lambda transcript: transcript.to_srt()),
        ("vtt", lambda transcript: transcript.to_vtt()),
    ],
)
def test_a_text_format_is_that_of_the_transcript(
    client: OpenAI,
    transcriber: Transcriber,
    talk_file: Path,
    response_format: Any,
    render: Callable[[Transcript], str],
) -> None:
    with talk_file.open("rb") as file:
        answer = client.audio.transcriptions.create(
            file=file, model="whisper-1", response_format=response_format
        )
    assert answer == render(transcriber.transcribe(talk_file))


def test_json_has_the_text_and_the_duration(
    client: OpenAI, transcriber: Transcriber, talk_file: Path
) -> None:
    answer = client.audio.transcriptions.create(file=talk_file, model="whisper-1")
    expected = transcriber.transcribe(talk_file)
    assert answer.text == expected.text != ""
    assert answer.usage is not None and answer.usage.type == "duration"
    assert answer.usage.seconds == pytest.approx(expected.duration, abs=0.001)


def test_verbose_json_has_segments_and_words_with_times_and_confidence(
    client: OpenAI, transcriber: Transcriber, talk_file: Path
) -> None:
    answer = client.audio.transcriptions.create(
        file=talk_file,
        model="whisper-1",
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
        language="en",
    )
    expected = transcriber.transcribe(talk_file)
    assert (answer.text, answer.language) == (expected.text, "en")
    assert answer.duration == pytest.approx(expected.duration, abs=0.001)
    assert answer.segments is not None and answer.words is not None
    assert len(expected.segments) > 1
    for got, segment in zip(answer.segments, expected.segments, strict=True):
        assert got.text == segment.text
        assert (got.start, got.end) == pytest.approx(
            (segment.start, segment.end), abs=0.001
        )
        assert got.avg_logprob <= 0
    for got, word in zip(answer.words, expected.words, strict=True):
        values = got.start, got.end, got.to_dict()["confidence"]
        assert got.word == word.text
        assert values == pytest.approx((word.start, word.end, word.confidence), abs=0.001)


def test_verbose_json_tells_if_the_recording_is_cut_off(
    client: OpenAI, speech: bytes
) -> None:
    for content, count in ((speech, 0), (speech[:-1000], 1)):
        answer = client.audio.transcriptions.create(
            file=("a.flac", content), model="whisper-1", response_format="verbose_json"
        )
        warnings = answer.to_dict().get("warnings", [])
        assert len(warnings) == count
        assert all("cut off" in warning for warning in warnings)


def test_words_are_listed_only_if_they_are_wanted(client: OpenAI, speech: bytes) -> None:
    answer = client.audio.transcriptions.create(
        file=("a.flac", speech), model="whisper-1", response_format="verbose_json"
    )
    assert answer.words is None
    assert answer.segments is not None


def test_a_stream_has_the_text_of_each_segment_and_ends_with_the_whole_text(
    client: OpenAI, transcriber: Transcriber, talk_file: Path
) -> None:
    events = list(
        client.audio.transcriptions.create(file=talk_file, model="whisper-1", stream=True)
    )
    *deltas, done = events
    assert {event.type for event in deltas} == {"transcript.text.delta"}
    assert len(deltas) > 1
    assert done.type == "transcript.text.done"
    assert "".join(event.delta for event in deltas) == done.text
    assert done.text == transcriber.transcribe(talk_file).text


def test_requests_at_once_have_the_same_transcripts_as_alone(
    serve: Serve, clips: list[Path], transcriber: Transcriber
) -> None:
    running = serve()
    contents = [path.read_bytes() for path in clips * 4]
    with ThreadPoolExecutor(len(contents)) as pool:
        answers = list(pool.map(running.post, contents))
    texts = [transcriber.transcribe(path).text for path in clips * 4]
    assert [answer.json()["text"] for answer in answers] == texts
    wait_until(lambda: running.metric("asr_requests_total", status="200") == len(contents))


def test_a_large_upload_is_transcribed_from_a_file_that_is_removed(
    serve: Serve,
    transcriber: Transcriber,
    tmp_path: Path,
    recording: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = recording("long.wav", 40.0)
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    running = serve()
    assert path.stat().st_size > 1_000_000
    for options in ({}, {"stream": "true"}):
        answer = running.post(path.read_bytes(), **options)
        assert answer.status_code == 200
        assert transcriber.transcribe(path).text in answer.text
    assert list(folder.iterdir()) == []
    wait_until(lambda: running.metric("asr_upload_bytes") == 0)


def test_the_model_is_listed(serve: Serve) -> None:
    client = connect(serve(name="digits"))
    assert [model.id for model in client.models.list()] == ["digits"]
    assert client.models.retrieve("digits").owned_by == "asr"
    with pytest.raises(openai.NotFoundError, match="no model 'other'"):
        client.models.retrieve("other")


def zipped() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("talk.wav", b"RIFF")
    return content.getvalue()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"hello, this is not audio", "file: not a recording that can be read"),
        (zipped(), "file: not a recording that can be read"),
        (b"", "file: empty file"),
        (b"RIFF\0\0\0\0WAVEfmt ", "file: "),
    ],
    ids=["text", "zip", "empty", "cut"],
)
def test_what_is_not_a_recording_is_refused_with_the_reason(
    client: OpenAI, content: bytes, reason: str, stream: bool
) -> None:
    with pytest.raises(openai.BadRequestError, match=reason) as error:
        client.audio.transcriptions.create(
            file=("a.wav", content), model="whisper-1", stream=stream
        )
    assert error.value.code == "invalid_audio"
    assert "/tmp" not in error.value.message and "recording: " not in error.value.message


def test_a_large_file_that_is_not_a_recording_is_refused_without_its_path(
    serve: Serve,
) -> None:
    answer = serve().post(b"no audio " * 200_000)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("file: not a recording")


def test_a_recording_that_is_too_long_is_refused(serve: Serve, talk_file: Path) -> None:
    client = connect(serve(audio_seconds=5))
    with pytest.raises(openai.BadRequestError, match="the limit is 5 s") as error:
        client.audio.transcriptions.create(file=talk_file, model="whisper-1")
    assert error.value.code == "audio_too_long"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"response_format": "xml"}, "response_format: "),
        ({"stream": "perhaps"}, "stream: "),
        ({"prompt": "x" * 5000}, "prompt: "),
        ({"prompt": "route 66"}, "prompt: '66' has|prompt: 'route 66' has"),
    ],
)
def test_a_wrong_field_is_named(
    serve: Serve, speech: bytes, fields: dict[str, str], reason: str
) -> None:
    answer = serve().post(speech, **fields)
    assert answer.status_code == 400
    assert re.match(reason, answer.json()["error"]["message"])


def test_a_request_without_a_file_is_refused(serve: Serve) -> None:
    url = f"{serve().url}/v1/audio/transcriptions"
    for answer in (
        httpx2.post(url, data={"model": "whisper-1"}),
        httpx2.post(url, json={"file": "talk.wav"}),
        httpx2.post(
            url,
            content=b"--x\r\nno form",
            headers={"Content-Type": "multipart/form-data; boundary=x"},
        ),
    ):
        assert answer.status_code == 400
        assert answer.json()["error"]["type"] == "invalid_request_error"
    text = httpx2.post(url, data={"file": "talk.wav"})  # curl -F file=talk.wav
    assert text.status_code == 400
    assert text.json()["error"]["message"].startswith("file: not an upload; curl sends")


def test_other_paths_and_methods_have_errors_of_the_same_form(serve: Serve) -> None:
    running = serve(web=Path("no-page"))
    for answer, status in (
        (httpx2.get(f"{running.url}/v1/audio/speech"), 404),
        (httpx2.get(f"{running.url}/v1/audio/transcriptions"), 405),
        (httpx2.post(f"{running.url}/v1/audio/translations"), 404),
        (httpx2.post(f"{running.url}/v1/models"), 405),
        (httpx2.get(f"{running.url}/docs"), 404),
    ):
        assert answer.status_code == status
        assert answer.json()["error"]["message"]


def test_a_fault_is_logged_and_clients_get_no_details(
    serve: Serve, transcriber: Transcriber, speech: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Transcriber):
        def transcribe(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("a secret of the server")

    running = serve(Broken(transcriber.model))
    answer = running.post(speech)
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "server_error"
    assert "secret" not in answer.text and "Traceback" not in answer.text
    wait_until(lambda: "a secret of the server" in caplog.text)
    wait_until(lambda: running.metric("asr_requests_total", status="500") == 1)
    wait_until(lambda: running.metric("asr_accepted_requests") == 0)


def test_the_key_is_required_if_there_is_one(serve: Serve, speech: bytes) -> None:
    running = serve(key="correct horse")
    for key in ("wrong", "correct hors", "correct horse2", "ü"):
        header = {"Authorization": f"Bearer {key}".encode()}
        answer = httpx2.get(f"{running.url}/v1/models", headers=header)
        assert (answer.status_code, answer.json()["error"]["code"]) == (
            401,
            "invalid_api_key",
        )
    assert running.post(speech).status_code == 401
    assert httpx2.get(f"{running.url}/metrics").status_code == 401
    assert httpx2.get(f"{running.url}/health").json() == {"status": "ok"}
    client = connect(running, api_key="correct horse")
    assert client.audio.transcriptions.create(file=("a.flac", speech), model="asr").usage
    with pytest.raises(openai.AuthenticationError):
        connect(running, api_key="other").models.list()


def test_pages_of_other_origins_may_use_the_api_only_if_they_are_listed(
    serve: Serve,
) -> None:
    headers = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}
    allowed = "access-control-allow-origin"
    for options, origin in (
        ({}, None),
        ({"cors_origins": ["https://other.org"]}, None),
        ({"cors_origins": ["https://example.org"], "key": "k"}, "https://example.org"),
    ):
        running = serve(**options)
        url = f"{running.url}/v1/audio/transcriptions"
        assert httpx2.options(url, headers=headers).headers.get(allowed) == origin
        assert (
            httpx2.get(f"{running.url}/health", headers=headers).headers.get(allowed)
            == origin
        )


def test_metrics_describe_requests_audio_and_batches(
    serve: Serve, transcriber: Transcriber, talk_file: Path
) -> None:
    running = serve()
    running.post(talk_file.read_bytes())
    running.post(b"text")
    text = httpx2.get(f"{running.url}/metrics").text
    assert 'asr_requests_total{status="200"} 1.0' in text
    assert 'asr_requests_total{status="400"} 1.0' in text
    seconds = transcriber.transcribe(talk_file).duration
    assert running.metric("asr_audio_seconds_total") == pytest.approx(seconds, abs=0.01)
    for name in ("asr_request_seconds_count", "asr_real_time_factor_count"):
        assert running.metric(name) == 1
    assert running.metric("asr_batch_size_sum") >= 3  # regions between the pauses
    for name in ("asr_queue_length", "asr_accepted_requests", "asr_streams"):
        wait_until(lambda name=name: running.metric(name) == 0)


def test_the_page_has_strict_headers_and_right_types(serve: Serve, tmp_path: Path) -> None:
    files = {
        "index.html": "text/html",
        "app.js": "text/javascript",
        "ort.mjs": "text/javascript",
        "style.css": "text/css",
        "ort.wasm": "application/wasm",
        "icon.svg": "image/svg+xml",
        "config.json": "application/json",
    }
    for name in files:
        (tmp_path / name).write_text(name)
    running = serve(web=tmp_path, key="k")
    for name, media_type in files.items():
        answer = httpx2.get(f"{running.url}/{name}")
        assert (answer.status_code, answer.text) == (200, name)
        assert answer.headers["content-type"].partition(";")[0] == media_type
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe-inline" not in answer.headers["content-security-policy"]
    assert httpx2.get(running.url).text == "index.html"
    assert httpx2.get(f"{running.url}/../secret").status_code == 404


def test_verbose_json_lists_damaged_parts() -> None:
    transcript = Transcript("a", 9.0, 0.0, skipped=(Skipped(5.8, 6.2, "damaged"),))
    body = json.loads(bytes(transcription(transcript, "verbose_json", "en", False).body))
    assert body["skipped"] == [{"start": 5.8, "end": 6.2, "reason": "damaged"}]
