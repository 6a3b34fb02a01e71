"""Folders as they come from a phone, a dictaphone, a call center, and a spreadsheet.

Every file is used or listed with a reason.
"""

import json
import os
import sys
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.data.manifest import is_file, read_manifest
from recipes.errors import RecipeError
from recipes.folder import folder
from recipes.scan import FileFinder


@pytest.fixture
def prepared(tmp_path):
    """Return prepared(**options), which returns the utterances used and the reasons of others."""

    def prepare(**options):
        written = folder(
            root=tmp_path / "data", **{"validation": 0.0, "test": 0.0} | options
        )
        splits = {path.stem: read_manifest(path) for path in written.glob("*.jsonl")}
        reasons = {}
        if (written / "left_out.txt").exists():
            for line in (written / "left_out.txt").read_text(encoding="utf-8").splitlines():
                _, path, reason = line.split("\t")
                reasons[Path(path).name] = reason
        return splits, reasons

    return prepare


def write(path: Path, text: str = "yes", **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, **options)
    return path


def texts(splits):
    return {u.audio.name: u.text for utterances in splits.values() for u in utterances}


def test_a_folder_from_a_phone(tmp_path, tone, prepared, capsys):
    phone = tmp_path / "Voice Memos"
    for name in ("New Recording 2.wav", "Café.WAV", "note.wav"):
        tone(phone / name)
    write(phone / "New Recording 2.txt", "Grüße [laughter] & danke", encoding="utf-16")
    write(phone / (unicodedata.normalize("NFD", "Café") + ".TXT"), "coffee")
    write(phone / "note.wav.txt", "a note")
    write(phone / "._note.wav", "\0\5\x16\7")
    write(phone / ".DS_Store")
    write(phone / "Thumbs.db")
    write(phone / "photo.jpg")
    write(phone / "memo.dss")
    write(phone / "shopping.txt", "milk")
    write(phone / "empty.wav", "")
    write(phone / "empty.txt", "nothing")
    write(phone / ".git" / "config")
    splits, reasons = prepared(audio=phone)
    assert texts(splits) == {
        "New Recording 2.wav": "grüße & danke",
        "Café.WAV": "coffee",
        "note.wav": "a note",
    }
    assert reasons.pop("empty.wav").startswith("unreadable: empty file")
    assert reasons == {
        "._note.wav": "macOS metadata",
        ".DS_Store": "system file",
        "Thumbs.db": "system file",
        "photo.jpg": "not a recording",
        "memo.dss": "format not supported",
        "shopping.txt": "no recording",
        ".git": "hidden folder",
    }
    output = capsys.readouterr()
    assert "tags that are not transcribed: [laughter] x1" in output.err
    assert "symbols without a token: & x1. Write them as words" in output.err
    assert "2 system file" in " ".join(output.out.split())
    tags = (tmp_path / "data" / "manifests" / "folder" / "tags.txt").read_text()
    assert tags.endswith("New Recording 2.wav\t[laughter]\n")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_folder_with_links_and_names_of_any_bytes(tmp_path, tone, prepared):
    own = tmp_path / "own"
    tone(own / "ann" / "a.wav").with_suffix(".txt").write_text("one")
    tone(tmp_path / "disk" / "b.wav").with_suffix(".txt").write_text("two")
    (own / "bob").symlink_to(tmp_path / "disk")
    (own / "again").symlink_to(own / "ann")
    (own / "ann" / "loop").symlink_to(own)
    (own / "gone.wav").symlink_to(tmp_path / "none.wav")
    os.mkfifo(own / "pipe.wav")
    latin = Path(os.fsdecode(os.fsencode(own) + b"/caf\xe9\n.wav"))
    latin.write_bytes((own / "ann" / "a.wav").read_bytes())
    latin.with_suffix(".txt").write_text("three")
    Path(os.fsdecode(os.fsencode(own) + b"/\xff.wav")).touch()
    splits, reasons = prepared(audio=own)
    used = {os.fsencode(u.audio.name): (u.text, u.speaker) for u in splits["train"]}
    unreadable = reasons.pop("caf\\udce9\\n.wav", "")  # for libraries that require UTF-8
    assert unreadable or used.pop(b"caf\xe9\n.wav") == ("three", "")
    assert used == {b"a.wav": ("one", "ann"), b"b.wav": ("two", "bob")}
    assert reasons == {
        "again": "folder linked twice",
        "loop": "folder linked twice",
        "gone.wav": "broken link",
        "pipe.wav": "not a file",
        "\\udcff.wav": "no transcript",
    }


