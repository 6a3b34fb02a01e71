"""Forced alignment: the likeliest path of CTC that spells a given text (Graves et al. 2006, section 4.1, by maxima).

The labels a b become the states  blank a blank b blank  (2 L + 1); in each frame a path stays, goes on to the next
state, or leaps over a blank between two different labels. torchaudio does it with a table of a step for each frame and
state. Where that would grow too large only the table of one block of frames is held, and the steps before it are worked
out again from the scores at the block's start, so that memory grows with the square root of the frames: an hour of
speech fits.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from asr.decode.ctc_path import span_bounds
from asr.text import BLANK

WHOLE = 1 << 26  # steps, of a byte each, that are held at once


@dataclass(frozen=True)
class Alignment:
    """Where each label of one utterance is: its first frame, the frame behind its last, its mean log-probability.

    `score` is the log-probability of the path in nats, -inf where the labels do not fit into the frames; then there is
    nothing in the others.
    """

    starts: np.ndarray
    ends: np.ndarray
    log_probs: np.ndarray
    score: float


def align_batch(
    log_probs: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor
) -> list[Alignment]:
    """Emissions (B, U, V), lengths (B,), labels (B, L), lengths (B,) to an alignment of each utterance."""
    log_probs, targets = log_probs.detach().float().cpu(), targets.cpu()
    frames = lengths.tolist()
    rows = [row[:count] for row, count in zip(log_probs, frames, strict=True)]
    labels = [row[:size] for row, size in zip(targets, target_lengths.tolist(), strict=True)]
    threads = torch.get_num_threads()
    found: list[np.ndarray | None] = [None] * len(rows)
    with ThreadPoolExecutor(
        threads
    ) as pool:  # a share for each thread: handing over every row would cost more
        shares = pool.map(
            lambda at: list(map(_path, rows[at::threads], labels[at::threads])), range(threads)
        )
        for at, share in enumerate(shares):
            found[at::threads] = share
    paths = np.full(
        (len(rows), log_probs.shape[1] + 1), BLANK
    )  # the last column keeps each row's runs to itself
    for row, path in zip(paths, found, strict=True):
        if path is not None:
            row[: len(path)] = path
    each = np.take_along_axis(log_probs.numpy(), paths[:, :-1, None], axis=2)[..., 0]
    totals = np.zeros(paths.shape)
    np.cumsum(each, axis=1, dtype=np.float64, out=totals[:, 1:])
    first, behind = span_bounds(paths.ravel())
    means = (totals.ravel()[behind] - totals.ravel()[first]) / (behind - first)
    parts = np.searchsorted(first, np.arange(len(paths) + 1) * paths.shape[1])
    return [
        Alignment(
            first[low:high] - i * paths.shape[1],
            behind[low:high] - i * paths.shape[1],
            means[low:high],
            -math.inf if found[i] is None else float(totals[i, frames[i]]),
        )
        for i, (low, high) in enumerate(pairwise(parts.tolist()))
    ]


def _path(log_probs: Tensor, labels: Tensor) -> np.ndarray | None:
    """The token of each frame (U,) in the best path; None where the labels do not fit."""
    if len(log_probs) < len(labels) + int((labels[1:] == labels[:-1]).sum()):
        return None
    return best_path(log_probs.numpy(), labels.numpy())


def best_path(log_probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The token of each frame (U,) in the likeliest path that spells labels (L,), which fit, by emissions (U, V)."""
    if not len(labels):
        return np.full(len(log_probs), BLANK)
    if len(log_probs) * (2 * len(labels) + 1) > WHOLE:
        return _in_blocks(log_probs, labels, math.isqrt(len(log_probs)))
    from torchaudio.functional import forced_align  # here, for its import costs half a second

    return forced_align(
        torch.from_numpy(log_probs)[None], torch.from_numpy(labels)[None], blank=BLANK
    )[0][0].numpy()


def _in_blocks(log_probs: np.ndarray, labels: np.ndarray, block: int) -> np.ndarray:
    """The token of each frame (U,) in the best path, for labels (L,) that fit, with the steps of a block in memory."""
    frames, size = len(log_probs), len(labels)
    same = np.zeros(size + 1, dtype=bool)  # as the label before it: no leap
    same[1:size] = labels[1:] == labels[:-1]
    scores = np.full((2, size + 1), -np.inf, dtype=np.float32)
    scores[0, 0] = 0.0  # before the first frame: as if it were in the first blank
    kept = []
    for first in range(0, frames, block):
        kept.append(scores.copy())
        _forward(scores, log_probs, labels, same, range(first, min(first + block, frames)), None)
    at, spoken = (size, False) if scores[0, -1] >= scores[1, -1] else (size - 1, True)
    path = np.empty(frames, dtype=np.int64)
    for first in reversed(range(0, frames, block)):
        span = range(first, min(first + block, frames))
        steps = np.zeros((len(span), 2, size + 1), dtype=bool)
        _forward(kept.pop(), log_probs, labels, same, span, steps)
        for t in reversed(span):
            path[t] = labels[at] if spoken else BLANK
            entered, leapt = (
                steps[t - first, int(spoken), at],
                steps[t - first, 0, at] and not same[at],
            )
            if spoken and entered and not leapt:
                spoken = False
            elif entered:
                at, spoken = at - 1, True
    return path


def _forward(
    scores: np.ndarray,
    log_probs: np.ndarray,
    labels: np.ndarray,
    same: np.ndarray,
    span: range,
    steps: np.ndarray | None,
) -> None:
    """Take the scores (2, L + 1) of the states over a span of frames, in place.

        scores[0]    _ _ _    the blank in front of each label, and the one behind the last
        scores[1]    . a b    each label, one place on, beside the blank that can follow it; [1, 0] stays impossible

    `steps` (frames, 2, L + 1), where it is there, is told for the blank in front of label i whether its best path came
    out of label i - 1 just now, and for label i whether its best path was not in it before. That path was in the blank,
    or, where the blank's own was in label i - 1 and no repetition forbids it, there.

    Only those states are worked out from which the rest of the labels still fits into the rest of the frames, and that
    can have been reached: about half of them.
    """
    blanks, spoken = scores
    work = np.empty_like(scores)
    again = np.flatnonzero(same)
    for t in span:
        low, high = max(0, len(labels) - len(log_probs) + t), min(len(labels), t + 1)
        blank, before, stay = (
            blanks[low : high + 1],
            spoken[low : high + 1],
            spoken[low + 1 : high + 1],
        )
        best, entered = work[0, low : high + 1], work[1, low:high]
        np.maximum(blank, before, out=best)
        entered[:] = best[:-1]
        held = again[slice(*np.searchsorted(again, (low, high)))]
        entered[held - low] = blanks[held]
        if steps is not None:
            np.greater(before, blank, out=steps[t - span.start, 0, low : high + 1])
            np.greater(entered, stay, out=steps[t - span.start, 1, low:high])
        np.add(best, log_probs[t, BLANK], out=blank)
        np.maximum(stay, entered, out=stay)
        stay += log_probs[t].take(labels[low:high])
