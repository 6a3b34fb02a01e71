"""N-gram language models: interpolated modified Kneser-Ney, written as ARPA (Chen and Goodman 1998, section 3.4).

A corpus is one long array of word numbers. An n-gram is the (n-1)-gram before its last word, and that word: so those of
an order are the distinct numbers prefix * words + word, which sorting finds, and each row of an order's table names the
rows of its prefix and of its suffix in the table below.

As in KenLM's lmplz, lower orders count the words that stand to the left of an n-gram, but those that begin a sentence
how often they occur; unigrams are interpolated with the uniform distribution, which gives <unk> its share; what
pruning takes away goes to the back-off.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asr.files import atomic_write
from recipes.fetch import RecipeError

SPECIAL = UNKNOWN, BEGIN, END = "<unk>", "<s>", "</s>"  # words 0, 1 and 2
FALLBACK = (0.5, 1.0, 1.5)  # discounts of lmplz for a text too small to estimate them from
NEVER = -99.0  # log10 of the probability of <s>, which nobody predicts


@dataclass(frozen=True)
class Table:
    """The n-grams of one order: row of the prefix in the order below (0 in order 1), last word, logarithms to base 10.

    Sorted by prefix and word; in the table of order 1 a row is the word's number.
    """

    prefix: np.ndarray
    word: np.ndarray
    log_prob: np.ndarray
    log_backoff: np.ndarray


@dataclass(frozen=True)
class NGramModel:
    """Words by number, a table for each order, and the orders whose discounts the text was too small for."""

    words: tuple[str, ...]
    tables: tuple[Table, ...]
    fallbacks: tuple[int, ...] = ()

    def log_probs(self, sentences: Iterable[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
        """Of each word and end of sentence, in order: log probability in nats, and whether the word is known."""
        words, position = _stream(sentences, {word: i for i, word in enumerate(self.words)})
        rows, found = words, self.tables[0].log_prob[words]
        for order, table in enumerate(self.tables[1:], start=2):
            context = _preceding(rows, position, order)
            backoff = np.where(context >= 0, self.tables[order - 2].log_backoff[context], 0.0)
            rows = _find(
                _keys(table.prefix, table.word, len(self.words)),
                _keys(context, words, len(self.words)),
            )
            found = np.where(rows >= 0, np.append(table.log_prob, 0.0)[rows], found + backoff)
        predicted = position > 0
        return found[predicted] * math.log(10), words[predicted] != SPECIAL.index(UNKNOWN)

    def perplexity(self, sentences: Iterable[Sequence[str]]) -> tuple[float, float]:
        """Perplexity by known words and ends of sentences, and the share of words (without ends) that are unknown.

        Raises RecipeError for a text without words.
        """
        sentences = list(sentences)
        words = sum(map(len, sentences))
        if not words:
            raise RecipeError("the held-out text has no words")
        log_probs, known = self.log_probs(sentences)
        return math.exp(-log_probs[known].mean()), float((~known).sum()) / words

    def write(self, path: Path) -> None:
        """Write an ARPA file, whole or not at all."""
        with atomic_write(path) as partial, partial.open("w", encoding="utf-8") as file:
            file.write("\\data\\\n")
            file.writelines(
                f"ngram {n}={len(table.word)}\n" for n, table in enumerate(self.tables, start=1)
            )
            names = [""]
            for n, table in enumerate(self.tables, start=1):
                spelled = [self.words[i] for i in table.word.tolist()]
                if n > 1:
                    spelled = [
                        f"{names[p]} {word}"
                        for p, word in zip(table.prefix.tolist(), spelled, strict=True)
                    ]
                file.write(f"\n\\{n}-grams:\n")
                columns = zip(
                    table.log_prob.tolist(), spelled, table.log_backoff.tolist(), strict=True
                )
                if n < len(self.tables):
                    file.writelines(
                        f"{p:.7g}\t{text}\t{backoff:.7g}\n" for p, text, backoff in columns
                    )
                else:
                    file.writelines(f"{p:.7g}\t{text}\n" for p, text, _ in columns)
                names = spelled
            file.write("\n\\end\\\n")


def estimate(
    sentences: Iterable[Sequence[str]], *, order: int = 4, prune: Sequence[int] = ()
) -> NGramModel:
    """The model of a text, one sentence at a time, each a sequence of words.

    `prune` has for each order from 1 how often an n-gram may occur and still be left out, its last entry holding for
    longer ones; unigrams always stay. Raises RecipeError for an empty text, an order below 1, or limits that fall from
    an order to the next, by which n-grams would lose their prefixes.
    """
    limits = [-1, *[*prune, *[prune[-1] if prune else 0] * order][1:order]]
    if order < 1 or min(prune, default=0) < 0 or sorted(limits) != limits:
        raise RecipeError(
            f"order={order} prune={list(prune)}: order from 1, limits from 0 that do not fall"
        )
    numbers = {word: i for i, word in enumerate(SPECIAL)}
    words, position = _stream(sentences, numbers, grow=True)
    if len(numbers) == len(SPECIAL):
        raise RecipeError("the text has no words")
    tables: list[Table] = []
    fallbacks = []
    probability = np.full(
        len(numbers), 1 / (len(numbers) - 1)
    )  # of order 0: the same for all but <s>
    kept = np.zeros(
        1, dtype=np.int64
    )  # the row in its table of each n-gram of the order below, -1 where pruned
    for n, ngrams in enumerate(_count(words, position, len(numbers), order), start=1):
        count = ngrams.adjusted
        discounts = _discounts(count)
        if discounts is None:
            discounts = FALLBACK
            fallbacks.append(n)
        stays = ngrams.occurrences > limits[n - 1]
        taken = np.where(stays, np.array([0, *discounts])[np.minimum(count, 3)], count)
        total, left = (np.bincount(ngrams.prefix, weights, len(kept)) for weights in (count, taken))
        backoff = np.divide(left, total, out=np.ones(len(kept)), where=total > 0)
        own, context = (count - taken) / total[ngrams.prefix], backoff[ngrams.prefix]
        probability = own + context * probability[ngrams.suffix]
        if tables:
            tables[-1].log_backoff[:] = np.log10(backoff[kept >= 0])
        tables.append(
            Table(
                prefix=kept[ngrams.prefix[stays]],
                word=ngrams.word[stays],
                log_prob=np.log10(probability[stays]),
                log_backoff=np.zeros(stays.sum()),
            )
        )
        kept = np.where(stays, np.cumsum(stays) - 1, -1)
    tables[0].log_prob[SPECIAL.index(BEGIN)] = NEVER
    return NGramModel(tuple(numbers), tuple(tables), tuple(fallbacks))


@dataclass(frozen=True)
class _Counted:
    """The n-grams of a text: rows in the order below, last word, how often they occur, and how they count."""

    prefix: np.ndarray
    suffix: np.ndarray
    word: np.ndarray
    occurrences: np.ndarray
    adjusted: np.ndarray


def _count(
    words: np.ndarray, position: np.ndarray, vocabulary: int, longest: int
) -> list[_Counted]:
    every = np.arange(vocabulary)
    occurrences = np.bincount(words, minlength=vocabulary)
    found = [
        _Counted(
            np.zeros(vocabulary, dtype=np.int64), every, every, occurrences, occurrences.copy()
        )
    ]
    begins = every == SPECIAL.index(BEGIN)
    rows = words  # of the n-gram that ends at each place
    for order in range(2, longest + 1):
        context = _preceding(rows, position, order)
        places = np.flatnonzero(context >= 0)
        _, first, inverse, occurrences = np.unique(
            _keys(context, words, vocabulary)[places],
            return_index=True,
            return_inverse=True,
            return_counts=True,
        )
        first = places[first]
        below = found[-1]
        suffix = rows[first]
        left = np.bincount(
            suffix, minlength=len(below.word)
        )  # different words that stand before it
        below.adjusted[:] = np.where(begins, below.occurrences, left)
        found.append(
            _Counted(context[first], suffix, words[first], occurrences, occurrences.copy())
        )
        begins = begins[context[first]]
        rows = np.full(len(words), -1)
        rows[places] = inverse
    found[0].adjusted[SPECIAL.index(BEGIN)] = 0
    return found


def _discounts(adjusted: np.ndarray) -> tuple[float, float, float] | None:
    """What n-grams that count 1, 2, and 3 or more lose (Chen and Goodman's equation 26); None where no estimate is."""
    once, twice, thrice, four = (int((adjusted == k).sum()) for k in (1, 2, 3, 4))
    if not (once and twice and thrice):
        return None
    share = once / (once + 2 * twice)
    discounts = (
        1 - 2 * share * twice / once,
        2 - 3 * share * thrice / twice,
        3 - 4 * share * four / thrice,
    )
    return discounts if min(discounts) > 0 else None


def _stream(
    sentences: Iterable[Sequence[str]], numbers: dict[str, int], *, grow: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """A text as word numbers, with begin and end of each sentence, and each word's place in its sentence from 0.

    New words are added to `numbers` if it may grow, else they are unknown.
    """
    words: list[int] = []
    lengths = []
    begin, end, unknown = numbers[BEGIN], numbers[END], numbers[UNKNOWN]
    for sentence in sentences:
        if grow:
            words += [begin, *[numbers.setdefault(word, len(numbers)) for word in sentence], end]
        else:
            words += [begin, *[numbers.get(word, unknown) for word in sentence], end]
        lengths.append(len(sentence) + 2)
    starts = np.repeat(np.cumsum([0, *lengths])[:-1], lengths)
    return np.array(words, dtype=np.int64), np.arange(len(words)) - starts


def _preceding(rows: np.ndarray, position: np.ndarray, order: int) -> np.ndarray:
    """The row of the (order - 1)-gram before each place, -1 where the sentence is too young or it is in no table."""
    before = np.concatenate(([-1], rows[:-1]))
    return np.where(position >= order - 1, before, -1)


def _keys(context: np.ndarray, words: np.ndarray, vocabulary: int) -> np.ndarray:
    return context * vocabulary + words


def _find(table: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where each wanted key stands in a sorted table, -1 where it does not."""
    if not len(table):
        return np.full(len(wanted), -1)
    at = np.minimum(np.searchsorted(table, wanted), len(table) - 1)
    return np.where(table[at] == wanted, at, -1)
