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

LABEL, REST = 0, 1  # where in its node a path is


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
        label = np.array([prefix[-1] if prefix else BLANK for prefix in at])
        return cls(label, np.cumsum([1, *(degree[prefix] for prefix in at)]), reach, phrase, ends)


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """In machine code, which is kept beside this file or in the user's cache, where that can be written."""
    types = "(float32[:, ::1], int64[::1], int64[::1], float64[::1], int64[::1], float64[::1])"
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
    lost, began, active = np.full((2, nodes), np.inf), np.zeros((2, nodes), np.int64), np.zeros(nodes, np.int64)
    lost_then, began_then, active_then = lost.copy(), began.copy(), active.copy()
    entered = np.full(nodes, -1)  # the last frame in which a path came into a node
    loss = np.zeros(log_probs.shape[1])
    count, found = 0, []
    for t in range(len(log_probs)):
        likeliest = -np.inf
        for log_prob in log_probs[t]:
            likeliest = max(likeliest, float(log_prob))
        for token in range(len(loss)):
            loss[token] = likeliest - float(log_probs[t, token])
        lost[REST, 0], began[REST, 0], active[count] = 0.0, t, 0  # a phrase may begin in any frame
        count, paths = 0, count + 1
        for k in range(paths):
            node = active[k]
            here = label[node]
            rested, best = lost[REST, node], lost[LABEL, node]
            rested_since, since = began[REST, node], began[LABEL, node]
            stays = best + loss[here]
            if rested < best:
                best, since = rested, rested_since
            rests = best + loss[BLANK]
            if stays < reach[node] or rests < reach[node]:
                if entered[node] != t:
                    entered[node], active_then[count], lost_then[LABEL, node] = t, node, np.inf
                    count += 1
                if stays < lost_then[LABEL, node]:
                    lost_then[LABEL, node], began_then[LABEL, node] = stays, began[LABEL, node]
                lost_then[REST, node], began_then[REST, node] = rests, since
            for child in range(children[node], children[node + 1]):
                again = label[child] == here  # which takes a blank between
                enters = (rested if again else best) + loss[label[child]]
                if enters < reach[child]:
                    start = rested_since if again else since
                    if entered[child] != t:
                        entered[child], active_then[count] = t, child
                        lost_then[LABEL, child] = lost_then[REST, child] = np.inf
                        count += 1
                    if enters <= lost_then[LABEL, child]:
                        lost_then[LABEL, child], began_then[LABEL, child] = enters, start
                    if enters < bonus[child]:
                        found.append((phrase[child], start, t + 1, bonus[child] - enters))
        lost, lost_then, began, began_then = lost_then, lost, began_then, began
        active, active_then = active_then, active
    return found