def test_a_folder_from_a_dictaphone_is_split_by_time_with_a_gap(tmp_path, tone, prepared):
    tone(tmp_path / "DS_0001.wav", 200.0)
    rows = [
        f"DS_0001.wav;0:0{i // 12}:{5 * i % 60:02};{5 * i + 4};piece {i}" for i in range(40)
    ]
    table = write(tmp_path / "t.csv", "\n".join(["sep=;", "file;start;end;text", *rows]))
    splits, reasons = prepared(table=table, validation=0.1, test=0.1)
    assert {split: len(group) for split, group in splits.items()} == {
        "test": 4,
        "train": 30,
        "validation": 4,
    }
    spans = {
        split: (min(u.offset for u in group), max(u.offset + u.duration for u in group))
        for split, group in splits.items()
    }
    assert spans["train"][0] - spans["test"][1] >= 5
    assert spans["validation"][0] - spans["train"][1] >= 5
    assert set(reasons.values()) == {"gap between splits"}


def test_a_few_segments_of_two_recordings_are_all_used(tmp_path, tone, prepared):
    tone(tmp_path / "talk.wav", 9.0)
    tone(tmp_path / "other.wav", 8.0)
    rows = ["talk.wav,0,3,a", "talk.wav,3,6,b", "talk.wav,6,9,c", "other.wav,0,4,d"]
    rows += ["other.wav,4,8,e"]
    table = write(tmp_path / "t.csv", "\n".join(["audio,start,end,text", *rows]))
    splits, reasons = prepared(table=table, validation=0.1, test=0.1)
    assert not reasons
    spans = {u.text: (u.offset, u.duration) for group in splits.values() for u in group}
    assert spans == {"a": (0, 3), "b": (3, 3), "c": (6, 3), "d": (0, 4), "e": (4, 4)}
    assert {split: len(group) for split, group in splits.items()} == {
        "train": 3,
        "validation": 1,
        "test": 1,
    }


def test_a_folder_from_a_call_center(tmp_path, tone, prepared):
    calls = tmp_path / "calls"
    for name in ("2024-01-01/0001.wav", "2024-01-01/0002.wav", "2024-01-02/0001.wav"):
        tone(calls / name, 2.0, rate=8000)
    write(calls / "2024-01-02" / "0002.wav", "RIFF and nothing else")
    tone(calls / "2024-01-02" / "0003.wav")
    rows = [
        "2024-01-01\\0001.wav,agent,0,1,hello",
        "2024-01-01\\0001.wav,caller,1,2,my name is (cough) ann",
        "2024-01-01\\0001.wav,caller,1,2,my name is ann",
        "2024-01-01/0002,agent,,,the whole call",
        "2024-01-01/0002,agent,0,1,its start",
        "2024-01-02/0001,agent,0,1,hello",
        "2024-01-02/0001,agent,0,1,good morning",
        "2024-01-02/0002.wav,agent,0,1,hello",
        "2024-01-03/0001.wav,agent,0,1,hello",
        "2024-01-02/0003.wav,agent,,,[noise]",
        ",agent,0,1,hello",
    ]
    table = write(tmp_path / "t.csv", "\n".join(["file,speaker,start,end,text", *rows]))
    splits, _ = prepared(table=table, audio=calls)
    assert {(u.text, u.speaker) for u in splits["train"]} == {
        ("hello", "agent"),
        ("my name is ann", "caller"),
        ("its start", "agent"),
    }
    lines = (tmp_path / "data" / "manifests" / "folder" / "left_out.txt").read_text()
    assert Counter(line.split("\t")[2].split(":")[0] for line in lines.splitlines()) == {
        "duplicate row": 1,
        "several transcripts": 3,
        "unreadable": 2,
        "empty transcript": 1,
        "no file name": 1,
    }


def test_a_folder_from_a_spreadsheet(tmp_path, tone, prepared, capsys):
    own = tmp_path / "own"
    decomposed = unicodedata.normalize("NFD", "Büro/Straßenlärm é.wav")
    for name in (decomposed, "Büro/zwei.wav", "unused.wav"):
        tone(own / name)
    rows = ["Büro\\Straßenlärm é.wav;Grüße, schön;1", "Büro/zwei;“Zwei”;2"]
    table = write(
        own / "Tabelle.csv",
        "\r\n".join(["sep=;", "Datei;Text;Nr", *rows, ";;"]).replace("Datei", "File"),
        encoding="cp1252",
    )
    with pytest.raises(RecipeError, match=r"is not utf-8\. .* such as encoding=cp1252"):
        prepared(table=table)
    splits, reasons = prepared(table=table, audio=own, encoding="cp1252")
    assert sorted(u.text for u in splits["train"]) == ["grüße schön", "zwei"]
    assert reasons == {"unused.wav": "not in the table"}
    assert "Tabelle.csv: unused columns: nr" in capsys.readouterr().err
    splits, reasons = prepared(table=table, encoding="cp1252")
    assert sorted(u.text for u in splits["train"]) == ["grüße schön", "zwei"]
    assert reasons == {}  # only the folders of its recordings are searched


def test_a_table_without_ends_cannot_share_a_recording(tmp_path, tone, prepared):
    tone(tmp_path / "talk.wav", 9.0)
    table = write(tmp_path / "t.csv", "path,start,text\ntalk.wav,0,a\ntalk.wav,3,b\n")
    with pytest.raises(RecipeError, match=r"train: no usable recordings among 2\. See"):
        prepared(table=table)
    table.write_text("path,start,end,text\ntalk.wav,0,3,a\ntalk.wav,3,,b\n")
    splits, _ = prepared(table=table)
    assert [(u.offset, u.duration) for u in splits["train"]] == [(0, 3), (3, 6)]


