"""Transcripts: one normaliser for references and hypotheses alike, and the tokens that a model emits."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from asr.errors import TextError

BLANK = 0  # index of CTC's blank; labels count from 1
BAR = "|"  # the space in a language model of characters, for ARPA parts its entries by white space
ENGLISH = "'abcdefghijklmnopqrstuvwxyz"

_APOSTROPHES = str.maketrans(dict.fromkeys("’‘ʼ`´＇", "'"))
_LOOSE_APOSTROPHE = re.compile(r"(?<![^\W_])'|'(?![^\W_])")


def normalise(text: str) -> str:
    """Lower case, words parted by single spaces, nothing but letters, marks, digits and apostrophes inside words.

    Typographic apostrophes become `'`; other punctuation parts words, as in "twenty-one" (Unicode NFKC first).
    Numbers stay as digits: reading them out is the business of a recipe, which knows its language.
    """
    text = unicodedata.normalize("NFKC", text.translate(_APOSTROPHES))  # which makes a space and a mark of ´
    text = unicodedata.normalize("NFKC", text.translate(_APOSTROPHES).lower())  # lower case may part and join marks
    kept = "".join(c if c == "'" or unicodedata.category(c)[0] in "LMN" else " " for c in text)
    return " ".join(_LOOSE_APOSTROPHE.sub(" ", kept).split())


def pieces(text: str) -> list[tuple[str, list[str]]]:
    """A text as it is written, piece by piece, each with the normalised words in it: ("Twenty-one,", [twenty, one]).

    What holds no word, such as a dash, stands with the piece before it. All words together are `normalise(text)`.
    """
    found: list[tuple[str, list[str]]] = []
    loose = ""
    for piece in text.split():
        words = normalise(piece).split()
        if words:
            found.append((loose + piece, words))
            loose = ""
        elif found:
            found[-1] = (f"{found[-1][0]} {piece}", found[-1][1])
        else:
            loose += f"{piece} "
    return found


@dataclass(frozen=True)
class Tokenizer:
    """Characters as labels: index 0 is the blank, `characters[i]` has index i + 1, one of them is the space."""

    characters: tuple[str, ...]

    @classmethod
    def english(cls) -> "Tokenizer":
        """The space, the apostrophe and a to z: 29 tokens with the blank."""
        return cls((" ", *ENGLISH))

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> "Tokenizer":
        """The characters that occur in normalised transcripts, and the space, in code point order.

        Raises TextError where there are none.
        """
        found = set().union(*(normalise(text) for text in texts))
        if not found:
            raise TextError("no characters in the training transcripts: an alphabet cannot be built from them")
        return cls(tuple(sorted(found | {" "})))

    def __len__(self) -> int:
        """V, the number of tokens with the blank."""
        return len(self.characters) + 1

    def unknown(self, text: str) -> list[str]:
        """The distinct characters of a normalised text that have no label, in order of appearance."""
        return [c for c in dict.fromkeys(text) if c not in self._index]

    def encode(self, text: str) -> list[int]:
        """Labels (L,) of a normalised text. Raises TextError naming the characters that have no label."""
        try:
            return [self._index[c] for c in text]
        except KeyError:
            raise TextError(f"no token for {' '.join(map(repr, self.unknown(text)))} in {text!r}") from None

    def decode(self, labels: Sequence[int]) -> str:
        """The text of labels (L,), blanks left out."""
        return "".join(map(self._spelled.__getitem__, labels))

    @cached_property
    def _spelled(self) -> tuple[str, ...]:
        return ("", *self.characters)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {c: i for i, c in enumerate(self.characters, start=BLANK + 1)}
