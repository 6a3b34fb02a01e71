"""Text normalization for references and hypotheses, and the tokens that a model emits."""

import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise

from asr.errors import TextError
from asr.validation import check_integer

BLANK = 0  # index of the CTC blank; labels start at 1
BAR = "|"  # the space in ARPA files of character language models, which separate entries by spaces
_APOSTROPHES = str.maketrans(dict.fromkeys("’‘ʼ`´＇‛′", "'"))
# Characters of other categories than Cf that have no glyph either: fillers, variation selectors
_INVISIBLE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180e\u180f\u3164\uffa0"
).union(map(chr, range(0xFE00, 0xFE10)), map(chr, range(0xE0100, 0xE01F0)))
_SPOKEN_PUNCTUATION = frozenset("%&@#*^§¶‰‱†‡٪")
_SILENT_SYMBOLS = frozenset("|⁄")  # the bar stands for the space in language models
_DOTTED_I = re.compile(r"(i[^\w\s]*?)\u0307")
_JOINERS = "'·׳״"  # part of a word between its letters
_OUTER_JOINER = re.compile(
    rf"(?<![^\s{_JOINERS}])[{_JOINERS}]|[{_JOINERS}](?![^\s{_JOINERS}])"
)
_HEBREW = "[\u0591-\u05f2]"
_GERSHAYIM = re.compile(rf"(?<={_HEBREW})(?:[\"“”״]|'')(?={_HEBREW})")
_GERESH = re.compile(rf"(?<={_HEBREW})['׳](?={_HEBREW})")
_EVENT = (
    r"applause|babble|beep(?:s|ing)?|blank|breath(?:s|es|e|ing)?|burp(?:s|ing)?|buzz(?:ing)?"
    r"|cheer(?:s|ing)|chuckl(?:es|e|ing)|click(?:s|ing)?|cough(?:s|ed|ing)?|cries|crosstalk"
    r"|crying|exhal(?:es|e|ing)|gasp(?:s|ing)?|giggl(?:es|e|ing)|groan(?:s|ing)?|gulp(?:s|ing)?"
    r"|hiccups?|hum(?:s|ming)|inaudible|indistinct|inhal(?:es|e|ing)|laugh(?:s|ed|ing|ter)?"
    r"|lipsmack|music|mumbl(?:es|e|ing)|noises?|overlap(?:ping)?|paus(?:es|e)|screams?|sighs?"
    r"|sighing|silence|sil|sneez(?:es|e|ing)|sniff(?:s|ing|les)?|snor(?:es|ing)|sob(?:s|bing)"
    r"|static|throat|unclear|unintelligible|unk|whistl(?:es|ing)|yawn(?:s|ing)?"
)
_QUALIFIER = (
    r"a|and|audience|background|clear(?:s|ed|ing)?|crowd|deep|heavy|her|his|in|lip|long|loud"
    r"|of|off|quiet|short|smacks?|soft|softly|sound|speaker|speech|the|their"
)
_EVENTS = rf"\s*(?:(?:{_QUALIFIER})\s+)*(?:{_EVENT})(?:\s+(?:{_EVENT}|{_QUALIFIER}))*\s*"
_TAG_STARTS = frozenset("[{<(*+")
_TAG = re.compile(  # longer texts in brackets are remarks that are read aloud
    r"\[\s*[^\s\[\]]*(?:\s+[^\s\[\]]+){0,4}\s*\]|\{\s*[^\s{}]*(?:\s+[^\s{}]+){0,4}\s*\}"
    rf"|</?[^\W\d_][^<>]*>|\({_EVENTS}\)|\*(?:{_EVENT})\*|\+\+(?:{_EVENT})\+\+"
)


def normalize(text: str) -> str:
    """Return lower-case words of letters, marks, digits, and symbols, split by one space.

    Unicode is normalized to NFKC, format characters disappear, and typographic apostrophes become
    `'`. Apostrophes, the middle dot, geresh, and gershayim stay inside words. Other punctuation
    splits words, as in "twenty-one". Digits and symbols such as % are kept, because they are
    spoken: a recipe spells them if it knows the language. Tags are removed, see `find_tags`.
    """
    folded, _ = _blank_tags(_fold(text))
    return " ".join(_words(folded))


def find_tags(text: str) -> list[str]:
    """Return the tags that `normalize` removes, in lower case.

    A tag describes something other than words: up to five words in square brackets or braces, as
    in [noise], anything in angle brackets, as in <unk>, and common events in parentheses,
    asterisks, or double plus signs, as in (coughs). Other text in brackets was spoken.
    """
    return _blank_tags(_fold(text))[1]


