"""Test resumed and verified downloads, and safe and complete extraction."""

import errno
import hashlib
import io
import os
import shutil
import tarfile
import zipfile
from collections import namedtuple
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from recipes import fetch
from recipes.errors import RecipeError
from recipes.fetch import download, ensure_extracted, unpack, verify

BODY = bytes(range(256)) * 4000  # a little under one chunk
MD5 = "md5:" + hashlib.md5(BODY).hexdigest()
SHA256 = "sha256:" + hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def big(server):
    server.files["/big.tar"] = BODY
    return f"{server.url}/big.tar"


def tar(path, members, compression="gz"):
    with tarfile.open(path, f"w:{compression}") as out:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(body, str):
                info.type, info.linkname = tarfile.SYMTYPE, body
                out.addfile(info)
            else:
                info.size = len(body)
                out.addfile(info, io.BytesIO(body))
    return path


def packed_zip(path, members):
    with zipfile.ZipFile(path, "w") as out:
        for name, body in members.items():
            out.writestr(name, body)
    return path


@pytest.mark.parametrize("checksum", [None, MD5, SHA256])
def test_a_download_writes_only_the_file(big, tmp_path, checksum):
    target = download(big, tmp_path / "new" / "big.tar", checksum=checksum)
    assert target.read_bytes() == BODY
    assert [path.name for path in target.parent.iterdir()] == ["big.tar"]


def test_a_download_resumes_an_earlier_run(big, server, tmp_path):
    (tmp_path / "big.tar.partial").write_bytes(BODY[:1000])
    assert download(big, tmp_path / "big.tar", checksum=MD5).read_bytes() == BODY
    assert server.asked == [("/big.tar", "bytes=1000-")]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=15,
    deadline=None,
)
@given(drops=st.lists(st.integers(1, 300_000), max_size=3), ranges=st.booleans())
def test_a_download_resumes_after_dropped_connections(big, server, tmp_path, drops, ranges):
    (tmp_path / "big.tar").unlink(missing_ok=True)
    server.drops, server.ranges, server.asked = list(drops), ranges, []
    download(big, tmp_path / "big.tar", checksum=MD5, pause=0)
    assert (tmp_path / "big.tar").read_bytes() == BODY
    assert len(server.asked) == 1 + len(drops)


def test_a_server_without_ranges_is_read_from_the_beginning(big, server, tmp_path):
    server.ranges = False
    (tmp_path / "big.tar.partial").write_bytes(b"x" * 1000)
    assert download(big, tmp_path / "big.tar", checksum=MD5).read_bytes() == BODY


def test_a_complete_partial_file_is_not_downloaded_again(big, server, tmp_path):
    (tmp_path / "big.tar.partial").write_bytes(BODY)
    assert download(big, tmp_path / "big.tar", checksum=MD5).read_bytes() == BODY


def test_a_partial_file_longer_than_the_original_is_replaced(big, server, tmp_path):
    (tmp_path / "big.tar.partial").write_bytes(BODY + b"more")
    assert download(big, tmp_path / "big.tar", checksum=MD5, pause=0).read_bytes() == BODY


def test_temporary_server_errors_are_retried(big, server, tmp_path):
    server.status = [503, 429]
    assert download(big, tmp_path / "big.tar", pause=0).read_bytes() == BODY


def test_repeated_drops_end_the_download_and_keep_the_partial_file(big, server, tmp_path):
    server.drops = [1000, 0, 0]
    with pytest.raises(
        RecipeError, match=r"dropped \(attempts without new data: 3\). Run again to resume"
    ) as caught:
        download(big, tmp_path / "big.tar", tries=3, pause=0)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "big.tar.partial").read_bytes() == BODY[:1000]


def test_a_missing_file_is_one_line_and_not_retried(server, tmp_path):
    with pytest.raises(
        RecipeError, match=r"/none.tar: HTTP status 404 .*url= .*save the file as"
    ):
        download(f"{server.url}/none.tar", tmp_path / "none.tar")
    assert len(server.asked) == 1


def test_an_unreachable_server_and_an_invalid_url_are_one_line(tmp_path):
    with pytest.raises(RecipeError, match="refused"):
        download("http://127.0.0.1:9/a.tar", tmp_path / "a.tar", tries=2, pause=0)
    with pytest.raises(RecipeError, match="not a valid URL"):
        download("data/a.tar", tmp_path / "a.tar")


