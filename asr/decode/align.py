"""Forced alignment: the likeliest path of CTC that spells a given text (Graves et al. 2006, section 4.1, by maxima).

The labels a b become the states  blank a blank b blank  (S = 2 L + 1); in each frame a path stays, goes on to the next
state, or leaps over a blank between two different labels. torchaudio does it with a table of U * S steps. Where that
would grow too large only the table of one block of frames is held, and the steps before it are worked out again from
the scores at the block's start, so that memory grows with the square root of the frames: an hour of speech fits.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from asr.decode.path import runs
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


def align(log_probs: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor) -> list[Alignment]:
    """Emissions (B, U, V), lengths (B,), labels (B, L), lengths (B,) to an alignment of each utterance."""
    log_probs, targets = log_probs.detach().float().cpu(), targets.cpu()
    rows = [log_probs[i, :frames] for i, frames in enumerate(lengths.tolist())]
    labels = [targets[i, :size] for i, size in enumerate(target_lengths.tolist())]
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return list(pool.map(_align, rows, labels))


def _align(log_probs: Tensor, labels: Tensor) -> Alignment:
    frames, repeats = len(log_probs), int((labels[1:] == labels[:-1]).sum())
    if frames < len(labels) + repeats:
        nothing = np.zeros(0, dtype=np.int64)
        return Alignment(nothing, nothing, np.zeros(0), -math.inf)
    path = best_path(log_probs.numpy(), labels.numpy())
    each = log_probs.numpy().astype(np.float64)[np.arange(frames), path]
    spans = np.array([(run.start, run.end) for run in runs(path)], dtype=np.int64).reshape(-1, 2)
    starts, ends = spans[:, 0], spans[:, 1]
    total = np.append(0.0, each.cumsum())
    return Alignment(starts, ends, (total[ends] - total[starts]) / (ends - starts), float(total[-1]))


def best_path(log_probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The token of each frame (U,) in the likeliest path that spells labels (L,), which fit, by emissions (U, V)."""
    if not len(labels):
        return np.full(len(log_probs), BLANK)
    if len(log_probs) * (2 * len(labels) + 1) > WHOLE:
        return _in_blocks(log_probs, labels, math.isqrt(len(log_probs)))
    from torchaudio.functional import forced_align  # here, for its import costs half a second

    return forced_align(torch.from_numpy(log_probs)[None], torch.from_numpy(labels)[None], blank=BLANK)[0][0].numpy()


def _in_blocks(log_probs: np.ndarray, labels: np.ndarray, block: int) -> np.ndarray:
    """The token of each frame (U,) in the best path, for labels (L,) that fit, with the steps of a block in memory."""
    frames = len(log_probs)
    states = np.full(2 * len(labels) + 1, BLANK)
    states[1::2] = labels
    no_leap = np.full(len(states), -np.inf, dtype=np.float32)
    no_leap[3::2][labels[1:] != labels[:-1]] = 0.0
    scores = np.full(len(states) + 2, -np.inf, dtype=np.float32)  # two impossible states in front, for the leaps
    scores[2] = 0.0  # before the first frame: as if it were in the first blank
    kept = []
    for first in range(0, frames, block):
        kept.append(scores.copy())
        for t in range(first, min(first + block, frames)):
            _forward(scores, log_probs[t][states], no_leap, None)
    state = len(states) - 1 if scores[-1] >= scores[-2] else len(states) - 2
    path = np.empty(frames, dtype=np.int64)
    for first in reversed(range(0, frames, block)):
        scores = kept.pop()
        steps = np.empty((min(block, frames - first), len(states)), dtype=np.uint8)
        for t in range(len(steps)):
            _forward(scores, log_probs[first + t][states], no_leap, steps[t])
        for t in reversed(range(len(steps))):
            path[first + t] = states[state]
            state -= int(steps[t, state])
    return path


def _forward(scores: np.ndarray, emitted: np.ndarray, no_leap: np.ndarray, steps: np.ndarray | None) -> None:
    """Take the scores of the states (2 + S,) over one frame, in place; note how many states each best path went on."""
    stay, step, leap = scores[2:], scores[1:-1], scores[:-2] + no_leap
    best = np.maximum(stay, step)
    if steps is not None:
        np.greater(step, stay, out=steps, casting="unsafe")
        steps[leap > best] = 2
    np.maximum(best, leap, out=best)
    best += emitted
    scores[2:] = best