@cache
def is_symbol(character: str) -> bool:
    """Return whether a character stands for a spoken word, such as % and $, or for a picture."""
    if character in _SPOKEN_PUNCTUATION:
        return True
    is_sign = unicodedata.category(character) in ("Sc", "Sm", "So")
    return is_sign and character not in _SILENT_SYMBOLS


def without_symbols(text: str) -> str:
    """Return a normalized text with its symbols replaced by spaces, normalized again."""
    if any(map(is_symbol, text)):
        return normalize("".join(" " if is_symbol(c) else c for c in text))
    return text


def split_written_words(text: str) -> list[tuple[str, list[str]]]:
    """Split a text at white space into pairs of (text as written, normalized words in it).

    "Twenty-one, please" gives [("Twenty-one,", ["twenty", "one"]), ("please", ["please"])]. Signs
    without a word, such as a dash or a tag, join the word before them, or the first word. All
    words together are `normalize(text)`.
    """
    pairs: list[tuple[str, list[str]]] = []
    for written, words in _written_words(text):
        if pairs and not (words and pairs[-1][1]):
            previous, previous_words = pairs.pop()
            written, words = f"{previous} {written}", previous_words + words
        pairs.append((written, words))
    return [pair for pair in pairs if pair[1]]


def _written_words(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the parts of a text between white space and their words, without those of tags."""
    parts = text.split()
    folded = [_fold(part) for part in parts]
    blanked, _ = _blank_tags(" ".join(folded))  # a tag may contain spaces
    start = 0
    for part, piece in zip(parts, folded, strict=True):
        yield part, _words(blanked[start : start + len(piece)])
        start += len(piece) + 1


def _fold(text: str) -> str:
    """Return a text in lower case, composed, without invisible characters, and with `'`."""
    while (folded := _fold_once(text)) != text:  # lower() may separate marks from letters
        text = folded
    return text


def _fold_once(text: str) -> str:
    text = text.translate(_APOSTROPHES)  # first, because NFKC makes ´ a space and a mark
    if text.isascii():
        return text.lower()
    text = "".join(c for c in text if not _is_invisible(c))
    text = unicodedata.normalize("NFKC", text).lower()
    return unicodedata.normalize("NFKC", _DOTTED_I.sub(r"\1", text))  # İ is i, not i̇


@cache
def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) == "Cf" or character in _INVISIBLE


def _blank_tags(text: str) -> tuple[str, list[str]]:
    """Return a folded text with spaces in place of its tags, and the tags."""
    tags: list[str] = []
    if _TAG_STARTS.isdisjoint(text):
        return text, tags

    def blank(match: re.Match[str]) -> str:
        tags.append(" ".join(match[0].split()))
        return " " * len(match[0])

    while (blanked := _TAG.sub(blank, text)) != text:  # brackets may be nested
        text = blanked
    return text, tags


def _words(text: str) -> list[str]:
    """Return the words of a folded text without tags."""
    if text.isascii():
        spoken = text.translate(_ascii_spaces())
    else:
        spoken = _spoken_characters(_GERESH.sub("׳", _GERSHAYIM.sub("״", text)))
    return _OUTER_JOINER.sub(" ", spoken).split()


@cache
def _ascii_spaces() -> dict[int, str]:
    return {code: " " for code in range(128) if _kind(chr(code)) == " "}


def _spoken_characters(text: str) -> str:
    """Return a text with spaces for punctuation, and for marks without a letter."""
    spoken, previous = [], " "
    for character in text:
        kind = _kind(character)
        if kind == "M" and previous not in "LNM":
            kind = " "
        spoken.append(" " if kind == " " else character)
        previous = kind
    return "".join(spoken)


@cache
def _kind(character: str) -> str:
    """Return L, M, or N for a character of words, S for a symbol, J for a joiner, or a space."""
    if character in _JOINERS:
        return "J"
    if is_symbol(character):
        return "S"
    major = unicodedata.category(character)[0]
    return major if major in "LMN" else " "


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

        Symbols such as % are not tokens, because a transcript must spell what was spoken.

        Raises:
            TextError: If the transcripts have no characters.
        """
        characters = {c for text in texts for c in without_symbols(normalize(text))}
        if not characters:
            raise TextError(
                "no characters in the training transcripts. Check their text fields."
            )
        return cls(tuple(sorted(characters | {" "})))

    def extended(self, texts: Iterable[str]) -> "Tokenizer":
        """Return these tokens, followed by other characters of the normalized transcripts.

        Symbols such as % are not added, see `from_texts`.
        """
        characters = {c for text in texts for c in without_symbols(normalize(text))}
        return Tokenizer((*self.tokens, *sorted(characters - {*self.tokens})))

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
        texts = [without_symbols(normalize(text)) for text in texts]
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
