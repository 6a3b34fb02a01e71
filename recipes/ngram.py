"""N-gram language models: interpolated modified Kneser-Ney (Chen and Goodman 1998, section 3.4).

A text is one long array of word numbers. An n-gram consists of a prefix, which is the (n-1)-gram
of its first words, and its last word. The n-grams of one order are therefore the distinct values
of prefix * vocabulary + word, which sorting finds. Each row of a table names the rows of its
prefix and of its suffix (the n-gram without its first word) in the table of the order below.

As in KenLM's lmplz, lower orders count the different words before an n-gram, except that n-grams
at the beginning of a sentence count their occurrences. Unigrams are interpolated with the uniform
distribution, which gives <unk> its probability. Back-off weights receive the probability of pruned
n-grams.
"""

import gzip
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

from asr.files import atomic_write
from asr.validation import check_integer
from recipes.errors import RecipeError, convert_errors

SPECIAL = UNKNOWN, BEGIN, END = "<unk>", "<s>", "</s>"  # words 0, 1, and 2
# Discounts of lmplz for texts that are too small to estimate them
FALLBACK = (0.5, 1.0, 1.5)
NEVER = -99.0  # log10 probability of <s>, which is never predicted

Text = Sequence[Sequence[str]]  # sentences of words


@dataclass(frozen=True)
class Table:
    """The n-grams of one order, sorted by prefix and word. Logarithms have base 10.

    Attributes:
        prefix: Rows in the table of the order below; 0 in order 1.
        word: Numbers of the last words; in order 1 they equal the row.
        log_prob: Log probabilities.
        log_backoff: Log back-off weights.
    """

    prefix: np.ndarray
    word: np.ndarray
    log_prob: np.ndarray
    log_backoff: np.ndarray


@dataclass(frozen=True)
class NGramModel:
    """A language model: its words, one table for each order, and the orders with FALLBACK."""

    words: tuple[str, ...]
    tables: tuple[Table, ...]
    fallbacks: tuple[int, ...] = ()

    def log_probs(self, sentences: Text) -> tuple[np.ndarray, np.ndarray]:
        """Return the log probability (natural) of each word and sentence end, and if it is known.

        Returns:
            Two arrays (N,) over all words and sentence ends in order.
        """
        size = len(self.words)
        numbers = {word: i for i, word in enumerate(self.words)}
        unknown = numbers[UNKNOWN]
        words, position = _index(sentences, lambda word: numbers.get(word, unknown))
        rows, log_probs = words, self.tables[0].log_prob[words]
        for order, table in enumerate(self.tables[1:], start=2):
            context = _contexts(rows, position, order)
            lower = self.tables[order - 2]
            backoff = np.where(context >= 0, lower.log_backoff[context], 0.0)
            rows = _find(table.prefix * size + table.word, context * size + words)
            found = np.append(table.log_prob, 0.0)[rows]
            log_probs = np.where(rows >= 0, found, log_probs + backoff)
        predicted = position > 0
        return log_probs[predicted] * math.log(10), words[predicted] != unknown

    def perplexity(self, sentences: Text) -> tuple[float, float]:
        """Return the perplexity of known words and sentence ends, and the share of unknown words.

        Raises:
            RecipeError: If the text has no words.
        """
        words = sum(map(len, sentences))
        if not words:
            raise RecipeError("The held-out text has no words.")
        log_probs, known = self.log_probs(sentences)
        return math.exp(-log_probs[known].mean()), float((~known).sum()) / words

    def write(self, path: Path) -> None:
        """Write an ARPA file, or a compressed one (.gz). On failure, an old file is unchanged."""
        open_text = gzip.open if path.suffix == ".gz" else open
        with (
            atomic_write(path) as partial,
            open_text(partial, "wt", encoding="utf-8", newline="\n") as file,
        ):
            file.write("\\data\\\n")
            for order, table in enumerate(self.tables, start=1):
                file.write(f"ngram {order}={len(table.word)}\n")
            texts: list[str] = []
            for order, table in enumerate(self.tables, start=1):
                words = [self.words[i] for i in table.word.tolist()]
                if order > 1:
                    prefixes = [texts[row] for row in table.prefix.tolist()]
                    words = [f"{p} {w}" for p, w in zip(prefixes, words, strict=True)]
                texts = words
                weights = [f"\t{weight:.7g}" for weight in table.log_backoff.tolist()]
                if order == len(self.tables):
                    weights = [""] * len(texts)
                file.write(f"\n\\{order}-grams:\n")
                rows = zip(table.log_prob.tolist(), texts, weights, strict=True)
                file.writelines(f"{p:.7g}\t{text}{weight}\n" for p, text, weight in rows)
            file.write("\n\\end\\\n")


