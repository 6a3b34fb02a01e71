"""The sum over all alignments of every text of four tokens and a few frames, for searches to be held against."""

import math
from collections import defaultdict
from itertools import groupby, product

import numpy as np
import pytest
from hypothesis import strategies as st

from asr.text import Tokenizer

TOKENIZER = Tokenizer((" ", "a", "b"))  # 1, 2, 3; 0 is the blank
SMALL = st.tuples(st.integers(1, 6), st.integers(0, 10**6))  # frames, seed


def labellings(log_probs):
    """The log-likelihood of each labelling, summed over all paths."""
    table = log_probs.double().numpy()
    found = defaultdict(float)
    for path in product(range(4), repeat=len(table)):
        labels = tuple(token for token, _ in groupby(path) if token)
        found[labels] += math.exp(table[np.arange(len(path)), list(path)].sum())
    return {labels: math.log(value) for labels, value in found.items()}


def by_text(scores, tokenizer=TOKENIZER):
    """Scores of labellings summed by the text that they stand for: spaces at the ends and twice do not count."""
    found = {}
    for labels, score in scores.items():
        text = " ".join(tokenizer.decode(labels).split())
        found[text] = np.logaddexp(found.get(text, -math.inf), score)
    return found


def agrees(hypothesis, scores):
    best = max(scores.values())
    assert hypothesis.score == pytest.approx(best, abs=2e-3)
    assert scores[hypothesis.text] == pytest.approx(best, abs=2e-3)
