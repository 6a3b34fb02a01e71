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
import torch
from torch import Tensor

from asr.decode.ctc_path import span_bounds
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

    starts: np.ndarray
    ends: np.ndarray
    log_probs: np.ndarray
    score: float


def align_batch(
    log_probs: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor
) -> list[Alignment]:
    """Return the alignment of each utterance.

    Args:
        log_probs: Emissions (B, U, V).
        lengths: Valid frames (B,).
        targets: Labels (B, L).
        target_lengths: Valid labels (B,).
    """
    rows, labels = log_probs.detach().float().cpu().numpy(), targets.cpu().numpy()
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return list(
            pool.map(_align, rows, lengths.tolist(), labels, target_lengths.tolist())
        )


def _align(log_probs: np.ndarray, frames: int, labels: np.ndarray, size: int) -> Alignment:
    """Return the alignment of padded labels (L,) of a size with padded emissions (U, V)."""
    log_probs, labels = log_probs[:frames], labels[:size]
    fits = frames >= size + np.count_nonzero(labels[1:] == labels[:-1])
    path = best_path(log_probs, labels) if fits else np.empty(0, np.int64)
    starts, ends = span_bounds(path)
    totals = np.zeros(len(path) + 1)  # log-probability of the path before each frame
    np.cumsum(log_probs[np.arange(len(path)), path], dtype=np.float64, out=totals[1:])
    means = (totals[ends] - totals[starts]) / (ends - starts)
    return Alignment(starts, ends, means, float(totals[-1]) if fits else -math.inf)


def best_path(log_probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the tokens (U,) of the most likely path that spells labels (L,).

    The labels must fit into the frames of the emissions (U, V).
    """
    if not len(labels):
        return np.full(len(log_probs), BLANK)
    if len(log_probs) * (2 * len(labels) + 1) > MAX_STEPS:
        return _best_path_in_blocks(log_probs, labels, math.isqrt(len(log_probs)))
    # imported here because it takes half a second
    from torchaudio.functional import forced_align

    path, _ = forced_align(
        torch.from_numpy(log_probs)[None], torch.from_numpy(labels)[None], blank=BLANK
    )
    return path[0].numpy()


def _best_path_in_blocks(
    log_probs: np.ndarray, labels: np.ndarray, block: int
) -> np.ndarray:
    """Return the path (U,) of `best_path` with the steps of one block of frames in memory."""
    frames, size = len(log_probs), len(labels)
    repeats = np.zeros(size + 1, dtype=bool)  # labels that equal the one before
    repeats[1:size] = labels[1:] == labels[:-1]
    scores = np.full((2, size + 1), -np.inf, dtype=np.float32)
    scores[0, 0] = 0.0  # every path begins in the first blank
    blocks = [range(frames)[start : start + block] for start in range(0, frames, block)]
    saved = []
    for span in blocks:
        saved.append(scores.copy())
        _advance(scores, log_probs, labels, repeats, span, None)
    in_label = bool(scores[0, -1] < scores[1, -1])
    i = size - in_label  # the state is label i, or the blank before it
    path = np.empty(frames, dtype=np.int64)
    for span in reversed(blocks):
        steps = np.zeros((len(span), 2, size + 1), dtype=bool)
        _advance(saved.pop(), log_probs, labels, repeats, span, steps)
        for t in reversed(span):
            path[t] = labels[i] if in_label else BLANK
            moved = steps[t - span.start, int(in_label), i]
            skips_blank = steps[t - span.start, 0, i] and not repeats[i]
            if moved and in_label and not skips_blank:
                in_label = False
            elif moved:
                i, in_label = i - 1, True
    return path


def _advance(
    scores: np.ndarray,
    log_probs: np.ndarray,
    labels: np.ndarray,
    repeats: np.ndarray,
    span: range,
    steps: np.ndarray | None,
) -> None:
    """Advance the scores of all states over a span of frames, in place.

    Only states that can be reached, and from which the other labels fit into the other frames, are
    computed: about half of all.

    Args:
        scores: Best log-probabilities (2, L + 1). scores[0] holds the blank before each label and
            the last blank. scores[1] holds the labels, shifted by one, so that each label is at the
            index of the blank after it; scores[1, 0] is impossible.
        log_probs: Emissions (U, V).
        labels: Labels (L,).
        repeats: Labels (L + 1,) that equal the one before, so that the blank cannot be skipped.
        span: Frames to process.
        steps: Output (frames, 2, L + 1), if given. steps[:, 0] is whether the best path into the
            blank before label i comes from label i - 1. steps[:, 1] is whether the best path into
            label i comes from another state: from label i - 1 if steps[:, 0] and not a repeat, else
            from the blank before label i.
    """
    blanks, emitted = scores
    work = np.empty_like(scores)
    (repeated,) = repeats.nonzero()
    for t in span:
        low, high = max(0, len(labels) - len(log_probs) + t), min(len(labels), t + 1)
        blank, previous = blanks[low : high + 1], emitted[low : high + 1]
        label = emitted[low + 1 : high + 1]
        best, entry = work[0, low : high + 1], work[1, low:high]
        np.maximum(blank, previous, out=best)
        entry[:] = best[:-1]
        first, end = np.searchsorted(repeated, (low, high))
        entry[repeated[first:end] - low] = blanks[repeated[first:end]]
        if steps is not None:
            np.greater(previous, blank, out=steps[t - span.start, 0, low : high + 1])
            np.greater(entry, label, out=steps[t - span.start, 1, low:high])
        np.add(best, log_probs[t, BLANK], out=blank)
        np.maximum(label, entry, out=label)
        label += log_probs[t].take(labels[low:high])
