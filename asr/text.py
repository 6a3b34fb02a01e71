"""Text normalization for references and hypotheses, and the tokens that a model emits."""

import io
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise

from asr.errors import TextError
from asr.validation import check_integer

BLANK = 0  # index of the CTC blank; labels start at 1
BAR = "|"  # the space in ARPA files of character language models, which separate entries by spaces
_APOSTROPHES = str.maketrans(dict.fromkeys("’‘ʼ`´＇", "'"))
_OUTER_APOSTROPHE = re.compile(r"(?<![^\W_])'|'(?![^\W_])")


@cache
def _word_character(character: str) -> str:
    """Return the character if words contain it, else a space."""
    in_word = character == "'" or unicodedata.category(character)[0] in "LMN"
    return character if in_word else " "


def normalize(text: str) -> str:
    """Return lower-case words of letters, marks, digits, and inner apostrophes, split by one space.

    Unicode is normalized to NFKC and typographic apostrophes become `'`. Other punctuation splits
    words, as in "twenty-one". Digits stay digits: a recipe spells them if it knows the language.
    """
    # apostrophes first, because NFKC makes ´ a space and a mark
    text = unicodedata.normalize("NFKC", text.translate(_APOSTROPHES))
    # once more, because lower() may separate characters from their marks
    text = unicodedata.normalize("NFKC", text.translate(_APOSTROPHES).lower())
    text = _OUTER_APOSTROPHE.sub(" ", "".join(map(_word_character, text)))
    return " ".join(text.split())


def split_written_words(text: str) -> list[tuple[str, list[str]]]:
    """Split a text at white space into pairs of (text as written, normalized words in it).

    "Twenty-one, please" gives [("Twenty-one,", ["twenty", "one"]), ("please", ["please"])]. Signs
    without a word, such as a dash, join the word before them, or the first word. All words
    together are `normalize(text)`.
    """
    pairs: list[tuple[str, list[str]]] = []
    for written in text.split():
        words = normalize(written).split()
        if pairs and not (words and pairs[-1][1]):
            previous, previous_words = pairs.pop()
            written, words = f"{previous} {written}", previous_words + words
        pairs.append((written, words))
    return [pair for pair in pairs if pair[1]]


@dataclass(frozen=True)
class Tokenizer:
    """A mapping between normalized text and labels. Index 0 is the blank, i + 1 is `tokens[i]`.

    Tokens are the space, other characters, and optionally pieces of words, learned by byte-pair
    encoding (Sennrich et al. 2016). To encode a word, the adjacent pair that forms the token of
    lowest index is merged, until no pair forms a token. No piece contains a space, so the space
    separates words in every vocabulary.
    """

    tokens: tuple[str, ...]

    @classmethod
    def english(cls) -> "Tokenizer":
        """Return the space, the apostrophe, and a to z: 29 tokens with the blank."""
        return cls(tuple(" 'abcdefghijklmnopqrstuvwxyz"))

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> "Tokenizer":
        """Return the characters of the normalized transcripts and the space, in code point order.

        Raises:
            TextError: If the transcripts have no characters.
        """
        characters = {c for text in texts for c in normalize(text)}
        if not characters:
            raise TextError(
                "no characters in the training transcripts. Check their text fields."
            )
        return cls(tuple(sorted(characters | {" "})))

    @classmethod
    def bpe(cls, texts: Iterable[str], *, size: int | None = 256) -> "Tokenizer":
        """Return the characters of the normalized transcripts and pieces learned from them.

        Args:
            texts: Transcripts.
            size: V, the number of tokens with the blank. None learns as many as the transcripts
                give, so that each of their words is one token.

        Raises:
            TextError: If the transcripts have no characters.
            ValueError: If the transcripts need more or give fewer tokens than `size`.
        """
        texts = [normalize(text) for text in texts]
        characters = cls.from_texts(texts).tokens
        if size is not None:
            check_integer("size", size, ge=len(characters) + 2)  # the blank and one piece
        return cls((*characters, *_learn_pieces(texts, size)))

    def __len__(self) -> int:
        """Return V, the number of tokens with the blank."""
        return len(self.tokens) + 1

    @cached_property
    def is_character_level(self) -> bool:
        """Whether every token is one character."""
        return max(map(len, self.tokens)) == 1

    def index(self, token: str) -> int:
        """Return the index of a token.

        Raises:
            KeyError: If there is no such token.
        """
        return self._indices[token]

    def unknown(self, text: str) -> list[str]:
        """Return the distinct characters of a normalized text without a label, in their order."""
        return [c for c in dict.fromkeys(text) if c not in self._indices]

    def encode(self, text: str) -> list[int]:
        """Return the labels (L,) of a normalized text.

        Raises:
            TextError: If characters have no label. The message names them.
        """
        if unknown := self.unknown(text):
            raise TextError(f"no token for {' '.join(map(repr, unknown))} in {text!r}")
        if self.is_character_level:
            return [self._indices[c] for c in text]
        return [
            label for word in re.findall(" |[^ ]+", text) for label in self._merge(word)
        ]

    def decode(self, labels: Sequence[int]) -> str:
        """Return the text of labels (L,) without blanks."""
        return "".join(self.tokens[label - 1] for label in labels if label != BLANK)

    def _merge(self, word: str) -> list[int]:
        """Return the labels of one word or of the space."""
        pieces, no_token = list(word), len(self)
        while True:
            pairs = [self._indices.get(a + b, no_token) for a, b in pairwise(pieces)]
            lowest = min(pairs, default=no_token)
            if lowest == no_token:
                return [self._indices[piece] for piece in pieces]
            first = pairs.index(lowest)
            pieces[first : first + 2] = [self.tokens[lowest - 1]]

    @cached_property
    def _indices(self) -> dict[str, int]:
        return {token: i for i, token in enumerate(self.tokens, BLANK + 1)}


def _learn_pieces(texts: list[str], size: int | None) -> list[str]:
    """Return pieces of two or more characters in merge order, for a vocabulary of `size` tokens.

    None stands for as many tokens as the texts give.

    Raises:
        ValueError: If the texts give fewer tokens than `size`.
    """
    # imported here because only training needs it
    from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

    model = io.BytesIO()
    try:
        SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            model_type="bpe",
            vocab_size=size or 1 << 24,  # includes <unk>, which the blank replaces
            user_defined_symbols=["▁"],  # the space: a token that no piece contains
            character_coverage=1.0,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            max_sentence_length=1 << 20,  # bytes; sentencepiece drops longer texts
            max_sentencepiece_length=64,  # characters; allows whole words
            bos_id=-1,
            eos_id=-1,
            minloglevel=2,
        )
    except RuntimeError as error:
        limit = re.search(r"value <= (\d+)", str(error))
        if limit is None:
            raise
        if size:
            raise ValueError(
                f"size must be <= {limit[1]} for these texts, got {size}"
            ) from None
        return _learn_pieces(texts, int(limit[1]))
    processor = SentencePieceProcessor(model_proto=model.getvalue())
    tokens = [processor.id_to_piece(i) for i in range(len(processor))]
    return [token for token in tokens if len(token) > 1 and token != "<unk>"]
