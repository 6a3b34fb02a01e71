"""Search for many phrases in emissions at once, compiled by numba.

Tokens are passed through a trie of the labels of the phrases (Andrusenko et al. 2024, arXiv
2406.07096, section 2.2). A path in a node is in its label or in the blanks after it. The loss of a
path is the log-probability by which its tokens are less likely than the most likely tokens. A path
ends when its loss exceeds the bonus of all phrases below its node. Few paths are therefore active
in any frame, and most of the trie costs no time. A phrase is found in each frame in which the best
path enters its last label with a loss below its bonus. Of equal paths, the one with the latest
start counts.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit, typeof, types
from numpy import ndarray

from asr.text import BLANK

IMPOSSIBLE = -1e4  # nats
ONE = np.uint64(1)  # because numba makes a float of an unsigned and a signed integer


class PhraseTrie(NamedTuple):
    """The labels of phrases in N nodes. Node 0 is the root."""

    label: ndarray  # (N,)
    parent: ndarray  # (N,), ascending; the root is its own parent
    children: ndarray  # (N + 1,); those of node n are children[n] to children[n + 1] - 1
    reach: ndarray  # (N,): largest bonus in nats of the phrases through a node
    bonus: ndarray  # (N,): bonus in nats of the phrase that ends in a node, else 0

    @classmethod
    def of(cls, phrases: list[list[int]], bonus: list[float]) -> "PhraseTrie":
        """Return the trie of phrases, given as labels, and the bonus of each in nats."""
        distinct = {
            tuple(labels[:size]) for labels in phrases for size in range(len(labels) + 1)
        }
        prefixes = sorted(distinct, key=lambda prefix: (len(prefix), prefix))
        nodes = {prefix: node for node, prefix in enumerate(prefixes)}
        label = np.array([(BLANK, *prefix)[-1] for prefix in prefixes], np.uint64)
        parent = np.array([nodes[prefix[:-1]] for prefix in prefixes], np.uint64)
        children = 1 + np.searchsorted(parent[1:], np.arange(len(nodes) + 1))
        reach, ends = np.zeros((2, len(nodes)))
        for labels, nats in zip(phrases, bonus, strict=True):
            node = nodes[tuple(labels)]
            ends[node] = nats
            while node:
                reach[node] = max(reach[node], nats)
                node = int(parent[node])
        return cls(label, parent, children.astype(np.uint64), reach, ends)


FRAMES = types.float32[:, ::1]
BATCH = types.float32[:, :, ::1]
TRIE = typeof(PhraseTrie.of([[1]], [1.0]))


def _compiled(*arguments: Any) -> Any:
    """Compile a function, and cache it beside this file or in the user's cache if possible."""

    def compiled(function: Any) -> Any:
        try:
            return njit(arguments, cache=True)(function)
        except (OSError, RuntimeError):  # no writable place for the cache
            return njit(arguments)(function)

    return compiled


@_compiled(FRAMES, TRIE)
def find_phrases(log_probs: ndarray, trie: PhraseTrie) -> list[tuple[float, int, int, int]]:
    """Return (-gain in nats, frames, first frame, end node) of phrases in emissions (U, V)."""
    label, _, children, reach, bonus = trie
    # loss and first frame of the best path in the label of each node, and in its blanks
    cost = np.full((2, len(label)), np.inf)
    start = np.zeros((2, len(label)), np.int64)
    next_cost, next_start = cost.copy(), start.copy()
    # a node may be listed twice, but has no path left the second time
    active = np.zeros(2 * len(label), np.uint64)
    next_active, count, found = active.copy(), 1, []
    for t in range(len(log_probs)):
        loss = log_probs[t].max() - log_probs[t]  # (V,)
        cost[1, 0], start[1, 0] = 0.0, t  # a phrase may begin in any frame
        nodes, count = active[:count], 1  # the root is always active
        for node in nodes:
            last = label[node]
            best = 1 if cost[1, node] < cost[0, node] else 0
            stay = cost[0, node] + loss[last]
            rest = cost[best, node] + loss[BLANK]
            if min(stay, rest) < reach[node]:
                if next_cost[0, node] == np.inf:
                    next_active[count] = node
                    count += 1
                if stay < next_cost[0, node]:
                    next_cost[0, node], next_start[0, node] = stay, start[0, node]
                next_cost[1, node], next_start[1, node] = rest, start[best, node]
            for child in range(children[node], children[node + ONE]):
                token = label[child]
                source = 1 if token == last else best  # repeats need a blank between
                enter = cost[source, node] + loss[token]
                if enter < reach[child]:
                    first = start[source, node]
                    if next_cost[0, child] == np.inf:
                        next_active[count] = child
                        count += 1
                    if enter <= next_cost[0, child]:
                        next_cost[0, child], next_start[0, child] = enter, first
                    if enter < bonus[child]:
                        found.append((enter - bonus[child], t + 1 - first, first, child))
            cost[:, node] = np.inf
        cost, next_cost = next_cost, cost
        start, next_start = next_start, start
        active, next_active = next_active, active
    return found


