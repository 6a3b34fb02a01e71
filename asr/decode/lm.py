"""N-gram language models of words or characters, read by KenLM from ARPA or KenLM binary files."""

import gzip
import math
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Literal, NamedTuple

from flashlight.lib.text.decoder.kenlm import KenLM
from flashlight.lib.text.dictionary import Dictionary

from asr.errors import ConfigError
from asr.files import find_packaged

Unit = Literal["words", "characters"]
NATS = math.log(10)  # KenLM returns logarithms to base 10
_BINARY = b"mmap lm http://kheafield.com/code"
_UNKNOWN = "<unk>"
_SPECIAL = {"<s>", "</s>", _UNKNOWN}


class LanguageModelFile(NamedTuple):
    """A file of a language model, its unit, and its entries, or None for a binary file."""

    path: Path
    unit: Unit
    entries: list[str] | None


class LanguageModel:
    """KenLM over a vocabulary. `entries[i]` has the index i, and other words are <unk>."""

    def __init__(self, path: Path, entries: list[str]) -> None:
        """Read an ARPA file (perhaps .gz) or a KenLM binary file.

        Raises:
            ConfigError: If KenLM cannot read the file.
        """
        self._dictionary = Dictionary(list(dict.fromkeys([*entries, _UNKNOWN])))
        self._dictionary.set_default_index(self._dictionary.get_index(_UNKNOWN))
        try:
            with _silence_stderr():  # KenLM draws a progress bar
                self.kenlm = KenLM(str(path), self._dictionary)
        except RuntimeError as error:
            reason = " ".join(str(error).split()) or "damaged or truncated"
            raise ConfigError(f"lm: {path}: KenLM cannot read it ({reason})") from None

    def initial_score(self, index: int) -> float:
        """Return log10 of the probability that a sentence begins with an entry."""
        _, score = self.kenlm.score(self.kenlm.start(False), index)
        return score

    def log_prob(self, words: list[str]) -> float:
        """Return the log-probability of a sentence and its end in nats."""
        total = 0.0
        state = self.kenlm.start(False)
        for word in words:
            state, score = self.kenlm.score(state, self._dictionary.get_index(word))
            total += score
        _, score = self.kenlm.finish(state)
        return (total + score) * NATS


def inspect_lm(
    path: str | Path | None, unit: Unit | Literal["auto"], *, has_lexicon: bool
) -> LanguageModelFile | None:
    """Return what a file holds, if there is one. "auto" derives the unit from an ARPA file.

    Raises:
        ConfigError: If the file is not a language model.
        ValueError: If the unit is unknown, does not fit the file, or if a binary file needs one or
            a lexicon.
    """
    if unit not in ("auto", "words", "characters"):
        raise ValueError(f"lm_unit must be auto, words, or characters, got {unit!r}")
    if path is None:
        return None
    path = find_packaged(Path(path))
    entries = read_vocabulary(path)
    if entries is None:
        if unit == "auto":
            raise ValueError(
                f"lm_unit must be words or characters if lm is a binary file: {path}"
            )
        if unit == "words" and not has_lexicon:
            raise ValueError(
                f"lexicon must list the words of lm if that is a binary file: {path}"
            )
    elif unit == "auto":
        unit = "words" if any(map(_is_long, entries)) else "characters"
    elif unit == "characters" and any(map(_is_long, entries)):
        raise ValueError(f"lm_unit must be words or auto: {path} is a model of words")
    return LanguageModelFile(path, unit, entries)


def _is_long(entry: str) -> bool:
    """Return whether an entry of a language model is longer than a character."""
    return len(entry) > 1 and entry not in _SPECIAL


def read_vocabulary(path: Path) -> list[str] | None:
    """Return the unigrams of an ARPA file, or None for a binary file, which does not list them.

    Raises:
        ConfigError: If the file is neither.
    """
    if not path.is_file():
        raise ConfigError(
            f"lm: {path}: no such file. Estimate a model with python -m recipes.lm"
        )
    with _open(path) as file:
        if file.peek(len(_BINARY)).startswith(_BINARY):
            return None
        lines = filter(None, map(bytes.strip, file))
        header = (b"\\data\\", b"ngram ")
        body = (line for line in lines if not line.startswith(header))
        if next(body, b"") != b"\\1-grams:":
            raise ConfigError(f"lm: {path}: neither an ARPA file nor a KenLM binary file")
        words: list[str] = []
        for line in lines:
            if line.startswith(b"\\"):
                return words
            word = line.partition(b"\t")[2].partition(b"\t")[0]
            words.append(word.decode("utf-8", "replace"))
    raise ConfigError(f"lm: {path}: truncated in its list of words")


@contextmanager
def _open(path: Path) -> Iterator[BufferedReader | gzip.GzipFile]:
    """Open a file, which may be compressed (.gz).

    Raises:
        ConfigError: If a compressed file is damaged.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ConfigError(f"lm: {path}: damaged or truncated ({error})") from None


@contextmanager
def _silence_stderr() -> Iterator[None]:
    """Discard what native code writes to standard error."""
    sys.stderr.flush()
    saved = os.dup(2)
    with Path(os.devnull).open("wb") as null:
        os.dup2(null.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
