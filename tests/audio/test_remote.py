"""Byte ranges of shards: the same bytes from disk and server, and errors of failing servers."""

from pathlib import Path

import pytest

from asr import audio
from asr.audio import remote
from asr.audio.remote import ByteRange, read_ranges
from asr.errors import AudioError, StorageError

BODY = bytes(range(256)) * 20


@pytest.fixture(params=["disk", "server"])
def path(request, server, tmp_path):
    """Return the local path or the URL of a file with the content BODY."""
    server.files["/a.tar"] = BODY
    (tmp_path / "a.tar").write_bytes(BODY)
    return str(tmp_path / "a.tar") if request.param == "disk" else f"{server.url}/a.tar"


@pytest.fixture
def no_pause(monkeypatch):
    monkeypatch.setattr(remote, "PAUSE", 0.0)


def test_ranges_and_complete_files_are_returned_in_the_requested_order(path, tmp_path):
    recordings = [
        ByteRange(path, "b", 512, 300),
        tmp_path / "plain.wav",
        ByteRange(path),
        ByteRange(path, "a", 0, 1),
    ]
    assert read_ranges(recordings) == [
        BODY[512:812],
        tmp_path / "plain.wav",
        BODY,
        BODY[:1],
    ]


@pytest.mark.parametrize("offset", [len(BODY) - 100, len(BODY), len(BODY) + 1000])
def test_an_incomplete_range_is_named_and_does_not_affect_others(path, offset):
    incomplete, complete = read_ranges(
        [ByteRange(path, "cut.flac", offset, 300), ByteRange(path, "whole.flac", 0, 300)]
    )
    assert isinstance(incomplete, AudioError)
    size = max(0, len(BODY) - offset)
    assert f"{path}/cut.flac: cut off: {size} of 300 bytes" in str(incomplete)
    assert complete == BODY[:300]


def test_a_missing_file_is_an_error_of_the_recording(path):
    recording = ByteRange(path.replace("a.tar", "none.tar"), "x.flac", 0, 300)
    (result,) = read_ranges([recording])
    assert isinstance(result, AudioError)
    assert "none.tar/x.flac" in str(result)
    with pytest.raises(AudioError, match=r"none.tar/x.flac"):
        audio.load(recording)


def test_only_failed_requests_are_repeated(server, no_pause):
    server.files["/a.tar"] = BODY
    server.status = [503]
    offsets = (0, 100, 200)
    ranges = [
        ByteRange(f"{server.url}/a.tar", str(offset), offset, 10) for offset in offsets
    ]
    assert read_ranges(ranges) == [BODY[offset : offset + 10] for offset in offsets]
    assert len(server.asked) == 4


def test_repeated_failures_raise_one_line(server, no_pause):
    server.files["/a.tar"] = BODY
    server.status = [500] * remote.ATTEMPTS
    with pytest.raises(
        StorageError, match=r"/a.tar: the server returned 500 \(3 attempts\)$"
    ):
        read_ranges([ByteRange(f"{server.url}/a.tar", "x", 0, 10)])


def test_a_hanging_server_raises_one_line(server, no_pause, monkeypatch):
    monkeypatch.setattr(remote, "TIMEOUT", 0.2)
    server.files["/a.tar"], server.silence = BODY, 1.0
    with pytest.raises(StorageError, match=r"/a.tar: no answer within 0.2 s"):
        read_ranges([ByteRange(f"{server.url}/a.tar", "x", 0, 10)])


def test_a_missing_server_raises_one_line(server, no_pause):
    with pytest.raises(StorageError, match=r"127\.0\.0\.1:1"):
        read_ranges([ByteRange("http://127.0.0.1:1/a.tar", "x", 0, 10)])


def test_a_server_that_ignores_byte_ranges_is_rejected(server):
    server.files["/a.tar"], server.ranges = BODY, False
    with pytest.raises(StorageError, match="the server does not support byte ranges"):
        read_ranges([ByteRange(f"{server.url}/a.tar", "x", 5, 10)])


@pytest.mark.parametrize("url", ["nonsense://bucket/a.tar", "s3://bucket/a.tar"])
def test_an_unsupported_url_is_named_with_the_reason(url):
    with pytest.raises(StorageError, match=f"^{url}: .*(known|[Ii]nstall)"):
        read_ranges([ByteRange(url, "x", 0, 10)])


def test_a_range_has_the_name_of_its_recording():
    member = ByteRange("shards/train-00001.tar", "00000012-a.flac", 512, 10)
    assert (member.name, member.stem, str(member)) == (
        "00000012-a.flac",
        "00000012-a",
        f"{member.path}/{member.name}",
    )
    complete = ByteRange("https://host/b.wav")
    assert (complete.name, complete.stem, str(complete)) == (
        "b.wav",
        "b",
        "https://host/b.wav",
    )
    assert Path(complete.name).suffix == ".wav"
