"""Pieces of shards: the same bytes from a disk and from a server, and what is told of a server that fails."""

from pathlib import Path

import pytest

from asr import audio
from asr.audio import remote as storage
from asr.audio.remote import ByteRange, read_ranges
from asr.errors import AudioError, StorageError

BODY = bytes(range(256)) * 20


@pytest.fixture(params=["disk", "server"])
def place(request, server, tmp_path):
    """BODY at a path, and at an address."""
    server.files["/a.tar"] = BODY
    (tmp_path / "a.tar").write_bytes(BODY)
    return str(tmp_path / "a.tar") if request.param == "disk" else f"{server.url}/a.tar"


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(storage, "PAUSE", 0.0)


def test_pieces_and_whole_files_come_in_the_order_that_they_are_asked_for(place, tmp_path):
    asked = [
        ByteRange(place, "b", 512, 300),
        tmp_path / "plain.wav",
        ByteRange(place),
        ByteRange(place, "a", 0, 1),
    ]
    assert read_ranges(asked) == [BODY[512:812], tmp_path / "plain.wav", BODY, BODY[:1]]


@pytest.mark.parametrize("first", [len(BODY) - 100, len(BODY), len(BODY) + 1000])
def test_a_piece_that_is_not_all_there_is_named_and_the_others_are_not_touched(place, first):
    cut, whole = read_ranges(
        [ByteRange(place, "cut.flac", first, 300), ByteRange(place, "whole.flac", 0, 300)]
    )
    assert isinstance(cut, AudioError)
    assert f"{place}/cut.flac: cut off: {max(0, len(BODY) - first)} of 300 bytes" in str(cut)
    assert whole == BODY[:300]


def test_a_file_that_is_not_there_is_the_recordings_fault(place):
    (found,) = read_ranges([ByteRange(place.replace("a.tar", "none.tar"), "x.flac", 0, 300)])
    assert isinstance(found, AudioError)
    assert "none.tar/x.flac" in str(found)
    with pytest.raises(AudioError, match=r"none.tar/x.flac"):
        audio.load(ByteRange(place.replace("a.tar", "none.tar"), "x.flac", 0, 300))


def test_a_server_that_fails_for_a_moment_is_asked_again_for_what_is_missing_only(server, quick):
    server.files["/a.tar"] = BODY
    server.status = [503]
    pieces = [ByteRange(f"{server.url}/a.tar", str(at), at, 10) for at in (0, 100, 200)]
    assert read_ranges(pieces) == [BODY[at : at + 10] for at in (0, 100, 200)]
    assert len(server.asked) == 4


def test_a_server_that_goes_on_failing_gets_one_line(server, quick):
    server.files["/a.tar"] = BODY
    server.status = [500] * storage.TRIES
    with pytest.raises(
        StorageError, match=r"/a.tar: the server answers 500 \(3 attempts in a row\)$"
    ):
        read_ranges([ByteRange(f"{server.url}/a.tar", "x", 0, 10)])


def test_a_server_that_hangs_gets_one_line(server, quick, monkeypatch):
    monkeypatch.setattr(storage, "SILENCE", 0.2)
    server.files["/a.tar"], server.silence = BODY, 1.0
    with pytest.raises(StorageError, match=r"/a.tar: no answer within 0.2 s"):
        read_ranges([ByteRange(f"{server.url}/a.tar", "x", 0, 10)])


def test_no_server_at_all_gets_one_line(server, quick):
    with pytest.raises(StorageError, match=r"127\.0\.0\.1:1"):
        read_ranges([ByteRange("http://127.0.0.1:1/a.tar", "x", 0, 10)])


def test_a_server_without_ranges_is_refused_before_it_sends_a_shard_for_each_clip(server):
    server.files["/a.tar"], server.ranges = BODY, False
    with pytest.raises(StorageError, match="gives no pieces of files"):
        read_ranges([ByteRange(f"{server.url}/a.tar", "x", 5, 10)])


@pytest.mark.parametrize("place", ["nonsense://bucket/a.tar", "s3://bucket/a.tar"])
def test_an_address_that_nothing_here_can_read_is_named_with_the_reason(place):
    with pytest.raises(StorageError, match=f"^{place}: .*(known|[Ii]nstall)"):
        read_ranges([ByteRange(place, "x", 0, 10)])


def test_a_recording_is_called_by_its_own_name():
    piece = ByteRange("shards/train-00001.tar", "00000012-a.flac", 512, 10)
    assert (piece.name, piece.stem, str(piece)) == (
        "00000012-a.flac",
        "00000012-a",
        f"{piece.place}/{piece.name}",
    )
    whole = ByteRange("https://host/b.wav")
    assert (whole.name, whole.stem, str(whole)) == ("b.wav", "b", "https://host/b.wav")
    assert Path(whole.name).suffix == ".wav"
