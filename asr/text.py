"""Transcripts: one normaliser for references and hypotheses alike, and the tokens that a model emits."""

import io
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from asr.errors import TextError
from asr.validation import check_integer

BLANK = 0  # index of CTC's blank; labels count from 1
BAR = "|"  # the space in a language model of characters, for ARPA parts its entries by white space
ENGLISH = "'abcdefghijklmnopqrstuvwxyz"
_WORD = re.compile(" |[^ ]+")
_SP_SPACE, _SP_UNKNOWN = "▁", "<unk>"  # sentencepiece's names for them
_UNLIMITED = 1 << 24  # tokens: more than any transcripts give

_APOSTROPHES = str.maketrans(dict.fromkeys("’‘ʼ`´＇", "'"))
_LOOSE_APOSTROPHE = re.compile(r"(?<![^\W_])'|'(?![^\W_])")


class _Kept(dict[int, str]):
    """What becomes of a character: itself or a space. Filled with the characters as they occur."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        kept = character == "'" or unicodedata.category(character)[0] in "LMN"
        return self.setdefault(code, character if kept else " ")


_KEPT = _Kept()


def normalize(text: str) -> str:
    """Lower case, words parted by single spaces, nothing but letters, marks, digits and apostrophes inside words.

    Typographic apostrophes become `'`; other punctuation parts words, as in "twenty-one" (Unicode NFKC first).
    Numbers stay as digits: reading them out is the business of a recipe, which knows its language.
    """
    text = unicodedata.normalize(
        "NFKC", text.translate(_APOSTROPHES)
    )  # which makes a space and a mark of ´
    text = unicodedata.normalize(
        "NFKC", text.translate(_APOSTROPHES).lower()
    )  # lower case may part and join marks
    return " ".join(_LOOSE_APOSTROPHE.sub(" ", text.translate(_KEPT)).split())


def split_written_words(text: str) -> list[tuple[str, list[str]]]:
    """A text as it is written, piece by piece, each with the normalised words in it: ("Twenty-one,", [twenty, one]).

    What holds no word, such as a dash, stands with the piece before it. All words together are `normalise(text)`.
    """
    found: list[tuple[str, list[str]]] = []
    loose = ""
    for piece in text.split():
        words = normalize(piece).split()
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
    """What a model writes: index 0 is the blank, `tokens[i]` has index i + 1.

    Tokens are characters, one of them the space, and perhaps pieces of words, which byte-pair encoding (Sennrich et al.
    2016) has put together from them: a word's characters are merged, the pair of lowest index first, until no pair is a
    token. The space stays alone, so that it parts words whatever the tokens are.
    """

    tokens: tuple[str, ...]

    @classmethod
    def english(cls) -> "Tokenizer":
        """The space, the apostrophe and a to z: 29 tokens with the blank."""
        return cls((" ", *ENGLISH))

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> "Tokenizer":
        """The characters that occur in normalised transcripts, and the space, in code point order.

        Raises TextError where there are none.
        """
        found = set().union(*(normalize(text) for text in texts))
        if not found:
            raise TextError(
                "no characters in the training transcripts: an alphabet cannot be built from them"
            )
        return cls(tuple(sorted(found | {" "})))

    @classmethod
    def bpe(cls, texts: Iterable[str], *, size: int | None = 256) -> "Tokenizer":
        """The characters of normalised transcripts and the pieces that byte-pair encoding finds in them.

        `size` is V, the number of tokens with the blank; None: as many as there are, so that every word of the
        transcripts is one token. Raises TextError where the transcripts have no characters, and where they need more
        tokens than that or cannot fill as many.
        """
        texts = [normalize(text) for text in texts]
        characters = cls.from_texts(texts).tokens
        if size is not None and check_integer("size", size, ge=1) <= len(characters):
            raise TextError(
                f"tokenizer.size is {size}; the {len(characters)} characters and the blank need more"
            )
        found, most = _byte_pairs(texts, size or _UNLIMITED)
        if size is None:
            found, most = _byte_pairs(texts, most)
        elif not found:
            raise TextError(f"tokenizer.size is {size}; these transcripts give {most} at most")
        return cls((*characters, *found))

    def __len__(self) -> int:
        """V, the number of tokens with the blank."""
        return len(self.tokens) + 1

    @cached_property
    def spells(self) -> bool:
        """Whether every token is a character."""
        return all(len(token) == 1 for token in self.tokens)

    def index(self, token: str) -> int:
        """The index of a token. Raises KeyError where there is none such."""
        return self._index[token]

    def unknown(self, text: str) -> list[str]:
        """The distinct characters of a normalised text that have no label, in order of appearance."""
        return [c for c in dict.fromkeys(text) if c not in self._index]

    def encode(self, text: str) -> list[int]:
        """Labels (L,) of a normalised text. Raises TextError naming the characters that have no label."""
        try:
            labels = [self._index[c] for c in text]
        except KeyError:
            raise TextError(
                f"no token for {' '.join(map(repr, self.unknown(text)))} in {text!r}"
            ) from None
        return (
            labels
            if self.spells
            else [label for word in _WORD.findall(text) for label in self._merged(word)]
        )

    def decode(self, labels: Sequence[int]) -> str:
        """The text of labels (L,), blanks left out."""
        return "".join(map(self._spelled.__getitem__, labels))

    def _merged(self, word: str) -> list[int]:
        """The labels of a word, or of the space."""
        pieces, last = list(word), len(self)
        while True:
            ranks = [self._index.get(left + right, last) for left, right in pairwise(pieces)]
            lowest = min(ranks, default=last)
            if lowest == last:
                return [self._index[piece] for piece in pieces]
            at = ranks.index(lowest)
            pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]

    @cached_property
    def _spelled(self) -> tuple[str, ...]:
        return ("", *self.tokens)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {token: i for i, token in enumerate(self.tokens, start=BLANK + 1)}


def _byte_pairs(texts: list[str], size: int) -> tuple[list[str], int]:
    """The pieces of several characters among `size` tokens, in the order of their merging, and `size`.

    Where the texts do not give as many: none, and how many tokens there can be.
    """
    from sentencepiece import (
        SentencePieceProcessor,
        SentencePieceTrainer,
    )  # here, for only training needs it

    model = io.BytesIO()
    try:
        SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            model_type="bpe",
            vocab_size=size,  # its token for what it does not know stands where the blank will
            user_defined_symbols=[_SP_SPACE],  # a token of its own, in no piece
            character_coverage=1.0,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            max_sentence_length=1 << 20,  # bytes; longer ones would be left out
            max_sentencepiece_length=64,  # characters: whole words
            bos_id=-1,
            eos_id=-1,
            minloglevel=2,
        )
    except RuntimeError as error:
        most = re.search(r"value <= (\d+)", str(error))
        if most is None:
            raise TextError(
                f"sentencepiece finds no pieces of words in the transcripts: {error}"
            ) from None
        return [], int(most[1])
    processor = SentencePieceProcessor(model_proto=model.getvalue())
    found = [processor.id_to_piece(i) for i in range(len(processor))]
    return [piece for piece in found if len(piece) > 1 and piece != _SP_UNKNOWN], size
