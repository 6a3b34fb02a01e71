"""Compare n-gram models with a direct implementation of the formulas."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.errors import RecipeError
from recipes.ngram import BEGIN, END, FALLBACK, SPECIAL, UNKNOWN, estimate

TEXTS = st.lists(
    st.lists(st.sampled_from("abcd"), max_size=6), min_size=1, max_size=12
).filter(any)


def long_text(seed=0, sentences=400):
    """Return random sentences of words with very different frequencies."""
    rng = np.random.default_rng(seed)
    return [
        [f"w{int(k)}" for k in rng.zipf(1.6, rng.integers(1, 12)) % 50]
        for _ in range(sentences)
    ]


class Reference:
    """An implementation of Chen and Goodman's formulas with dictionaries, one n-gram at a time."""

    def __init__(self, text, order):
        occurrences = [Counter() for _ in range(order + 1)]
        for sentence in text:
            marked = (BEGIN, *sentence, END)
            for n in range(1, order + 1):
                occurrences[n].update(marked[i : i + n] for i in range(len(marked) - n + 1))
        self.words = {word for (word,) in occurrences[1]} | {UNKNOWN, END}
        self.order = order
        self.counts = [{}] * (order + 1)
        self.discounts = [()] * (order + 1)
        for n in range(1, order + 1):
            counts = dict(occurrences[n])
            if n < order:
                before = defaultdict(set)
                for gram in occurrences[n + 1]:
                    before[gram[1:]].add(gram[0])
                counts = {
                    g: c if g[0] == BEGIN else len(before[g]) for g, c in counts.items()
                }
            if n == 1:
                counts.pop((BEGIN,), None)
            self.counts[n] = counts
            t = [sum(c == k for c in counts.values()) for k in range(5)]
            if min(t[1:4]) == 0:
                self.discounts[n] = (0, *FALLBACK)
                continue
            y = t[1] / (t[1] + 2 * t[2])
            discounts = (0, *(k - (k + 1) * y * t[k + 1] / t[k] for k in (1, 2, 3)))
            self.discounts[n] = discounts if min(discounts[1:]) > 0 else (0, *FALLBACK)

    def probability(self, word, history):
        history = history[-(self.order - 1) :] if self.order > 1 else ()
        return self._interpolated(word, history)

    def _interpolated(self, word, history):
        n = len(history) + 1
        lower = (
            self._interpolated(word, history[1:]) if history else 1 / (len(self.words) - 1)
        )
        followers = {g[-1]: c for g, c in self.counts[n].items() if g[:-1] == history}
        total = sum(followers.values())
        if not total:
            return lower
        d = self.discounts[n]
        left = sum(d[min(c, 3)] for c in followers.values())
        own = followers.get(word, 0)
        return (own - d[min(own, 3)]) / total + left / total * lower


@given(TEXTS, st.integers(1, 4))
def test_probabilities_equal_the_formulas(text, order):
    model, reference = estimate(text, order=order), Reference(text, order)
    sentences = [["a", "b", "c"], ["d"], [], ["x", "a", "a", "b", "d", "c"]]
    actual, _ = model.log_probs(sentences)
    expected = []
    for sentence in sentences:
        history = (BEGIN,)
        for word in (
            *[w if (w,) in reference.counts[1] else UNKNOWN for w in sentence],
            END,
        ):
            expected.append(math.log(reference.probability(word, history)))
            history += (word,)
    np.testing.assert_allclose(actual, expected, rtol=1e-9)


@pytest.mark.parametrize("prune", [(), (0, 0, 1), (0, 1, 1, 2)])
@pytest.mark.parametrize(
    "history", [[], ["w1"], ["w1", "w2"], ["w3", "w1", "w1"], ["w9", "never seen", "w2"]]
)
def test_probabilities_of_all_next_words_sum_to_1(history, prune):
    model = estimate(long_text(), order=4, prune=prune)
    words = [word for word in model.words if word not in (BEGIN, END)]
    last = [model.log_probs([[*history, word]])[0][len(history)] for word in words]
    end = model.log_probs([history])[0][len(history)]
    assert math.fsum(math.exp(p) for p in [*last, end]) == pytest.approx(1, abs=1e-9)


def test_fallbacks_name_the_orders_without_estimated_discounts():
    assert estimate(long_text(), order=3).fallbacks == ()
    assert estimate([["a", "b"]], order=2).fallbacks == (1, 2)


def test_pruning_removes_rare_ngrams_and_keeps_every_word():
    text = long_text()
    full, pruned = estimate(text, order=3), estimate(text, order=3, prune=[0, 0, 1])
    assert [len(t.word) for t in pruned.tables[:2]] == [
        len(t.word) for t in full.tables[:2]
    ]
    assert 0 < len(pruned.tables[2].word) < len(full.tables[2].word)
    assert pruned.perplexity(text)[0] > full.perplexity(text)[0]


def test_perplexity_covers_known_words_and_ends_and_reports_unknown_words():
    model = estimate([["a", "b"], ["b"]], order=1)
    perplexity, unknown = model.perplexity([["a", "x"], ["b", "b"]])
    probability = dict(zip(model.words, 10 ** model.tables[0].log_prob, strict=True))
    product = probability["a"] * probability["b"] ** 2 * probability[END] ** 2
    assert perplexity == pytest.approx(product ** (-1 / 5))
    assert unknown == 1 / 4


def test_an_arpa_file_has_the_counts_and_each_ngram_once(tmp_path):
    model = estimate([["a", "b"], ["b", "é"]], order=2)
    model.write(tmp_path / "lm.arpa")
    lines = (tmp_path / "lm.arpa").read_text(encoding="utf-8").splitlines()
    assert lines[:3] == ["\\data\\", "ngram 1=6", f"ngram 2={len(model.tables[1].word)}"]
    unigrams = lines[lines.index("\\1-grams:") + 1 : lines.index("\\2-grams:") - 1]
    bigrams = lines[lines.index("\\2-grams:") + 1 : lines.index("\\end\\") - 1]
    assert {line.split("\t")[1] for line in unigrams} == {*SPECIAL, "a", "b", "é"}
    assert {line.split("\t")[1] for line in bigrams} == {
        "<s> a",
        "<s> b",
        "a b",
        "b </s>",
        "b é",
        "é </s>",
    }
    assert all(len(line.split("\t")) == 3 for line in unigrams)
    assert list(tmp_path.iterdir()) == [tmp_path / "lm.arpa"]


@pytest.mark.parametrize(
    ("text", "options"),
    [([[]], {}), ([["a"]], {"order": 0}), ([["a"]], {"order": 3, "prune": [0, 2, 1]})],
)
def test_an_empty_text_and_invalid_options_are_refused(text, options):
    with pytest.raises(RecipeError):
        estimate(text, **options)
