"""Exact scores of every text over four tokens and a few frames, as an oracle for searches."""

import math
from collections import defaultdict
from itertools import groupby, product

import numpy as np
import pytest
from hypothesis import strategies as st

from asr.text import Tokenizer

TOKENIZER = Tokenizer((" ", "a", "b"))  # labels 1, 2, 3; 0 is the blank
SMALL = st.tuples(st.integers(1, 6), st.integers(0, 10**6))  # frames, seed


def labellings(log_probs):
    """Return the log-likelihood of each label sequence, summed over all paths."""
    table = log_probs.double().numpy()
    likelihoods = defaultdict(float)
    for path in product(range(4), repeat=len(table)):
        labels = tuple(token for token, _ in groupby(path) if token)
        likelihoods[labels] += math.exp(table[np.arange(len(path)), list(path)].sum())
    return {labels: math.log(value) for labels, value in likelihoods.items()}


def by_text(scores, tokenizer=TOKENIZER):
    """Return scores of label sequences, summed by text. Outer and double spaces do not count."""
    totals = {}
    for labels, score in scores.items():
        text = " ".join(tokenizer.decode(labels).split())
        totals[text] = np.logaddexp(totals.get(text, -math.inf), score)
    return totals


def agrees(hypothesis, scores):
    """Check that a hypothesis has the best text and its score."""
    best = max(scores.values())
    assert hypothesis.score == pytest.approx(best, abs=2e-3)
    assert scores[hypothesis.text] == pytest.approx(best, abs=2e-3)