def test_a_wrong_checksum_names_the_file_both_checksums_and_the_fix(big, tmp_path):
    wrong = "sha256:" + "0" * 64
    with pytest.raises(RecipeError) as caught:
        download(big, tmp_path / "big.tar", checksum=wrong)
    message = str(caught.value)
    assert all(
        part in message
        for part in (str(tmp_path / "big.tar"), "0" * 64, SHA256[7:], "Delete it")
    )


def test_a_full_disk_names_folder_and_sizes_and_keeps_the_partial_file(
    big, tmp_path, monkeypatch
):
    original = Path.open

    def full_after_half(path, mode="r", *args, **kwargs):
        file = original(path, mode, *args, **kwargs)
        if "b" not in mode or "r" in mode:
            return file

        class Full(io.BufferedWriter):
            def write(self, data):
                super().write(data[: len(BODY) // 2])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        return Full(file.detach())

    monkeypatch.setattr(Path, "open", full_after_half)
    with pytest.raises(
        RecipeError,
        match=r"disk full, cannot store big.tar .1.0 MB needed, 512.0 kB stored",
    ):
        download(big, tmp_path / "big.tar")
    monkeypatch.undo()
    assert (tmp_path / "big.tar.partial").read_bytes() == BODY[: len(BODY) // 2]
    assert download(big, tmp_path / "big.tar", checksum=MD5).read_bytes() == BODY


def test_too_little_space_is_detected_before_the_download(big, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 1000))
    with pytest.raises(
        RecipeError,
        match=f"{tmp_path}: disk full.* Free some space and run again, or set root=",
    ):
        download(big, tmp_path / "big.tar")
    assert not (tmp_path / "big.tar.partial").exists()


def test_a_download_prints_one_line_without_a_terminal(big, tmp_path, capsys):
    download(big, tmp_path / "big.tar")
    assert capsys.readouterr().err == f"downloading {big} (1.0 MB)\n"


def test_a_download_shows_a_progress_bar_on_a_terminal(big, tmp_path, monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(fetch, "console", Console(file=out, force_terminal=True, width=80))
    download(big, tmp_path / "big.tar")
    assert "1.0/1.0 MB" in out.getvalue()


@pytest.mark.parametrize("pack", [tar, packed_zip])
def test_a_tree_of_an_archive_becomes_the_folder(tmp_path, pack):
    archive = pack(
        tmp_path / "a.pack", {"Corpus/part/1.txt": b"one", "Corpus/README": b"read"}
    )
    unpack(archive, tmp_path / "Corpus" / "part", tree="Corpus/part")
    assert (tmp_path / "Corpus" / "part" / "1.txt").read_bytes() == b"one"
    assert sorted(path.name for path in (tmp_path / "Corpus").iterdir()) == ["part"]


def test_an_archive_without_a_top_folder_becomes_the_folder(tmp_path):
    unpack(
        tar(tmp_path / "a.tar.gz", {"./yes/1.wav": b"", "./list.txt": b""}),
        tmp_path / "words",
    )
    assert sorted(path.name for path in (tmp_path / "words").iterdir()) == [
        "list.txt",
        "yes",
    ]


@pytest.mark.parametrize(
    "name", ["../evil", "Corpus/../../evil", "/tmp/evil", "..\\evil", "C:/evil"]
)
@pytest.mark.parametrize("pack", [tar, packed_zip])
def test_a_member_outside_of_the_folder_is_refused_by_name(tmp_path, pack, name):
    archive = pack(tmp_path / "a.pack", {"Corpus/1.txt": b"fine", name: b"evil"})
    before = sorted(tmp_path.parent.iterdir())
    with pytest.raises(RecipeError, match="unsafe member") as caught:
        unpack(archive, tmp_path / "Corpus")
    assert repr(name) in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a.pack"]
    assert sorted(tmp_path.parent.iterdir()) == before


@pytest.mark.parametrize("link", ["../../outside", "/etc/passwd"])
def test_a_link_outside_of_the_folder_is_refused_by_name(tmp_path, link):
    archive = tar(tmp_path / "a.tar", {"Corpus/link": link}, compression="")
    with pytest.raises(RecipeError, match="unsafe member 'Corpus/link'"):
        unpack(archive, tmp_path / "Corpus")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar", ".zip"])
def test_a_damaged_archive_leaves_no_folder(tmp_path, suffix):
    archive = tmp_path / f"a{suffix}"
    if suffix == ".zip":
        packed_zip(archive, {"Corpus/1": os.urandom(5000)})
    else:
        tar(
            archive,
            {"Corpus/1": os.urandom(5000)},
            compression=suffix.removeprefix(".tar").lstrip("."),
        )
    complete = archive.read_bytes()
    for broken in (complete[:3000], b"<html>not found</html>", b""):
        archive.write_bytes(broken)
        with pytest.raises(
            RecipeError, match=r"damaged or incomplete: .*Delete it and run again"
        ):
            unpack(archive, tmp_path / "Corpus", tree="Corpus")
        assert [path.name for path in tmp_path.iterdir()] == [archive.name]


def test_an_archive_of_another_corpus_is_reported_with_its_folders(tmp_path):
    archive = tar(tmp_path / "a.tar.gz", {"Other/1": b""})
    with pytest.raises(RecipeError, match=r"no folder 'Corpus' \(found: Other\)"):
        unpack(archive, tmp_path / "Corpus", tree="Corpus")


def test_an_interrupted_extraction_leaves_no_folder(tmp_path, monkeypatch):
    archive = tar(tmp_path / "a.tar.gz", {"Corpus/1": b"1", "Corpus/2": b"2"})
    extract = tarfile.TarFile.extract

    def interrupted(self, member, *args, **kwargs):
        if member.name.endswith("2"):
            raise KeyboardInterrupt
        extract(self, member, *args, **kwargs)

    monkeypatch.setattr(tarfile.TarFile, "extract", interrupted)
    with pytest.raises(KeyboardInterrupt):
        unpack(archive, tmp_path / "Corpus", tree="Corpus")
    assert not (tmp_path / "Corpus").exists()
    monkeypatch.undo()
    (tmp_path / ".Corpus.unpacking" / "left").mkdir(parents=True)  # left by a power cut
    assert sorted(
        path.name for path in unpack(archive, tmp_path / "Corpus", tree="Corpus").iterdir()
    ) == [
        "1",
        "2",
    ]


def test_a_full_disk_during_extraction_is_one_line_and_leaves_no_folder(
    tmp_path, monkeypatch
):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    archive = tar(tmp_path / "a.tar.gz", {"Corpus/1": b"1"})
    monkeypatch.setattr(tarfile.TarFile, "extract", full)
    with pytest.raises(
        RecipeError, match=rf"{tmp_path}: disk full, cannot extract .*a.tar.gz"
    ):
        unpack(archive, tmp_path / "Corpus", tree="Corpus")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar.gz"]


def test_ensure_extracted_prefers_the_folder_then_the_archive_then_the_network(
    server, tmp_path
):
    body = tar(tmp_path / "packed", {"Corpus/1": b"1"}).read_bytes()
    server.files["/c/a.tar.gz"] = body
    root = tmp_path / "data"
    checksum = "md5:" + hashlib.md5(body).hexdigest()
    arguments = (f"{server.url}/c/", "a.tar.gz", root, "Corpus")
    extract = partial(ensure_extracted, *arguments, tree="Corpus", checksum=checksum)
    assert extract() == root / "Corpus"
    assert (root / "Corpus" / "1").read_bytes() == b"1"
    shutil.rmtree(root / "Corpus")
    extract()
    extract()
    assert len(server.asked) == 1
    shutil.rmtree(root / "Corpus")
    (root / "a.tar.gz").write_bytes(body + b"x")
    with pytest.raises(RecipeError, match=r"a\.tar\.gz: wrong md5 checksum"):
        extract()


def test_a_checksum_is_looked_up_only_if_needed(tmp_path):
    def expensive() -> str:
        raise AssertionError

    (tmp_path / "Corpus").mkdir()
    ensure_extracted("", "a.tar.gz", tmp_path, "Corpus", checksum=expensive)


def test_verify_supports_md5_and_sha256(tmp_path):
    (tmp_path / "file").write_bytes(BODY)
    verify(tmp_path / "file", MD5)
    verify(tmp_path / "file", SHA256)
    verify(tmp_path / "file", None)
    with pytest.raises(RecipeError):
        verify(tmp_path / "file", MD5[:-1])
