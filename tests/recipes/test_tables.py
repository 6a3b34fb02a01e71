"""Tables of recordings and transcripts: formats, encodings, times, and errors."""

import codecs
import json
import os
import string
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recipes.errors import RecipeError
from recipes.tables import COLUMNS, decode_text, parse_seconds, read_table


@pytest.fixture
def read(tmp_path):
    """Return read(content, encoding), which returns the rows of a table as (audio, text)."""

    def read(content, encoding=""):
        path = tmp_path / "table.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        rows = read_table(path, encoding)
        return [(row.fields["audio"], row.fields["text"]) for row in rows]

    return read


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (
            'path,text\n0.wav,"a, b"\n1.wav, "c, d"\n',
            [("0.wav", "a, b"), ("1.wav", "c, d")],
        ),
        ("sep=;\r\npath;text\r\n0.wav;a, b\r\n", [("0.wav", "a, b")]),
        ('"sep=,"\n\npath,text\n0.wav,a\n', [("0.wav", "a")]),
        ("path;text, spoken;text\n0.wav;x;a\n", [("0.wav", "a")]),
        ("audio_file|text|speaker_name\n0.wav|a, b|ann\n", [("0.wav", "a, b")]),
        ("wav_filename,wav_filesize,transcript\n0.wav,9,a\n", [("0.wav", "a")]),
        ('client_id\tpath\tsentence\n1\t0.mp3\t"A," b\n', [("0.mp3", '"A," b')]),
        ('"path"\t"text"\n"0.wav"\t"a\tb\nc"\n', [("0.wav", "a\tb\nc")]),
        ("Audio File,Text\n0.wav,a\n", [("0.wav", "a")]),
        ("path,text,,\n0.wav,a,,\n,,,\n\n1.wav,b\n", [("0.wav", "a"), ("1.wav", "b")]),
        ("path,text\n0.wav,a\n1.wav,b,\n", [("0.wav", "a"), ("1.wav", "b")]),
        ("0|In the, only, sense, of|in\n1|b|c\n", [("0", "in"), ("1", "c")]),
        ('path,text\n0.wav,"one\nrow"\n', [("0.wav", "one\nrow")]),
        (
            '[{"path": "0", "text": "a"},\n {"path": "1", "text": NaN}]',
            [("0", "a"), ("1", "")],
        ),
    ],
)
def test_tables_of_common_programs_are_read(read, content, rows):
    assert read(content) == rows


@pytest.mark.parametrize("line_break", "\v\f\x1c\x1d\x1e\x85\u2028\u2029")
def test_only_line_feeds_and_carriage_returns_end_a_row(read, line_break):
    text = f"good morning{line_break}everybody"
    for header, row in (("path,text", f"0.wav,{text}"), ("path\ttext", f"0.wav\t{text}")):
        for end in ("\n", "\r\n", "\r"):
            rows = read(f"{header}{end}{row}{end}1.wav{header[4]}b{end}")
            assert rows == [("0.wav", text), ("1.wav", "b")]
    line = json.dumps({"audio": "0.wav", "text": text}, ensure_ascii=False)
    if line_break >= "\x85":  # JSON escapes the others
        assert read(f"{line}\n{line}\n") == [("0.wav", text)] * 2


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
def test_unicode_encodings_are_detected(read, encoding):
    rows = read("path;text\n0.wav;Grüße, schön\n".encode(encoding))
    assert rows == [("0.wav", "Grüße, schön")]


def test_utf_16_with_a_byte_order_mark_is_detected_for_any_script(read):
    content = codecs.BOM_UTF16_BE + "path\ttext\n0.wav\tпривет\n".encode("utf-16-be")
    assert read(content) == [("0.wav", "привет")]


