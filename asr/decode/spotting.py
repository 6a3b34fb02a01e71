"""Where phrases are in emissions, many at once: token passing through the tree of their labels, as machine code.

A path in a node is in its label or in the blanks behind it. It has lost, against the likeliest path, what its tokens
are less likely than the likeliest ones, and goes no further once no phrase below it may lose that much: so few paths
are under way in any frame, and most of the tree costs nothing (Andrusenko et al. 2024, arXiv 2406.07096, section 2.2).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from asr.text import BLANK

ONE = np.uint64(1)  # without a sign, as indices here are, which is quicker in numba; with a plain 1 the sum is a float


class Tree(NamedTuple):
    """The labels of phrases, in N nodes of which the first stands before every phrase."""

    label: np.ndarray  # (N,)
    children: np.ndarray  # (N + 1,): those of node n are from children[n] up to children[n + 1]
    reach: np.ndarray  # (N,): nats that a path there may lose, by the most generous phrase that is still to come
    phrase: np.ndarray  # (N,): its number where one ends, else -1
    bonus: np.ndarray  # (N,): nats that it may lose, else 0

    @classmethod
    def of(cls, phrases: Sequence[Sequence[int]], bonus: Sequence[float]) -> "Tree":
        """The tree of phrases, each of them labels and what it may lose."""
        prefixes = {tuple(labels[:size]) for labels in phrases for size in range(len(labels) + 1)}
        at = {prefix: n for n, prefix in enumerate(sorted(prefixes, key=lambda p: (len(p), p)))}
        degree = Counter(prefix[:-1] for prefix in at if prefix)
        reach, phrase, ends = np.zeros(len(at)), np.full(len(at), -1), np.zeros(len(at))
        for i, labels in enumerate(phrases):
            path = [at[tuple(labels[: size + 1])] for size in range(len(labels))]
            reach[path] = np.maximum(reach[path], bonus[i])
            phrase[path[-1]], ends[path[-1]] = i, bonus[i]
        label = np.array([prefix[-1] if prefix else BLANK for prefix in at], dtype=np.uint64)
        children = np.cumsum([1, *(degree[prefix] for prefix in at)], dtype=np.uint64)
        return cls(label, children, reach, phrase, ends)


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """In machine code, which is kept beside this file or in the user's cache, where that can be written."""
    types = "(float32[:, ::1], uint64[::1], uint64[::1], float64[::1], int64[::1], float64[::1])"
    try:
        return njit(types, cache=True)(function)
    except (OSError, RuntimeError):  # a full disk, no such place
        return njit(types)(function)


@_compiled
def spot(
    log_probs: np.ndarray,
    label: np.ndarray,
    children: np.ndarray,
    reach: np.ndarray,
    phrase: np.ndarray,
    bonus: np.ndarray,
) -> list[tuple[int, int, int, float]]:
    """Whatever spells a phrase of a tree, as its number, first frame, the frame behind its last and its gain in nats.

    `log_probs` (U, V) are emissions. What is told is the best path, of equals the one that began last, that enters the
    last label of a phrase in a frame and has lost less than the phrase's bonus.
    """
    nodes = len(label)
    lost, began = np.full(nodes, np.inf), np.zeros(nodes, np.int64)  # of the path that is in a node's label
    rested, rested_since = np.full(nodes, np.inf), np.zeros(nodes, np.int64)  # of that in the blanks behind it
    lost_then, began_then, rested_then, rested_since_then = lost.copy(), began.copy(), lost.copy(), began.copy()
    active, active_then = np.zeros(nodes, np.uint64), np.zeros(nodes, np.uint64)
    entered = np.full(nodes, -1)  # the last frame in which a path came into a node
    loss = np.zeros(log_probs.shape[1])
    count, found = 0, []
    for t in range(len(log_probs)):
        likeliest = log_probs[t].max()
        for token in range(len(loss)):
            loss[token] = likeliest - log_probs[t, token]
        rested[0], rested_since[0], active[count] = 0.0, t, 0  # a phrase may begin in any frame
        count, paths = 0, count + 1
        for k in range(paths):
            node = active[k]
            here = label[node]
            best, since = lost[node], began[node]
            stays = best + loss[here]
            if rested[node] < best:
                best, since = rested[node], rested_since[node]
            rests = best + loss[BLANK]
            if stays < reach[node] or rests < reach[node]:
                if entered[node] != t:
                    entered[node], active_then[count], lost_then[node] = t, node, np.inf
                    count += 1
                if stays < lost_then[node]:
                    lost_then[node], began_then[node] = stays, began[node]
                rested_then[node], rested_since_then[node] = rests, since
            for child in range(children[node], children[node + ONE]):
                again = label[child] == here  # which takes a blank between
                enters = (rested[node] if again else best) + loss[label[child]]
                if enters < reach[child]:
                    start = rested_since[node] if again else since
                    if entered[child] != t:
                        entered[child], active_then[count] = t, child
                        lost_then[child] = rested_then[child] = np.inf
                        count += 1
                    if enters <= lost_then[child]:
                        lost_then[child], began_then[child] = enters, start
                    if enters < bonus[child]:
                        found.append((phrase[child], start, t + 1, bonus[child] - enters))
        lost, lost_then, began, began_then = lost_then, lost, began_then, began
        rested, rested_then, rested_since, rested_since_then = rested_then, rested, rested_since_then, rested_since
        active, active_then = active_then, active
    return found
