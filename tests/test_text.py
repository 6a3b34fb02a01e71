"""Normalization and tokenizers."""

import functools
import io
import re
import unicodedata
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import example, given
from hypothesis import strategies as st

from asr.errors import TextError
from asr.text import (
    BLANK,
    Tokenizer,
    find_tags,
    is_symbol,
    normalize,
    split_written_words,
    without_symbols,
)

SHARED = Path(__file__).parents[1].parent / "shared" / "data"

VERSE = """\
Half a league half a league half a league onward all in the valley of death rode the \
six hundred
Forward the light brigade charge for the guns he said into the valley of death rode the \
six hundred"""

SIGNS = "aB'’ -_.,!?éİ\u0327\u0307ßŉ½２٣ÅΣς\n\t·״׳\"אב<>[](){}*+/&%€|´"
INVISIBLE = "\u00ad\u200b\u200c\u200d\u200e\u202b\u2060\ufeff\ufe0f\U000e0101"
WORDS = st.lists(
    st.sampled_from(
        ["cough", "(laughs", "[noise]", "<unk>", "]", ")", "*", "a", "b>", "<", "{x}"]
    )
)
TEXT = st.text() | st.text(SIGNS + INVISIBLE, max_size=12) | WORDS.map(" ".join)


@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        ("Hello, World!", "hello world"),
        ("  many \t spaces\nand lines ", "many spaces and lines"),
        ("twenty-one", "twenty one"),
        ("snake_case", "snake case"),
        ("Don’t  STOP", "don't stop"),
        ("it`s it´s itʼs it＇s it‘s", "it's it's it's it's it's"),
        ("'tis rock 'n' roll, the Jones' house", "tis rock n roll the jones house"),
        ("''quoted''", "quoted"),
        ("o''clock", "o clock"),
        ("Café CAFE\u0301", "café café"),
        ("ﬁne № ２", "fine no 2"),
        ("at 5:30 for $1,000", "at 5 30 for $1 000"),
        ("AT&T 50% off at $5", "at&t 50% off at $5"),
        ("20 ℃ @home, f*** #1", "20 °c @home f*** #1"),
        ("½ a/b a|b a^b", "1 2 a b a b a^b"),
        ("Wörter\u00adbuch Wort\u200bteil \ufeffja", "wörterbuch wortteil ja"),
        ("\u200fשלום\u200e ❤\ufe0f", "שלום ❤"),
        ("ශ්\u200dරී ලංකා", "ශ්රී ලංකා"),
        ("İstanbul ISTANBUL istanbul", "istanbul istanbul istanbul"),
        ("क्'क é'é ¨ a", "क्'क é'é a"),
        ("col·lecció, paraŀlel · λέξη· a", "col·lecció paral·lel λέξη a"),
        ('צה״ל צה"ל צה\'\'ל "שלום"', "צה״ל צה״ל צה״ל שלום"),
        ("ג׳ירפה ג'ירפה", "ג׳ירפה ג׳ירפה"),
        ("Straße", "straße"),
        ("Привет, мир", "привет мир"),
        ("...", ""),
        ("'", ""),
        ("", ""),
    ],
)
def test_normalize(text, normalized):
    assert normalize(text) == normalized


@pytest.mark.parametrize(
    ("text", "words", "tags"),
    [
        ("hello [laughter] world <unk>", "hello world", ["[laughter]", "<unk>"]),
        ("(Coughs) yes, (he said) no", "yes he said no", ["(coughs)"]),
        ("[background  noise]", "", ["[background noise]"]),
        ("((Laughter)) *sighs* ++breath++", "", ["(laughter)", "*sighs*", "++breath++"]),
        ("a (long silence) b </noise> {um}", "a b", ["(long silence)", "</noise>", "{um}"]),
        ("［noise］ [a [b] c]", "", ["[noise]", "[b]", "[a c]"]),
        ("(notably by Caslon) [", "notably by caslon", []),
        ("[he said all of this aloud]", "he said all of this aloud", []),
        ("1 < 2 > 0", "1 < 2 > 0", []),
    ],
)
def test_tags_are_found_and_are_no_words(text, words, tags):
    assert normalize(text) == words
    assert find_tags(text) == tags
    assert [w for _, group in split_written_words(text) for w in group] == words.split()