def test_other_encodings_are_requested_in_one_line(read):
    content = "path,text\n0.wav,a\n1.wav,Grüße\n".encode("cp1252")
    message = r"byte 0xfc in line 3 is not utf-8\. Save it .* such as encoding=cp1252\.$"
    with pytest.raises(RecipeError, match=message):
        read(content)
    assert read(content, "cp1252")[1] == ("1.wav", "Grüße")
    with pytest.raises(RecipeError, match="byte 0x81 in line 1 is not cp1252"):
        read(b"path,text\x81\n", "cp1252")


def test_a_workbook_is_refused_with_the_fix(read):
    with pytest.raises(RecipeError, match=r"a workbook\. Save it as CSV \(UTF-8\)"):
        read(b"PK\x03\x04\x14\x00")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "path,text\n0.wav,hello, how are you\n",
            r"line 2: 3 fields, but the header has 2\. Quote texts that contain commas",
        ),
        ("path,text\n0.wav,a\n\n1.wav\n", r"line 4: 1 field, but the header has 2\. Quote"),
        ("path\ttext\n0.wav\ta\nb\n", r"line 3: 1 field, .* Remove tabs and line breaks"),
        ('path,text\n0.wav,"a\nb"\n1.wav,b,c\n', r"line 4: 3 fields"),
        ("sep=;\npath;text\n0.wav;a;b\n", r"line 3: 3 fields, .* contain semicolons"),
        ("path,text,text\n0.wav,a,b\n", r"line 1: two columns are named text\. Rename"),
        (
            '{"path": "0", "text": ["a"]}',
            r"line 1: text must be text or a number, got \['a'\]",
        ),
        ('{"path": "0", "text": "a", "Text": "b"}', r"line 1: text occurs twice"),
        ("a.wav,hello\n", r"Columns: a\.wav, hello\. The first row must name the columns"),
        ("", r"no audio column .* Columns: none\."),
        ('[{"path": "0"}, 1]', r"entry 2: not an object"),
        ("[1", r"table\.csv: not JSON"),
        ('path,text\n0.wav,"' + "a" * 200_000, r"line 2: .*larger than field limit"),
    ],
)
def test_an_invalid_row_is_one_line_with_place_and_fix(read, content, message):
    with pytest.raises(RecipeError, match=message) as caught:
        read(content)
    assert "\n" not in str(caught.value)


def test_unused_columns_are_listed_once(read, capsys):
    read("path,text,age,,wav_filesize\n0.wav,a,1,2,3\n1.wav,b,1,2,3\n")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith('table.csv: unused columns: age, ""')


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3", 3),
        ("2.5", 2.5),
        ("2,5", 2.5),
        ("0,125", 0.125),
        ("0:00:03", 3),
        ("1:02:03.5", 3723.5),
        ("00:00:01,250", 1.25),
    ],
)
def test_times_are_seconds_or_hours_minutes_and_seconds(text, seconds):
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1:30", "ambiguous. Write seconds or h:mm:ss"),
        ("0:99:00", "convert"),
        ("-1", ">= 0"),
    ],
)
def test_other_times_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_seconds(text)


@pytest.mark.parametrize(
    ("columns", "times", "span"),
    [
        ("start,end", "3,6", (3, 3)),
        ("begin,stop", "0:00:03,0:00:05", (3, 2)),
        ("offset,duration", "1,2", (1, 2)),
        ("start,end,duration", "1,3.5,2.5", (1, 2.5)),
        ("start,end", "6.1,", (6.1, None)),
        ("start,end", ",", (0, None)),
    ],
)
def test_start_end_and_duration_give_the_span(tmp_path, columns, times, span):
    path = tmp_path / "t.csv"
    path.write_text(f"path,text,{columns}\n0.wav,a,{times}\n")
    assert read_table(path)[0].span() == span


@pytest.mark.parametrize(
    ("columns", "times", "message"),
    [
        ("start,end", "3,3", r"line 2: end 3 must be after start 3"),
        ("start,end,duration", "0,3,9", r"line 2: duration 9 is not end - start = 3"),
        ("start,end", "0,1:30", r"line 2, column end: '1:30' is ambiguous"),
        ("start,end", "0,nan", r"line 2, column end: seconds must be >= 0, got nan"),
    ],
)
def test_contradicting_times_are_refused(tmp_path, columns, times, message):
    path = tmp_path / "t.csv"
    path.write_text(f"path,text,{columns}\n0.wav,a,{times}\n")
    with pytest.raises(RecipeError, match=message):
        read_table(path)[0].span()