@dataclass(frozen=True)
class _Counts:
    """The n-grams of one order in a text.

    Attributes:
        prefix: Rows of the prefixes in the order below.
        suffix: Rows of the suffixes in the order below.
        word: Numbers of the last words.
        occurrences: Number of occurrences.
        adjusted: Number of different words before the n-gram, or of occurrences.
    """

    prefix: np.ndarray
    suffix: np.ndarray
    word: np.ndarray
    occurrences: np.ndarray
    adjusted: np.ndarray


def estimate(sentences: Text, *, order: int = 4, prune: Sequence[int] = ()) -> NGramModel:
    """Estimate a model from sentences of words.

    Args:
        sentences: The text.
        order: Number of words in the longest n-grams.
        prune: Count for each order from 1. N-grams that occur no more often are left out, except
            unigrams. The last count is repeated for longer n-grams.

    Raises:
        RecipeError: If the text has no words, `order` is below 1, or the counts decrease, which
            would remove prefixes of n-grams.
    """
    limits = _pruning_limits(order, prune)
    specials = {word: i for i, word in enumerate(SPECIAL)}
    vocabulary = defaultdict(count(len(specials)).__next__, specials)  # numbers new words
    words, position = _index(sentences, vocabulary.__getitem__)
    if len(vocabulary) == len(SPECIAL):
        raise RecipeError("The text has no words.")
    counts = _count_ngrams(words, position, len(vocabulary), order)
    tables: list[Table] = []
    fallbacks = []
    # In order 0, all words except <s> have the same probability.
    probability = np.full(len(vocabulary), 1 / (len(vocabulary) - 1))
    rows = np.zeros(1, dtype=np.int64)  # row of each lower-order n-gram, or -1 if pruned
    for n, (ngrams, limit) in enumerate(zip(counts, limits, strict=True), start=1):
        kept = ngrams.occurrences > limit
        discounts = _discounts(ngrams.adjusted)
        if discounts is FALLBACK:
            fallbacks.append(n)
        probability, backoff = _smooth(ngrams, kept, discounts, probability, len(rows))
        if tables:
            tables[-1].log_backoff[:] = np.log10(backoff[rows >= 0])
        prefix, log_prob = rows[ngrams.prefix[kept]], np.log10(probability[kept])
        tables.append(Table(prefix, ngrams.word[kept], log_prob, np.zeros(kept.sum())))
        rows = np.where(kept, np.cumsum(kept) - 1, -1)
    tables[0].log_prob[SPECIAL.index(BEGIN)] = NEVER
    return NGramModel(tuple(vocabulary), tuple(tables), tuple(fallbacks))


def _pruning_limits(order: int, prune: Sequence[int]) -> list[int]:
    """Return the count for each order; n-grams that occur no more often are left out."""
    with convert_errors(ValueError):
        check_integer("order", order, ge=1)
    last = prune[-1] if prune else 0
    limits = [-1, *[*prune, *[last] * order][1:order]]
    if min(prune, default=0) < 0 or sorted(prune) != list(prune):
        raise RecipeError(f"prune must be counts that do not decrease, got {list(prune)}.")
    return limits


