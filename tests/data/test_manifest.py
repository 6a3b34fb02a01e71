"""Manifests: reading returns what was written, and errors give file and line."""

import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.data.manifest import Utterance, read_manifest, read_manifests, write_manifest
from asr.errors import ManifestError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=15)
NAMES = st.text("abé ./'\"0\\", min_size=1, max_size=10).map(
    lambda name: f"audio/x{name}.wav"
)
SECONDS = st.floats(0.001, 1e5).map(lambda seconds: round(seconds, 4))
ENTRY = {"audio_filepath": "a.wav", "duration": 1.5, "text": "one"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("manifests")


def write_lines(path: Path, *entries):
    path.write_text(
        "".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8"
    )
    return path


def read_error(path):
    """Return the message of the error that reading raises."""
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@given(
    st.lists(
        st.tuples(NAMES, SECONDS, TEXT, st.just(0.0) | SECONDS, TEXT),
        min_size=1,
        max_size=5,
    )
)
def test_reading_returns_what_was_written(folder, rows):
    utterances = [Utterance(folder / name, *rest) for name, *rest in rows]
    write_manifest(folder / "sub" / "m.jsonl", utterances)
    read = read_manifest(folder / "sub" / "m.jsonl")
    for before, after in zip(utterances, read, strict=True):
        assert os.path.normpath(after.audio) == os.path.normpath(before.audio)
        assert after.duration == before.duration
        assert (after.text, after.offset, after.speaker) == (
            before.text,
            before.offset,
            before.speaker,
        )
    assert [path.name for path in (folder / "sub").iterdir()] == ["m.jsonl"]


def test_paths_are_relative_to_the_manifest_so_that_a_corpus_can_move(tmp_path):
    write_manifest(
        tmp_path / "here/manifests/m.jsonl",
        [Utterance(tmp_path / "here/audio/a.wav", 1.0, "one")],
    )
    line = json.loads((tmp_path / "here/manifests/m.jsonl").read_text())
    assert line == {"audio_filepath": "../audio/a.wav", "duration": 1.0, "text": "one"}
    (tmp_path / "here").rename(tmp_path / "there")
    (utterance,) = read_manifest(tmp_path / "there/manifests/m.jsonl")
    assert utterance.audio.resolve() == (tmp_path / "there/audio/a.wav").resolve()


@pytest.mark.parametrize("link", ["manifests", "manifests/deep", "audio", "."])
def test_paths_are_readable_if_a_folder_is_a_symbolic_link(tmp_path, link):
    (tmp_path / "disk" / "target").mkdir(parents=True)
    corpus = tmp_path / "corpus"
    (corpus / link).parent.mkdir(parents=True, exist_ok=True)
    (corpus / link).symlink_to(tmp_path / "disk" / "target")
    recording = corpus / "audio" / "a.wav"
    recording.parent.mkdir(exist_ok=True)
    recording.touch()
    for name in ("manifests/deep/m.jsonl", "other/n.jsonl"):
        write_manifest(corpus / name, [Utterance(recording, 1.0, "one")])
        (utterance,) = read_manifest(corpus / name)
        assert utterance.audio.samefile(recording)
        assert utterance.audio.name == "a.wav"
        recording = utterance.audio


def test_absolute_paths_are_kept(tmp_path):
    (utterance,) = read_manifest(
        write_lines(tmp_path / "m.jsonl", {**ENTRY, "audio_filepath": "/corpus/a.wav"})
    )
    assert utterance.audio == Path("/corpus/a.wav")


def test_nemo_manifests_are_read(tmp_path):
    entry = {
        **ENTRY,
        "offset": 2.25,
        "speaker": 7,
        "label": "infer",
        "pred_text": "x",
        "lang": "en",
    }
    path = write_lines(
        tmp_path / "m.jsonl",
        entry,
        {**ENTRY, "offset": None, "speaker": None},
        {**ENTRY, "speaker": 0},
    )
    first, second, third = read_manifest(path)
    assert first == Utterance(tmp_path / "a.wav", 1.5, "one", 2.25, "7")
    assert second == Utterance(tmp_path / "a.wav", 1.5, "one")
    assert third.speaker == "0"


def test_seconds_may_be_in_strings(tmp_path):
    entry = {**ENTRY, "duration": "1.5", "offset": "0.25"}
    (utterance,) = read_manifest(write_lines(tmp_path / "m.jsonl", entry))
    assert (utterance.duration, utterance.offset) == (1.5, 0.25)


def test_blank_lines_windows_line_ends_and_a_byte_order_mark_are_ignored(tmp_path):
    (tmp_path / "m.jsonl").write_bytes(
        f"\ufeff{json.dumps(ENTRY)}\r\n\r\n{json.dumps(ENTRY)}\r\n\n".encode()
    )
    assert len(read_manifest(tmp_path / "m.jsonl")) == 2


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"audio_filepath": "a.wav", "dur', "not JSON"),
        ("a.wav one", "not JSON"),
        ('{"duration": ' + "9" * 5000 + "}", "not JSON that can be read"),
        ("[" * 100_000, "not JSON that can be read"),
        ("[1, 2]", "must be an object"),
        ('"text"', "must be an object"),
        ('{"audio_filepath": "a.wav"}', "lacks duration, text"),
        (json.dumps({**ENTRY, "duration": "long"}), "must be > 0, got 'long'"),
        (json.dumps({**ENTRY, "duration": None}), "must be > 0, got None"),
        (json.dumps({**ENTRY, "duration": True}), "must be > 0, got True"),
        (json.dumps({**ENTRY, "duration": 10**400}), "must be > 0, got inf"),
        (json.dumps({**ENTRY, "offset": [1]}), "must be >= 0, got [1]"),
        (json.dumps({**ENTRY, "duration": 0}), "duration must be > 0, got 0"),
        (json.dumps({**ENTRY, "duration": float("nan")}), "must be > 0, got nan"),
        (
            json.dumps({**ENTRY, "member": "x", "first_byte": -1, "bytes": 1}),
            "first_byte must be",
        ),
        (
            json.dumps({**ENTRY, "member": "x", "first_byte": 0, "bytes": 1.5}),
            "bytes must be an",
        ),
        (
            json.dumps({**ENTRY, "member": "x", "first_byte": 0, "bytes": 10**400}),
            "too large",
        ),
        (json.dumps({**ENTRY, "offset": -1}), "offset must be >= 0, got -1"),
        (json.dumps({**ENTRY, "text": 5}), "text must be a string, got 5"),
        (json.dumps({**ENTRY, "audio_filepath": None}), "audio_filepath must be a string"),
    ],
)
def test_an_invalid_line_raises_an_error_with_its_number(tmp_path, line, expected):
    path = tmp_path / "m.jsonl"
    path.write_text(
        f"{json.dumps(ENTRY)}\n\n{line}\n{json.dumps(ENTRY)}\n", encoding="utf-8"
    )
    message = read_error(path)
    assert f"{path}, line 3: " in message
    assert expected in message


