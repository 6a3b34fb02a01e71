"""Lists of what a recipe leaves out: files of lines, and the tags and symbols of transcripts."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from asr.data.filter import count_tags
from asr.text import find_tags, is_symbol, normalize
from recipes.console import console


def write_lines(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Write rows of fields separated by tabs. Without rows, remove the file."""
    path.unlink(missing_ok=True)
    lines = ["\t".join(map(printable, row)) + "\n" for row in rows]
    if lines:
        path.write_text("".join(lines), encoding="utf-8")


def printable(text: str) -> str:
    """Return a text in one line, with escapes for line breaks and for what is not Unicode."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def report_tags(path: Path, rows: Iterable[tuple[str, str, str]]) -> None:
    """Write the tags that are not part of the transcripts, and print their counts.

    Symbols such as % stay in the transcripts, so only their counts are printed.

    Args:
        path: File to write.
        rows: Split, name, and transcript as published of each recording.
    """
    lines, tags, symbols = [], Counter[str](), Counter[str]()
    for split, name, text in rows:
        symbols.update(filter(is_symbol, normalize(text)))
        if found := find_tags(text):
            tags.update(found)
            lines.append((split, name, " ".join(found)))
    write_lines(path, lines)
    if tags:
        counts = count_tags(tags.most_common())
        console.print(f"tags that are not transcribed: {counts}. See {path}.")
    if symbols:
        counts = count_tags(symbols.most_common())
        fix = "Write them as words, or train with data.on_unknown=drop"
        console.print(f"symbols without a token: {counts}. {fix}.")
