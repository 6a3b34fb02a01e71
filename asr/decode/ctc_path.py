"""CTC paths, which hold one token for each frame, and the words that they spell."""

import math
from itertools import pairwise

import numpy as np
from numpy import ndarray

from asr.text import BLANK, Tokenizer

WordSpan = tuple[str, int, int]  # a word, its first frame, and the frame after its last


def span_bounds(path: ndarray) -> tuple[ndarray, ndarray]:
    """Return the first frames and the end frames (N,) of the tokens that a path (U,) emits.

    Repeats are merged and blanks dropped. The tokens of a mask are its runs of True.
    """
    is_edge = np.ones(len(path) + 1, bool)  # both ends of the path are edges
    is_edge[1:-1] = path[1:] != path[:-1]
    edges = np.flatnonzero(is_edge)
    emitted = path[edges[:-1]] != BLANK
    return edges[:-1][emitted], edges[1:][emitted]


def word_spans(paths: ndarray, tokenizer: Tokenizer) -> list[list[WordSpan]]:
    """Return the words that each of several paths (N, U) spells. Spaces separate words.

    All paths are read as one, which is much faster than one after another. Without a space in the
    vocabulary, only one path can be read.
    """
    space = _space(tokenizer)
    padded = np.pad(paths, ((0, 0), (1, 1)), constant_values=space)  # (N, U + 2)
    flat = padded.ravel()
    size = padded.shape[1]
    starts, ends = span_bounds(flat)
    tokens = flat[starts]
    first, end = span_bounds(tokens != space)
    starts = starts[first]
    ends = ends[end - 1]
    words = tokenizer.decode(tokens.tolist()).split()
    bounds = (starts % size - 1).tolist(), (ends % size - 1).tolist()
    spans = list(zip(words, *bounds, strict=True))
    rows = starts.searchsorted(size * np.arange(len(paths) + 1)).tolist()
    return [spans[low:high] for low, high in pairwise(rows)]


def word_log_probs(path: ndarray, log_probs: ndarray, tokenizer: Tokenizer) -> ndarray:
    """Return the mean log-probability of the letters of each word.

    A letter counts with its most likely frame.

    Args:
        path: Tokens (U,).
        log_probs: Log-probability of each token of the path (U,).
        tokenizer: Vocabulary of the path.
    """
    starts, _ = span_bounds(path)
    best = np.maximum.reduceat(np.where(path == BLANK, -np.inf, log_probs), starts)
    is_letter = path[starts] != _space(tokenizer)
    first, end = span_bounds(is_letter)
    sums = np.append(0.0, np.where(is_letter, best, 0.0)).cumsum()
    return (sums[end] - sums[first]) / (end - first)


def frames_to_decode(log_probs: ndarray, skip: float) -> ndarray:
    """Return the indices of the frames of emissions (U, V) to decode.

    Frames with P(blank) > `skip` are skipped, except one between possible repeats: if the frames on
    both sides of a skipped run emit one token with a joint probability above 1 - `skip`, the first
    frame of the run is kept. 1 disables skipping.
    """
    if skip >= 1:
        return np.arange(len(log_probs))
    skipped = log_probs[:, BLANK] > math.log(skip)
    first, end = span_bounds(skipped)
    inner = (first > 0) & (end < len(log_probs))
    first = first[inner]
    end = end[inner]
    joint = np.exp(log_probs[first - 1] + log_probs[end])  # (runs, V)
    repeats = joint.sum(axis=1) - joint[:, BLANK] > 1 - skip
    skipped[first[repeats]] = False
    return np.flatnonzero(~skipped)


def _space(tokenizer: Tokenizer) -> int:
    """Return the label of the space, or the blank for a vocabulary without a space."""
    return tokenizer.index(" ") if " " in tokenizer.tokens else BLANK