def test_errors_for_missing_empty_and_binary_manifests(tmp_path):
    assert "no such manifest; prepare the corpus first" in read_error(
        tmp_path / "none.jsonl"
    )
    (tmp_path / "empty.jsonl").write_text("\n\n")
    assert "the manifest is empty" in read_error(tmp_path / "empty.jsonl")
    (tmp_path / "binary.jsonl").write_bytes(b"\xff\xfe\x00")
    assert "cannot be read as a manifest" in read_error(tmp_path / "binary.jsonl")
    assert "cannot be read as a manifest" in read_error(tmp_path)


def test_several_manifests_are_concatenated(tmp_path):
    first = write_lines(tmp_path / "1.jsonl", ENTRY)
    second = write_lines(
        tmp_path / "2.jsonl", {**ENTRY, "text": "two"}, {**ENTRY, "text": "three"}
    )
    assert [u.text for u in read_manifests([second, str(first)])] == ["two", "three", "one"]
    assert read_manifests(str(first)) == read_manifests([first]) == read_manifest(first)


def test_a_failed_write_keeps_the_old_manifest(tmp_path):
    path = write_lines(tmp_path / "m.jsonl", ENTRY)

    def failing():
        yield Utterance(tmp_path / "b.wav", 1.0, "two")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_manifest(path, failing())
    assert [u.text for u in read_manifest(path)] == ["one"]