def test_an_unreadable_recording_does_not_leave_a_split_empty(tmp_path, tone, prepared):
    for i in range(10):
        write(tone(tmp_path / "own" / f"{i}.wav").with_suffix(".txt"))
    for i in range(10, 20):
        write(tmp_path / "own" / f"{i}.wav")
        write(tmp_path / "own" / f"{i}.txt")
    splits, reasons = prepared(audio=tmp_path / "own", validation=0.1, test=0.1)
    assert {split: len(group) for split, group in splits.items()} == {
        "train": 8,
        "validation": 1,
        "test": 1,
    }
    assert len(reasons) == 10


def test_rows_that_are_left_out_are_listed_with_any_splits(tmp_path, tone, prepared):
    tone(tmp_path / "a.wav")
    table = write(tmp_path / "t.csv", "path,text,split\na.wav,yes,test\nb.wav,no,dev\n")
    splits, reasons = prepared(table=table)
    assert list(splits) == ["test"]
    assert reasons["b.wav"].startswith("unreadable")


def test_a_large_recording_stays_in_train(tmp_path, tone, prepared):
    tone(tmp_path / "long.wav", 30.0)
    rows = [f"long.wav,{i},{i + 1},piece {i}" for i in range(30)]
    for name in ("x.wav", "y.wav", "z.wav"):
        tone(tmp_path / name, 1.0)
        rows.append(f"{name},0,1,{name[0]}")
    table = write(tmp_path / "t.csv", "\n".join(["path,start,end,text", *rows]))
    splits, _ = prepared(table=table, validation=0.03, test=0.03)
    assert {u.audio.name for u in splits["train"]} >= {"long.wav"}
    assert all(u.audio.name != "long.wav" for u in splits["test"] + splits["validation"])


@pytest.mark.skipif(os.name == "nt", reason="Windows has these paths")
def test_an_absolute_path_of_windows_names_the_line(tmp_path, tone, prepared):
    tone(tmp_path / "a.wav")
    table = write(tmp_path / "t.csv", "path,text\na.wav,yes\nC:\\a.wav,no\n")
    with pytest.raises(RecipeError, match=r"t\.csv, line 3: .* is a path of Windows"):
        prepared(table=table)


def test_an_unknown_encoding_is_refused(tmp_path, prepared):
    for encoding in ("cp-nothing", "hex", "\0"):
        with pytest.raises(RecipeError, match="encoding must be the name of an encoding"):
            prepared(audio=tmp_path, encoding=encoding)


def test_names_that_no_file_can_have_are_not_found(tmp_path):
    find = FileFinder([tmp_path])
    for name in ("\0", "x" * 5000, "é\0", "é" * 5000, "..", "/", "é/../..", "\ud800"):
        assert not is_file(find(name))


NAMES = [
    "a.wav",
    "b",
    "./c.wav",
    "b.wav",
    "none.wav",
    "broken.wav",
    "",
    "é\udcff",
    "\0",
    "..",
]
TIMES = ["", "0", "0.5", "1", "0:00:01", "9", "1e3"]


@settings(max_examples=int(os.environ.get("ASR_FUZZ_CASES", "60")))
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "audio": st.sampled_from(NAMES),
                "text": st.sampled_from(["yes", "no", "", "[noise]", "?", "\ud800"]),
                "start": st.sampled_from(TIMES),
                "end": st.sampled_from(TIMES),
                "speaker": st.sampled_from(["", "ann", "bob"]),
            },
            optional={"split": st.sampled_from(["", "train", "dev", "../x"])},
        ),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from([0.0, 0.3]),
    st.sampled_from([0.0, 0.3]),
)
def test_each_row_of_a_random_table_is_used_or_listed(
    tmp_path_factory, tone, rows, validation, test
):
    root = tmp_path_factory.getbasetemp() / "random-tables"
    own = root / "own"
    if not own.exists():
        for name in ("a.wav", "b.wav", "c.wav"):
            tone(own / name, 1.5)
        write(own / "broken.wav", "nothing")
    table = write(own / "t.jsonl", "\n".join(map(json.dumps, rows)))
    try:
        written = folder(table=table, root=root, validation=validation, test=test)
    except RecipeError as error:
        assert "\n" not in str(error)
        return
    used = [u for path in written.glob("*.jsonl") for u in read_manifest(path)]
    listed = written / "left_out.txt"
    lines = listed.read_text("utf-8").splitlines() if listed.exists() else []
    skipped = [line for line in lines if not line.endswith("\tnot in the table")]
    assert len(used) + len(skipped) == len(rows)
    assert all(utterance.audio.exists() and utterance.text for utterance in used)
    assert all(utterance.offset + utterance.duration <= 1.5 for utterance in used)