def _smooth(
    ngrams: _Counts,
    kept: np.ndarray,
    discounts: tuple[float, float, float],
    lower: np.ndarray,
    contexts: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the probability of each n-gram (N,) and the back-off weight of each prefix (P,).

    Args:
        ngrams: The n-grams of one order, N rows.
        kept: Whether each n-gram is kept, (N,).
        discounts: Discounts of n-grams with counts 1, 2, and 3 or more.
        lower: Probabilities of the n-grams of the order below.
        contexts: Number of n-grams of the order below, P.
    """
    counts = ngrams.adjusted
    discount = np.array([0, *discounts])[np.minimum(counts, 3)]
    removed = np.where(kept, discount, counts)
    total = np.bincount(ngrams.prefix, counts, contexts)
    freed = np.bincount(ngrams.prefix, removed, contexts)
    backoff = np.divide(freed, total, out=np.ones(contexts), where=total > 0)
    own = (counts - removed) / total[ngrams.prefix]
    return own + backoff[ngrams.prefix] * lower[ngrams.suffix], backoff


def _count_ngrams(
    words: np.ndarray, position: np.ndarray, vocabulary: int, order: int
) -> list[_Counts]:
    """Count the n-grams of the orders 1 to `order`."""
    indices = np.arange(vocabulary)
    occurrences = np.bincount(words, minlength=vocabulary)
    prefix = np.zeros_like(indices)
    counts = [_Counts(prefix, indices, indices, occurrences, occurrences.copy())]
    begins = indices == SPECIAL.index(BEGIN)  # whether an n-gram begins a sentence
    rows = words  # row of the n-gram that ends at each position
    for n in range(2, order + 1):
        context = _contexts(rows, position, n)
        places = np.flatnonzero(context >= 0)
        _, first, inverse, occurrences = np.unique(
            (context * vocabulary + words)[places],
            return_index=True,
            return_inverse=True,
            return_counts=True,
        )
        first = places[first]
        prefix, suffix = context[first], rows[first]
        lower = counts[-1]
        left_words = np.bincount(suffix, minlength=len(lower.word))
        lower.adjusted[:] = np.where(begins, lower.occurrences, left_words)
        counts.append(
            _Counts(prefix, suffix, words[first], occurrences, occurrences.copy())
        )
        begins = begins[prefix]
        rows = np.full(len(words), -1)
        rows[places] = inverse
    counts[0].adjusted[SPECIAL.index(BEGIN)] = 0
    return counts


def _discounts(adjusted: np.ndarray) -> tuple[float, float, float]:
    """Return the discounts of n-grams with counts 1, 2, and 3 or more; FALLBACK for a small text.

    Chen and Goodman, equation 26.
    """
    _, once, twice, thrice, four = np.bincount(adjusted, minlength=5)[:5].tolist()
    if not (once and twice and thrice):
        return FALLBACK
    share = once / (once + 2 * twice)
    discounts = (
        1 - 2 * share * twice / once,
        2 - 3 * share * thrice / twice,
        3 - 4 * share * four / thrice,
    )
    return discounts if min(discounts) > 0 else FALLBACK


def _index(sentences: Text, number: Callable[[str], int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of each word of a text and its position in its sentence, both (N,).

    Each sentence gets a begin and an end.
    """
    words = [number(word) for s in sentences for word in (BEGIN, *s, END)]
    position = [i for s in sentences for i in range(len(s) + 2)]
    return np.array(words, dtype=np.int64), np.array(position, dtype=np.int64)


def _contexts(rows: np.ndarray, position: np.ndarray, order: int) -> np.ndarray:
    """Return the row of the (order - 1)-gram before each position, or -1.

    It is -1 too close to the beginning of a sentence, or if the table lacks the (order - 1)-gram.
    """
    return np.where(position >= order - 1, np.roll(rows, 1), -1)


def _find(table: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Return the row of each key in a sorted table, or -1 if the table lacks it."""
    rows = np.searchsorted(table, keys)
    padded = np.append(table, np.iinfo(np.int64).min)
    return np.where(padded[rows] == keys, rows, -1)
