"""Forced alignment against an enumeration of all paths and against torchaudio."""

import math
import tracemalloc
from itertools import groupby, pairwise, product

import numpy as np
import pytest
import torch
import torchaudio
from hypothesis import given
from hypothesis import strategies as st

from asr.decode import forced_align
from asr.decode.forced_align import _best_path_in_blocks, align_batch
from asr.nn.emissions import Emissions

CASES = st.tuples(
    st.integers(1, 6),  # frames
    st.lists(st.integers(1, 3), max_size=3),  # labels, of 4 tokens
    st.integers(0, 10**6),
)


def emissions(frames, tokens, seed):
    return torch.randn(
        frames, tokens, generator=torch.Generator().manual_seed(seed)
    ).log_softmax(-1)


def batch(cases):
    """Return arguments of align_batch for (log_probs, labels) pairs, padded with the best score."""
    rows, labels = zip(*cases, strict=True)
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    lengths = torch.tensor([len(row) for row in rows])
    return Emissions(padded, lengths, 0.04), [np.array(t, dtype=np.int64) for t in labels]


def by_enumeration(log_probs, labels):
    """Return the score of the best path that spells the labels, and the frames of each label."""
    best = (-math.inf, [])
    for path in product(range(log_probs.shape[1]), repeat=len(log_probs)):
        runs = [(token, len(list(run))) for token, run in groupby(path)]
        if [token for token, _ in runs if token] == labels:
            score = float(log_probs[torch.arange(len(path)), list(path)].double().sum())
            if score > best[0]:
                ends = np.cumsum([length for _, length in runs])
                best = (
                    score,
                    [(e - n, e) for (token, n), e in zip(runs, ends, strict=True) if token],
                )
    return best


@given(st.lists(CASES, min_size=1, max_size=3))
def test_the_best_path_is_found_whatever_the_other_rows_are(cases):
    given_cases = [(emissions(frames, 4, seed), labels) for frames, labels, seed in cases]
    for (log_probs, labels), alignment in zip(
        given_cases, align_batch(*batch(given_cases)), strict=True
    ):
        score, spans = by_enumeration(log_probs, labels)
        assert alignment.score == pytest.approx(score, abs=1e-5)
        if score > -math.inf:
            assert list(zip(alignment.starts, alignment.ends, strict=True)) == spans
            means = [
                float(log_probs[a:b, t].mean())
                for (a, b), t in zip(spans, labels, strict=True)
            ]
            assert alignment.log_probs == pytest.approx(means, abs=1e-5)


@pytest.mark.parametrize(("frames", "size"), [(1, 1), (7, 2), (120, 30), (400, 60)])
def test_alignments_equal_those_of_torchaudio(frames, size):
    labels = torch.randint(
        1, 29, (size,), generator=torch.Generator().manual_seed(size)
    ).tolist()
    log_probs = emissions(frames, 29, 0)
    (alignment,) = align_batch(*batch([(log_probs, labels)]))
    tokens, scores = torchaudio.functional.forced_align(
        log_probs[None], torch.tensor([labels])
    )
    spans = torchaudio.functional.merge_tokens(tokens[0], scores[0].exp())
    assert [(span.start, span.end) for span in spans] == list(
        zip(alignment.starts, alignment.ends, strict=True)
    )
    assert alignment.score == pytest.approx(float(scores.sum()), rel=1e-5)


def test_labels_that_do_not_fit_have_no_alignment_and_do_not_affect_others():
    fitting = (emissions(5, 4, 0), [1, 2])
    good, bad = align_batch(*batch([fitting, (emissions(2, 4, 1), [1, 1])]))
    assert good.score == align_batch(*batch([fitting]))[0].score
    assert bad.score == -math.inf
    assert len(bad.starts) == len(bad.ends) == len(bad.log_probs) == 0


@given(CASES, st.integers(1, 4))
def test_paths_computed_in_blocks_have_the_same_score(case, block):
    frames, labels, seed = case
    log_probs = emissions(frames + 2 * len(labels), 4, seed)
    (full,) = align_batch(*batch([(log_probs, labels)]))
    path = _best_path_in_blocks(log_probs.numpy(), np.array(labels, dtype=np.int64), block)
    assert [token for token, _ in groupby(path.tolist()) if token] == labels
    assert float(
        log_probs[torch.arange(len(path)), torch.from_numpy(path)].sum()
    ) == pytest.approx(full.score, abs=1e-4)


@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=30),
    st.integers(0, 12),
    st.integers(1, 9),
)
def test_labels_may_fill_every_frame_of_a_path_computed_in_blocks(labels, spare, block):
    frames = len(labels) + sum(a == b for a, b in pairwise(labels)) + spare
    log_probs = emissions(frames, 4, frames)
    path = _best_path_in_blocks(log_probs.numpy(), np.array(labels, dtype=np.int64), block)
    assert [token for token, _ in groupby(path.tolist()) if token] == labels
    _, scores = torchaudio.functional.forced_align(log_probs[None], torch.tensor([labels]))
    assert float(log_probs[torch.arange(frames), path].sum()) == pytest.approx(
        float(scores.sum()), abs=1e-4
    )


def test_long_recordings_need_far_less_memory_than_a_full_table_of_steps(monkeypatch):
    frames, size = 4_000, 2_000
    labels = torch.randint(
        1, 29, (size,), generator=torch.Generator().manual_seed(0)
    ).tolist()
    long = batch([(emissions(frames, 29, 0), labels)])
    (full,) = align_batch(*long)
    monkeypatch.setattr(forced_align, "MAX_STEPS", 0)
    tracemalloc.start()
    (blockwise,) = align_batch(*long)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert blockwise.score == pytest.approx(full.score, rel=1e-6)
    assert peak < frames * 2 * size / 5