FUZZ = settings(max_examples=int(os.environ.get("ASR_FUZZ_CASES", "200")))
CELLS = st.text(max_size=8) | st.sampled_from(
    ["a.wav", '"', '"a, b"', "1", "-1", "1:30", "nan", "sep=;", "é\u2028", "\0", "x" * 300]
)
HEADERS = st.lists(
    st.sampled_from([name for names in COLUMNS.values() for name in names]) | CELLS,
    max_size=5,
)


@FUZZ
@given(
    st.lists(
        st.tuples(
            st.text(string.ascii_letters + " é", min_size=1, max_size=5).map(str.strip),
            st.text(max_size=12),
        ),
        max_size=4,
    ),
    st.sampled_from(",;"),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from(["\n", "\r\n"]),
)
@example([("a", '"\v\x85\r\n,;')], ",", "utf-8", "\r\n")
def test_quoted_tables_are_read_as_they_were_written(
    tmp_path_factory, rows, delimiter, encoding, end
):
    rows = [
        (name or "x", text.encode(errors="ignore").decode()) for name, text in rows
    ]  # without surrogates
    path = tmp_path_factory.getbasetemp() / "quoted.csv"
    lines = [("path", "text"), *rows]
    cells = [['"' + cell.replace('"', '""') + '"' for cell in line] for line in lines]
    content = "".join(delimiter.join(line) + end for line in cells)
    path.write_bytes(content.encode(encoding))
    if not rows:
        assert read_table(path) == []
        return
    read = [(row.fields["audio"], row.fields["text"]) for row in read_table(path)]
    assert read == rows


@FUZZ
@given(
    HEADERS,
    st.lists(st.lists(CELLS, max_size=5), max_size=4),
    st.sampled_from(",;|\t"),
    st.sampled_from(["utf-8", "utf-16", "cp1252", "utf-16-be"]),
    st.binary(max_size=3),
    st.integers(0, 200),
)
def test_a_random_table_is_read_or_refused_in_one_line(
    tmp_path_factory, header, rows, delimiter, encoding, damage, position
):
    path = tmp_path_factory.getbasetemp() / "random.csv"
    text = "\n".join(delimiter.join(row) for row in [header, *rows])
    content = text.encode(encoding, errors="replace")
    path.write_bytes(content[:position] + damage + content[position:])
    try:
        for row in read_table(path):
            offset, duration = row.span()
            assert offset >= 0
            assert duration is None or duration >= 0
            assert row.fields.keys() == COLUMNS.keys()
    except RecipeError as error:
        assert str(path) in str(error)
        assert "\n" not in str(error).replace(str(path), "")


@FUZZ
@given(st.binary(max_size=40), st.sampled_from(["", "cp1252", "utf-16", "shift_jis"]))
def test_random_bytes_are_decoded_or_refused(data, encoding):
    try:
        assert isinstance(decode_text(data, encoding), str)
    except ValueError as error:
        assert "\n" not in str(error)


@FUZZ
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["path", "text", "Text", "end", "x"]) | st.text(max_size=2),
            st.none() | st.booleans() | st.integers() | st.floats() | CELLS | st.just([]),
        ),
        max_size=3,
    ),
    st.booleans(),
)
def test_random_json_is_read_or_refused_in_one_line(tmp_path_factory, entries, as_list):
    path = tmp_path_factory.getbasetemp() / "random.jsonl"
    lines = [json.dumps(entry) for entry in entries]
    path.write_text(json.dumps(entries) if as_list else "\n".join(lines))
    try:
        for row in read_table(Path(path)):
            row.span()
    except RecipeError as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)
