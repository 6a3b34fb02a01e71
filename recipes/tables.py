"""Read tables of recordings and transcripts: CSV, TSV, JSON, and LJSpeech's format."""

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

from asr.audio import ROUNDING
from asr.data.manifest import parse_json
from asr.validation import check_number
from recipes.console import console
from recipes.errors import RecipeError, convert_errors

# Names of columns in the order of preference, in lower case and with _ between words
COLUMNS = {
    "audio": (
        *("audio_filepath", "audio", "path", "file", "filename", "file_name", "wav"),
        *("audio_file", "audio_path", "file_path", "filepath", "wav_filename", "wav_path"),
    ),
    "text": ("text", "sentence", "transcript", "transcription"),
    "speaker": ("speaker", "client_id", "speaker_id", "speaker_name"),
    "split": ("split", "subset"),
    "start": ("offset", "start", "start_time", "start_seconds", "begin"),
    "end": ("end", "end_time", "end_seconds", "stop"),
    "duration": ("duration", "duration_seconds"),
    "channel": ("channel",),
}
IGNORED = {"wav_filesize"}  # columns that the audio makes superfluous
DELIMITERS = "\t|,;"
BYTE_ORDER_MARKS = (  # UTF-32 first, because its mark starts with that of UTF-16
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # .xlsx and .ods, .xls
UTF_16_SHARE = 0.2  # least share of zeros among the even or the odd bytes of UTF-16

_SEPARATOR_LINE = re.compile(r"\"?sep=(\t|[^\w\s\"])\"?\s*", re.IGNORECASE)
_CLOCK_TIME = re.compile(r"(\d+):([0-5]?\d):([0-5]?\d(?:[.,]\d+)?)")

Fields = dict[str, str]  # fields of a row by column


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table.

    Attributes:
        place: Table and line, for error messages.
        fields: Fields by the keys of COLUMNS, "" if missing.
        columns: Names of their columns in the table.
    """

    place: str
    fields: Fields
    columns: dict[str, str]

    def span(self) -> tuple[float, float | None]:
        """Return offset and duration in seconds. A duration of None extends to the end.

        Raises:
            RecipeError: If a time is invalid or contradicts another one.
        """
        start, end, duration = (self._seconds(key) for key in ("start", "end", "duration"))
        start = start or 0.0
        if end is None:
            return start, duration
        length = round(end - start, 6)
        if length <= 0:
            raise RecipeError(f"{self.place}: end {end:g} must be after start {start:g}.")
        if duration is not None and abs(duration - length) > ROUNDING:
            problem = f"duration {duration:g} is not end - start = {length:g}"
            raise RecipeError(f"{self.place}: {problem}. Remove one of these columns.")
        return start, length

    def channel(self) -> int | None:
        """Return the number of the channel from 1, or None if the row has none.

        Raises:
            RecipeError: If it is something else.
        """
        text = self.fields["channel"].strip().removesuffix(".0")  # pandas writes 1.0
        if text and not re.fullmatch("[1-9][0-9]?", text):
            problem = f"{self.place}, column channel: must be a number from 1, got {text!r}"
            raise RecipeError(f"{problem}. Rename the column if it has another meaning.")
        return int(text) if text else None

    def _seconds(self, key: str) -> float | None:
        text = self.fields[key].strip()
        if not text:
            return None
        problem = f"{self.place}, column {self.columns[key]}"
        with convert_errors(ValueError, problem=problem):
            return parse_seconds(text)


def read_table(table: Path, encoding: str = "") -> list[Row]:
    """Return the rows of a table, and print the names of unused columns.

    Args:
        table: CSV, TSV, or JSON file, or LJSpeech's metadata.
        encoding: Encoding of the file. "" detects UTF-8 and UTF-16.

    Raises:
        RecipeError: If the table cannot be read, or a row is invalid.
    """
    with convert_errors(OSError, ValueError, problem=f"table={table} cannot be read"):
        text = decode_text(table.read_bytes(), encoding)
    start = text.lstrip()[:1]
    if start == "{":
        rows = list(_read_json_lines(table, text))
    elif start == "[":
        rows = list(_read_json_list(table, text))
    else:
        rows = list(_read_csv(table, text))
    existing = dict.fromkeys(column for _, fields in rows for column in fields)
    if rows:
        _check_columns(table, existing)
    resolved = [_resolve(place, fields) for place, fields in rows]
    used = {column for row in resolved for column in row.columns.values()}
    if unused := [column or '""' for column in existing if column not in used | IGNORED]:
        console.print(f"{table}: unused columns: {shorten(', '.join(unused), 400)}")
    return resolved


def decode_text(data: bytes, encoding: str = "") -> str:
    """Return the text of a file.

    Args:
        data: Content of the file.
        encoding: Name of the encoding. "" detects UTF-8 and UTF-16.

    Raises:
        ValueError: If it is not text in this encoding. The message gives the fix.
    """
    if data.startswith(WORKBOOKS):
        raise ValueError("a workbook. Save it as CSV (UTF-8) in the spreadsheet program")
    encoding = encoding or _detect_encoding(data)
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = f"byte 0x{data[error.start]:02x} in line {line} is not {encoding}"
        fix = "Save it as UTF-8 or pass its encoding, such as encoding=cp1252"
        raise ValueError(f"{problem}. {fix}") from None


def parse_seconds(text: str) -> float:
    """Return the seconds of a number or of h:mm:ss.

    Raises:
        ValueError: If the text is something else, or below 0.
    """
    if match := _CLOCK_TIME.fullmatch(text):
        hours, minutes, seconds = match[1], match[2], match[3].replace(",", ".")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    if re.fullmatch(r"\d+:\d+([.,]\d+)?", text):
        raise ValueError(f"{text!r} is ambiguous. Write seconds or h:mm:ss")
    if decimal := re.fullmatch(
        r"(\d+),(\d+)", text
    ):  # spreadsheets write it in many languages
        if len(decimal[2]) == 3 and int(decimal[1]):
            raise ValueError(f"{text!r} is ambiguous. Write a decimal point")
        text = text.replace(",", ".")
    return check_number("seconds", float(text), ge=0)


def _detect_encoding(data: bytes) -> str:
    for mark, encoding in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return encoding
    sample = data[:4096]
    even, odd = sample[::2], sample[1::2]
    if not even.count(0) and odd.count(0) > UTF_16_SHARE * len(odd):
        return "utf-16-le"
    if not odd.count(0) and even.count(0) > UTF_16_SHARE * len(even):
        return "utf-16-be"
    return "utf-8"


def _read_json_lines(table: Path, text: str) -> Iterator[tuple[str, Fields]]:
    for number, line in enumerate(text.split("\n"), 1):  # texts may contain U+2028
        if line.strip():
            place = f"{table}, line {number}"
            with convert_errors(ValueError, problem=place):
                value = parse_json(line)
            yield place, _json_fields(place, value)


def _read_json_list(table: Path, text: str) -> Iterator[tuple[str, Fields]]:
    with convert_errors(ValueError, problem=str(table)):
        values = parse_json(text)
    for number, value in enumerate(values, 1):
        place = f"{table}, entry {number}"
        yield place, _json_fields(place, value)


def _json_fields(place: str, value: Any) -> Fields:
    """Return the fields of a JSON object as text.

    Raises:
        RecipeError: If the value is not an object, or a field of a known column is not text.
    """
    if not isinstance(value, dict):
        example = '{"audio": ..., "text": ...}'
        raise RecipeError(f"{place}: not an object such as {example}.")
    known = {name for names in COLUMNS.values() for name in names}
    fields: Fields = {}
    for key, item in value.items():
        column = _column_name(key)
        if column in known:
            if not isinstance(item, str | int | float | None) or isinstance(item, bool):
                raise RecipeError(f"{place}: {key} must be text or a number, got {item!r}.")
            if column in fields:
                raise RecipeError(f"{place}: {column} occurs twice. Rename one of them.")
        is_missing = item is None or item != item  # NaN, as pandas writes it
        fields[column] = "" if is_missing else str(item)
    return fields


def _read_csv(table: Path, text: str) -> Iterator[tuple[str, Fields]]:
    lines = io.StringIO(
        text, newline=""
    )  # other line breaks than \n and \r belong to a text
    header, skipped = _next_line(lines)
    if separator := _SEPARATOR_LINE.fullmatch(header):  # Excel's
        header, blank = _next_line(lines)
        skipped += blank
    with convert_errors(csv.Error, problem=f"{table}, line {skipped}"):
        delimiter, has_header = _choose_delimiter(header)
    delimiter = separator[1] if separator else delimiter
    # Commas and semicolons occur in transcripts, which are then quoted. In other formats, a quote
    # is an ordinary character. Without `strict`, a quote that is never closed swallows all rows.
    is_quoted = delimiter not in "\t|" or header.startswith('"')
    reader = csv.reader(
        [header, *lines],
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if is_quoted else csv.QUOTE_NONE,
        strict=True,
        skipinitialspace=is_quoted,
    )
    columns = None
    while True:
        place = f"{table}, line {reader.line_num + skipped}"
        fields = _next_row(place, reader)
        if fields is None:
            return
        if columns is None:
            read = _read_header if has_header else _ljspeech_columns
            columns = read(place, fields)
            _check_columns(table, columns, "The first row must name the columns.")
            if has_header:
                continue
        if any(map(str.strip, fields)):
            _check_size(place, fields, columns, delimiter)
            yield place, dict(zip(columns, fields, strict=False))


def _next_line(lines: io.StringIO) -> tuple[str, int]:
    """Return the next line that is not blank, and how many lines were read."""
    for count, line in enumerate(lines, 1):
        if line.strip():
            return line, count
    return "", 1


def _choose_delimiter(header: str) -> tuple[str, bool]:
    """Return the delimiter of a table, and whether its first line names columns."""
    found: list[tuple[int, int, str]] = []
    for delimiter in DELIMITERS:
        fields = next(csv.reader([header], delimiter=delimiter, skipinitialspace=True), [])
        columns = set(map(_column_name, fields))
        roles = sum(not columns.isdisjoint(COLUMNS[key]) for key in ("audio", "text"))
        found.append((roles, header.count(delimiter), delimiter))
    roles, _, delimiter = max(found, key=lambda item: item[:2])
    if not roles and "|" in header:  # LJSpeech
        return "|", False
    return delimiter, True


def _next_row(place: str, reader: Any) -> list[str] | None:
    fix = "A field that starts with a quote must end with one. Double the quotes inside it."
    with convert_errors(csv.Error, problem=place, fix=fix):
        return next(reader, None)


def _read_header(place: str, fields: Sequence[str]) -> list[str]:
    columns = list(map(_column_name, fields))
    known = {name for names in COLUMNS.values() for name in names}
    for column in known.intersection(columns):
        if columns.count(column) > 1:
            raise RecipeError(
                f"{place}: two columns are named {column}. Rename one of them."
            )
    while columns and not columns[-1]:
        columns.pop()  # spreadsheets pad rows
    return columns


def _ljspeech_columns(place: str, fields: Sequence[str]) -> list[str]:
    return ["audio", "original", "text"] if len(fields) > 2 else ["audio", "text"]


def _check_size(place: str, fields: list[str], columns: list[str], delimiter: str) -> None:
    size, wanted = len(fields), len(columns)
    if size < wanted or any(map(str.strip, fields[wanted:])):
        name = {"\t": "tabs", "|": "bars", ",": "commas", ";": "semicolons"}.get(
            delimiter, delimiter
        )
        counts = f"{size} field{'s' * (size != 1)}, but the header has {wanted}"
        fix = (
            f"Quote texts that contain {name}, or separate all fields by another character."
        )
        if delimiter in "\t|":
            fix = f"Remove {name} and line breaks inside the texts."
        raise RecipeError(f"{place}: {counts}. {fix}")


def _column_name(column: str) -> str:
    return re.sub(r"[\s-]+", "_", column.strip().strip('"').lower())


def _check_columns(table: Path, columns: Iterable[str], fix: str = "") -> None:
    for key in ("audio", "text"):
        if set(columns).isdisjoint(COLUMNS[key]):
            existing = shorten(", ".join(sorted(filter(None, columns))), 200) or "none"
            names = ", ".join(COLUMNS[key])
            problem = f"{table}: no {key} column ({names}). Columns: {existing}. {fix}"
            raise RecipeError(problem.rstrip())


def _resolve(place: str, fields: Fields) -> Row:
    columns = {}
    for key, names in COLUMNS.items():
        column = next((name for name in names if name in fields), None)
        if column:
            columns[key] = column
    values = {key: fields[columns[key]] if key in columns else "" for key in COLUMNS}
    return Row(place, values, columns)