@given(TEXT, st.data())
def test_invisible_characters_neither_split_nor_join_words(text, data):
    position = data.draw(st.integers(0, len(text)))
    invisible = data.draw(st.sampled_from(INVISIBLE))
    assert normalize(text[:position] + invisible + text[position:]) == normalize(text)


@given(TEXT)
def test_case_does_not_matter(text):
    assert normalize(text.lower()) == normalize(text)
    assert normalize(text.swapcase().lower()) == normalize(text.swapcase())


@given(TEXT)
def test_composed_and_decomposed_texts_are_equal(text):
    assert normalize(unicodedata.normalize("NFD", text)) == normalize(
        unicodedata.normalize("NFC", text)
    )


@given(TEXT)
def test_normalized_texts_have_a_bounded_length_and_no_tags(text):
    assert len(normalize(text)) <= 18 * len(text)  # NFKC writes one character as up to 18
    assert find_tags(normalize(text)) == []


@given(TEXT)
def test_symbols_are_kept_and_have_no_tokens(text):
    symbols = {c for c in unicodedata.normalize("NFKC", text).lower() if is_symbol(c)}
    if not any(c in text for c in "<[({*+"):
        assert symbols <= set(normalize(text))
    words = without_symbols(normalize(text))
    assert words == normalize(words)
    if words:
        assert not any(map(is_symbol, "".join(Tokenizer.from_texts([text]).tokens)))


@pytest.mark.parametrize(
    "corpus", ["an4", "fsdd", "librispeech", "speech_commands", "speechocean762"]
)
def test_published_transcripts_only_become_lower_case(corpus):
    index = SHARED / corpus / "index.tsv"
    if not index.exists():
        pytest.skip(f"needs the shared corpora beside the repository, in {SHARED}")
    header, *lines = index.read_text(encoding="utf-8").splitlines()
    column = header.split("\t").index("text")
    for text in {line.split("\t")[column] for line in lines}:
        outer = re.sub(r"(?<!\w)'|'(?!\w)", " ", text)
        assert normalize(text) == " ".join(outer.lower().split())
        assert find_tags(text) == []


@given(TEXT)
@example("İ\u0327")
@example("´a")
@example("ŉ ΑΣ' ΣΑΣ")
def test_normalizing_twice_changes_nothing(text):
    assert normalize(normalize(text)) == normalize(text)


def test_written_words_keep_their_signs_and_give_their_normalized_words():
    assert split_written_words("— Twenty-one, he said – “Don’t!” ...") == [
        ("— Twenty-one,", ["twenty", "one"]),
        ("he", ["he"]),
        ("said –", ["said"]),
        ("“Don’t!” ...", ["don't"]),
    ]
    assert split_written_words(" ... ") == []


@given(TEXT)
@example("ŉ ΑΣ' ΣΑΣ ´a")
def test_written_words_together_give_the_normalized_text(text):
    assert [word for _, words in split_written_words(text) for word in words] == normalize(
        text
    ).split()


@given(TEXT)
def test_normalized_text_has_letters_digits_symbols_and_inner_joiners_only(text):
    normalized = normalize(text)
    assert normalized == " ".join(normalized.split())
    for word in normalized.split():
        assert word[0] not in "'·׳״"
        assert word[-1] not in "'·׳״"
        assert unicodedata.category(word[0])[0] != "M"
        assert all(
            c in "'·׳״" or is_symbol(c) or unicodedata.category(c)[0] in "LMN" for c in word
        )


@given(st.text(st.characters(max_codepoint=127)))
def test_english_has_labels_for_all_normalized_ascii_except_digits_and_symbols(text):
    unknown = Tokenizer.english().unknown(normalize(text))
    assert all(c.isdigit() or is_symbol(c) for c in unknown)


@given(st.text(" 'abcdefghijklmnopqrstuvwxyz"))
def test_decode_undoes_encode(text):
    tokenizer = Tokenizer.english()
    labels = tokenizer.encode(text)
    assert tokenizer.decode(labels) == text
    assert all(BLANK < label < len(tokenizer) for label in labels)


def test_english_has_29_tokens_and_the_blank_comes_first():
    tokenizer = Tokenizer.english()
    assert len(tokenizer) == 29
    assert tokenizer.encode(" 'az") == [1, 2, 3, 28]
    assert tokenizer.decode([BLANK, 3, BLANK, 3]) == "aa"


