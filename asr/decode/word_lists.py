"""Lists of words and phrases from files."""

from collections.abc import Iterable
from pathlib import Path

from asr.errors import ConfigError
from asr.files import find_packaged
from asr.text import Tokenizer, normalize


def read_lines(path: Path, name: str) -> list[str]:
    """Return the lines of a text file that are not empty.

    Raises:
        ConfigError: If the file cannot be read. The message begins with `name`.
    """
    try:
        text = find_packaged(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(f"{name}: {path}: {reason}") from None
    return [line for line in text.splitlines() if line.strip()]


def unique_phrases(lines: Iterable[str]) -> list[str]:
    """Return normalized lines that are not empty, each once."""
    return list(dict.fromkeys(filter(None, map(normalize, lines))))


def read_lexicon(path: Path, hotwords: Iterable[str]) -> list[str]:
    """Return the distinct words of a file and of the hotwords.

    Raises:
        ConfigError: If the file cannot be read, is empty, or has several words in a line.
    """
    words = unique_phrases(read_lines(path, "lexicon"))
    if not words:
        raise ConfigError(f"lexicon: {path}: no words")
    for word in words:
        if " " in word:
            raise ConfigError(
                f"lexicon: {path}: {word!r} is more than one word. Use a line for each"
            )
    return list(dict.fromkeys([*words, *" ".join(hotwords).split()]))


def check_spelling(name: str, phrases: Iterable[str], tokenizer: Tokenizer) -> None:
    """Check that the tokens of a model can spell phrases.

    Raises:
        ConfigError: If a phrase has other characters. The message begins with `name`.
    """
    for phrase in phrases:
        if unknown := tokenizer.unknown(phrase):
            characters = " ".join(map(repr, unknown))
            raise ConfigError(
                f"{name}: {phrase!r} has {characters}, which the model cannot write"
            )
