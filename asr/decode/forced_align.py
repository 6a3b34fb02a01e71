"""Forced alignment: the most likely CTC path that spells a given text.

Graves et al. 2006, section 4.1, with maxima in place of sums. The labels a b become the 2 L + 1
states `blank a blank b blank`. In each frame a path stays, moves to the next state, or skips a
blank between two different labels. torchaudio implements this with a table of one step per frame
and state. If this table is too large, only the table of one block of frames is held, and the steps
of a block are recomputed from the scores at its start. Memory then grows with the square root of
the number of frames, so that an hour of speech fits.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from asr.decode.ctc_path import span_bounds
from asr.nn.emissions import Emissions
from asr.text import BLANK

MAX_STEPS = 1 << 26  # steps in memory, one byte each


@dataclass(frozen=True)
class Alignment:
    """The place of each label (L,) of an utterance.

    If the labels do not fit into the frames, the score is -inf and the arrays are empty.

    Attributes:
        starts: First frame of each label.
        ends: Frame after the last frame of each label.
        log_probs: Mean log-probability of each label in its frames.
        score: Log-probability of the path in nats.
    """

    starts: ndarray
    ends: ndarray
    log_probs: ndarray
    score: float


def align_batch(emissions: Emissions, labels: list[ndarray]) -> list[Alignment]:
    """Return the alignment of the labels (L,) of each utterance."""
    import torch

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return list(pool.map(_align, emissions.rows(), labels))


def _align(log_probs: ndarray, labels: ndarray) -> Alignment:
    """Return the alignment of labels (L,) with emissions (U, V)."""
    repeats = np.count_nonzero(labels[1:] == labels[:-1])  # each needs a blank before it
    fits = len(log_probs) >= len(labels) + repeats
    path = best_path(log_probs, labels) if fits else labels[:0]
    starts, ends = span_bounds(path)
    path_log_probs = log_probs[np.arange(len(path)), path]
    totals = np.append(0.0, path_log_probs).cumsum()  # before each frame
    means = (totals[ends] - totals[starts]) / (ends - starts)
    return Alignment(starts, ends, means, float(totals[-1]) if fits else -math.inf)


def best_path(log_probs: ndarray, labels: ndarray) -> ndarray:
    """Return the tokens (U,) of the most likely path that spells labels (L,).

    The labels must fit into the frames of the emissions (U, V).
    """
    if not len(labels):
        return np.full(len(log_probs), BLANK)
    if len(log_probs) * (2 * len(labels) + 1) > MAX_STEPS:
        return _best_path_in_blocks(log_probs, labels, math.isqrt(len(log_probs)))
    # imported here because it takes half a second
    import torch
    from torchaudio.functional import forced_align

    path, _ = forced_align(
        torch.from_numpy(log_probs)[None], torch.from_numpy(labels)[None]
    )
    return path[0].numpy()


def _best_path_in_blocks(log_probs: ndarray, labels: ndarray, block: int) -> ndarray:
    """Return the path (U,) of `best_path` with the steps of one block of frames in memory."""
    frames = len(log_probs)
    size = 2 * len(labels) + 1
    states = np.full(size, BLANK)
    states[1::2] = labels
    scores = np.full(size + 2, -np.inf, np.float32)
    scores[2] = 0.0  # every path begins in the first blank
    blocks = [range(frames)[start : start + block] for start in range(0, frames, block)]
    saved = []
    for span in blocks:
        saved.append(scores.copy())
        _advance(scores, log_probs, states, span, None)
    i = size - (2 if scores[-2] > scores[-1] else 1)  # the last label or blank
    path = np.empty(frames, np.int64)
    for span in reversed(blocks):
        steps = np.zeros((len(span), size), np.uint8)
        _advance(saved.pop(), log_probs, states, span, steps)
        for t in reversed(span):
            path[t] = states[i]
            i -= int(steps[t - span.start, i])
    return path


def _advance(
    scores: ndarray,
    log_probs: ndarray,
    states: ndarray,
    span: range,
    steps: ndarray | None,
) -> None:
    """Advance the scores of all states over a span of frames, in place.

    Only states that can be reached, and from which the last label can be reached, are computed:
    about half of all.

    Args:
        scores: Best log-probabilities (2 + states,). The first two states are impossible.
        log_probs: Emissions (U, V).
        states: Labels with blanks between and around them (2 L + 1,).
        span: Frames to process.
        steps: Output (frames, states), if given: how many states the best path has moved.
    """
    size = len(states)
    # a path can only skip a blank between two different labels
    blocked = np.full(size, -np.inf, np.float32)
    blocked[2:][states[2:] != states[:-2]] = 0.0
    for t in span:
        low = max(0, size - 2 * (len(log_probs) - t))
        high = min(size, 2 * t + 2)
        stay = scores[low + 2 : high + 2]
        move = scores[low + 1 : high + 1]
        skip = scores[low:high] + blocked[low:high]
        best = np.maximum(stay, move)
        if steps is not None:
            moved = steps[t - span.start, low:high]
            np.maximum(move > stay, np.uint8(2) * (skip > best), out=moved)
        np.maximum(best, skip, out=best)
        np.add(best, log_probs[t].take(states[low:high]), out=stay)
