"""N-gram language models, read by KenLM: ARPA or KenLM's binary, of words or of characters."""

import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from asr.errors import ConfigError

Unit = Literal["words", "characters"]
NATS = math.log(10)  # KenLM counts in powers of ten
_BINARY = b"mmap lm http://kheafield.com/code"
_UNKNOWN = "<unk>"
_MARKS = {"<s>", "</s>", _UNKNOWN}


class LanguageModel:
    """KenLM over a vocabulary: the word or character `entries[i]` has the index i; what it does not know is <unk>."""

    def __init__(self, path: Path, entries: Sequence[str]) -> None:
        """Raises ConfigError where the file is none that KenLM can read."""
        from flashlight.lib.text.decoder.kenlm import KenLM
        from flashlight.lib.text.dictionary import Dictionary

        names = list(dict.fromkeys((*entries, _UNKNOWN)))
        dictionary = Dictionary()
        for name in names:
            dictionary.add_entry(name)
        self._index = {name: i for i, name in enumerate(names)}
        try:
            with _quiet():
                self.kenlm: Any = KenLM(str(path), dictionary)
        except RuntimeError as error:
            reason = " ".join(str(error).split()) or "damaged or cut off"
            raise ConfigError(f"decoder.lm: {path}: KenLM cannot read it ({reason})") from None

    def first(self, index: int) -> float:
        """log10 of the probability of an entry at the beginning of a sentence."""
        return float(self.kenlm.score(self.kenlm.start(False), index)[1])

    def log_prob(self, words: Sequence[str]) -> float:
        """Log probability in nats of a sentence and its end."""
        state, total = self.kenlm.start(False), 0.0
        for word in words:
            state, score = self.kenlm.score(state, self._index.get(word, self._index[_UNKNOWN]))
            total += score
        return (total + float(self.kenlm.finish(state)[1])) * NATS


def read_vocabulary(path: Path) -> list[str] | None:
    """The words or characters of an ARPA file, without its marks; None for a binary, which does not tell.

    Raises ConfigError for a file that is neither.
    """
    if not path.is_file():
        raise ConfigError(
            f"decoder.lm: {path}: no such language model; python -m recipes.lm makes one"
        )
    with path.open("rb") as file:
        if file.read(len(_BINARY)) == _BINARY:
            return None
        file.seek(0)
        found: list[str] | None = None
        for line in file:
            text = line.strip()
            if found is None:
                found = [] if text == b"\\1-grams:" else None
                if text and not text.startswith((b"\\data\\", b"ngram ", b"\\1-grams:")):
                    break
            elif text.startswith(b"\\"):
                return found
            elif text:
                found.append(
                    text.split(b"\t")[1].decode("utf-8", "replace") if b"\t" in text else ""
                )
    if found is None:
        raise ConfigError(f"decoder.lm: {path}: neither ARPA nor a binary of KenLM")
    raise ConfigError(f"decoder.lm: {path}: cut off among its words")


def detect_unit(names: Sequence[str]) -> Unit:
    """What a model is of, by its entries."""
    return "characters" if all(len(name) == 1 for name in names if name not in _MARKS) else "words"


@contextmanager
def _quiet() -> Iterator[None]:
    """KenLM draws a bar on standard error while it reads."""
    sys.stderr.flush()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