def test_tokens_from_transcripts_are_their_characters_and_the_space():
    assert Tokenizer.from_texts(["Ça va?", "Oui!"]).tokens == (
        " ",
        "a",
        "i",
        "o",
        "u",
        "v",
        "ç",
    )
    assert Tokenizer.from_texts(["oui"]).tokens == (" ", "i", "o", "u")


def test_transcripts_without_characters_raise_an_error():
    with pytest.raises(TextError, match="no characters in the training transcripts"):
        Tokenizer.from_texts(["", "?!"])
    with pytest.raises(TextError, match="no characters in the training transcripts"):
        Tokenizer.from_texts([])


def test_unknown_characters_are_listed_once_in_order():
    tokenizer = Tokenizer.english()
    assert tokenizer.unknown("naïve 4 naïve 2") == ["ï", "4", "2"]
    assert tokenizer.unknown("known") == []
    with pytest.raises(TextError, match="no token for 'ï' '4' '2' in 'naïve 4 naïve 2'"):
        tokenizer.encode("naïve 4 naïve 2")


@pytest.fixture(scope="module")
def verse() -> Tokenizer:
    return Tokenizer.bpe(VERSE.splitlines(), size=48)


def test_bpe_has_the_characters_and_pieces_without_a_space_up_to_the_size(
    verse: Tokenizer,
) -> None:
    characters = Tokenizer.from_texts([VERSE]).tokens
    assert len(verse) == 48
    assert verse.tokens[: len(characters)] == characters
    assert all(
        len(piece) > 1 and " " not in piece for piece in verse.tokens[len(characters) :]
    )
    assert not verse.is_character_level
    assert Tokenizer.english().is_character_level


@given(text=st.text("  aedfghlnortuvwy", max_size=30))
@example(text="the valley of death")
@example(text="hehehe aaaa")
def test_bpe_merges_like_sentencepiece_and_decode_undoes_encode(text: str) -> None:
    verse, processor = _verse_and_reference()
    labels = verse.encode(text)
    assert [verse.decode([label]) for label in labels] == [
        piece.replace("▁", " ") for piece in processor.encode(text, out_type=str)
    ]
    assert verse.decode(labels) == text


@functools.cache
def _verse_and_reference() -> tuple[Tokenizer, sentencepiece.SentencePieceProcessor]:
    """Return our tokenizer and sentencepiece's own, trained in the same way."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(normalize(line) for line in VERSE.splitlines()),
        model_writer=model,
        model_type="bpe",
        vocab_size=48,
        user_defined_symbols=["▁"],
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        bos_id=-1,
        eos_id=-1,
        minloglevel=2,
    )
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    return Tokenizer.bpe(VERSE.splitlines(), size=48), processor


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (10, "size must be >= 23, got 10"),  # 21 characters, the blank, and one piece
        (22, "size must be >= 23, got 22"),
        (5000, "size must be <= [0-9]+ for these texts, got 5000"),
        ("many", "size must be >= 23, got 'many'"),
    ],
)
def test_bpe_rejects_a_size_that_the_texts_do_not_fit(size: int, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        Tokenizer.bpe(VERSE.splitlines(), size=size)


def test_extended_tokens_keep_their_order_and_end_with_new_characters():
    english = Tokenizer.english()
    extended = english.extended(["Grüße!", "öl 5 %"])
    assert extended.tokens == (*english.tokens, "5", "ß", "ö", "ü")
    assert extended.encode("grüße")[:2] == english.encode("gr")
    assert english.extended(["no news"]) == english


def test_without_a_size_every_training_word_is_one_token() -> None:
    words = Tokenizer.bpe(["yes no", "Counterrevolutionaries!", "no"], size=None)
    for word in ("yes", "no", "counterrevolutionaries"):
        assert words.decode(words.encode(word)) == word
        assert len(words.encode(word)) == 1
    assert len(words.encode("nose")) > 1
    assert words.decode(words.encode("nose")) == "nose"
    assert Tokenizer.bpe(["a b"], size=None).tokens == (" ", "a", "b")


def test_bpe_names_an_unknown_character(verse: Tokenizer) -> None:
    assert verse.unknown("the zebra") == ["z"]
    with pytest.raises(TextError, match="no token for 'z'"):
        verse.encode("the zebra")