def test_the_name_of_a_segment_has_offset_and_duration():
    assert Utterance(Path("a.wav"), 2.0, "x").name == "a.wav"
    assert Utterance(Path("a.wav"), 2.0, "x", offset=1.5).name == "a.wav@1.5+2"


@pytest.mark.skipif(os.name == "nt", reason="names of Windows are Unicode")
def test_names_that_are_not_utf_8_survive(tmp_path):
    recording = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    write_manifest(tmp_path / "m.jsonl", [Utterance(recording, 1.0, "naïve")])
    assert "naïve" in (tmp_path / "m.jsonl").read_text(encoding="utf-8")
    (utterance,) = read_manifest(tmp_path / "m.jsonl")
    assert os.fsencode(utterance.audio) == os.fsencode(recording)


@pytest.mark.skipif(os.name == "nt", reason="Windows has these paths")
@pytest.mark.parametrize("name", ["C:\\data\\a.wav", "d:/data/a.wav", "\\\\server\\a.wav"])
def test_an_absolute_path_of_windows_is_an_error_elsewhere(tmp_path, name):
    path = write_lines(tmp_path / "m.jsonl", {**ENTRY, "audio_filepath": name})
    assert "is a path of Windows, which this system does not have. Use" in read_error(path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has these paths")
def test_a_relative_path_of_windows_is_found(tmp_path):
    path = write_lines(tmp_path / "m.jsonl", {**ENTRY, "audio_filepath": "wavs\\a.wav"})
    assert read_manifest(path)[0].audio == tmp_path / "wavs\\a.wav"
    (tmp_path / "wavs").mkdir()
    (tmp_path / "wavs" / "a.wav").touch()
    assert read_manifest(path)[0].audio == tmp_path / "wavs" / "a.wav"
    (tmp_path / "wavs\\a.wav").touch()
    assert read_manifest(path)[0].audio == tmp_path / "wavs\\a.wav"


def test_a_recording_on_another_drive_has_an_absolute_path(tmp_path, monkeypatch):
    def relpath(*_):
        raise ValueError("path is on mount 'C:', start on mount 'D:'")

    monkeypatch.setattr("os.path.relpath", relpath)
    write_manifest(tmp_path / "m.jsonl", [Utterance(tmp_path / "a.wav", 1.0, "one")])
    assert read_manifest(tmp_path / "m.jsonl")[0].audio == tmp_path / "a.wav"


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["a.wav", "1.5", "\0", "x" * 300, "C:\\a", "\\", "\ud800", "s3://"]),
    lambda values: (
        st.lists(values, max_size=2)
        | st.dictionaries(st.text(max_size=3), values, max_size=2)
    ),
    max_leaves=4,
)
KEYS = st.sampled_from(
    [
        "audio_filepath",
        "duration",
        "text",
        "offset",
        "speaker",
        "member",
        "first_byte",
        "bytes",
    ]
)
LINES = (
    st.dictionaries(KEYS, VALUES)
    .map(lambda entry: json.dumps(ENTRY | entry))
    .map(lambda line: line.encode(errors="surrogatepass"))
    | VALUES.map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=20)
)


@settings(max_examples=int(os.environ.get("ASR_FUZZ_CASES", "200")))
@given(st.lists(LINES | st.just(json.dumps(ENTRY).encode()), max_size=4), st.data())
def test_a_random_manifest_is_read_or_refused_in_one_line(folder, lines, data):
    content = b"\n".join(lines)
    if data.draw(st.booleans()):  # damage
        position = data.draw(st.integers(0, len(content)))
        content = (
            content[:position] + data.draw(st.binary(max_size=2)) + content[position + 1 :]
        )
    path = folder / "random.jsonl"
    path.write_bytes(content)
    try:
        utterances = read_manifest(path)
    except ManifestError as error:
        assert "\n" not in str(error)
        return
    assert utterances
    for utterance in utterances:
        assert 0 < utterance.duration < math.inf
        assert 0 <= utterance.offset < math.inf
    if min(utterance.duration for utterance in utterances) < 1e-4:
        return  # it rounds to 0
    write_manifest(folder / "copy.jsonl", utterances)
    texts = [utterance.text for utterance in read_manifest(folder / "copy.jsonl")]
    assert texts == [utterance.text for utterance in utterances]