@_compiled(FRAMES, TRIE, types.uint64)
def phrase_path(log_probs: ndarray, trie: PhraseTrie, node: int) -> ndarray:
    """Return the most likely path (U,) that spells the phrase that ends in a node.

    The phrase must fit into the emissions (U, V). `asr.decode.forced_align.best_path` returns the
    same path, but compiled code cannot call it, and it takes thirty times as long for a few frames.
    """
    states = [BLANK]
    while node > 0:
        states += [int(trie.label[node]), BLANK]
        node = trie.parent[node]
    states.reverse()
    steps = np.zeros((len(log_probs), len(states)), np.int64)  # states that the path moves
    score = np.full(len(states), -np.inf)
    score[0] = 0.0
    for t in range(len(log_probs)):
        for i in range(len(states) - 1, -1, -1):
            if i > 0 and score[i - 1] > score[i]:
                steps[t, i] = 1
            can_skip = i > 1 and states[i] != states[i - 2]  # a blank between two labels
            if can_skip and score[i - 2] > score[i - steps[t, i]]:
                steps[t, i] = 2
            score[i] = score[i - steps[t, i]] + log_probs[t, states[i]]
    path = np.empty(len(log_probs), np.int64)
    i = len(states) - (1 if score[-1] >= score[-2] else 2)  # the last blank or label
    for t in range(len(path) - 1, -1, -1):
        path[t] = states[i]
        i -= steps[t, i]
    return path


@_compiled(BATCH, types.int64[::1], types.uint64, TRIE)
def boost_phrases(
    log_probs: ndarray, lengths: ndarray, space: int, trie: PhraseTrie
) -> None:
    """Boost the phrases that are found in emissions, in place.

    Of overlapping phrases, the one with the largest gain is boosted. Neighbors share a space.

    Args:
        log_probs: Emissions (B, U + 2, V) with one frame before and one after those of `lengths`,
            which are overwritten.
        lengths: Frames (B,).
        space: Label of the space.
        trie: Phrases from space to space.
    """
    for i in range(len(lengths)):
        row = log_probs[i, : lengths[i] + 2]
        row[0] = row[-1] = IMPOSSIBLE  # the ends of a recording separate words like a space
        row[0, space] = row[-1, space] = 0.0
        path = np.zeros(len(row), np.int64)
        penalty = np.zeros(len(row))
        taken = np.zeros(len(row), np.bool_)
        for _, size, start, node in sorted(find_phrases(row, trie)):
            end = start + size
            if taken[start + 1 : end - 1].any():
                continue
            taken[start + 1 : end - 1] = True
            penalty[start:end] = trie.bonus[node] / size
            for t, token in enumerate(phrase_path(row[start:end], trie, node), start):
                path[t] = token  # a slice would take two more seconds to compile
        for frame in penalty.nonzero()[0]:
            scores = row[frame]
            token = path[frame]
            highest = scores.max()
            scores[scores.argmax()] = scores[token]
            scores -= penalty[frame]
            scores[token] = highest
