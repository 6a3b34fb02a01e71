"""Lists of words and phrases from files."""

from collections.abc import Iterable
from pathlib import Path

from asr.errors import ConfigError
from asr.text import Tokenizer, normalize


def read_lines(path: Path, name: str) -> list[str]:
    """Return the lines of a text file that are not empty.

    Raises:
        ConfigError: If the file cannot be read. The message begins with `name`.
    """
    try:
        return [
            line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()
        ]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(f"{name}: {path}: {reason}") from None


def unique_phrases(lines: Iterable[str]) -> list[str]:
    """Return normalized lines that are not empty, each once."""
    return list(dict.fromkeys(filter(None, map(normalize, lines))))


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
