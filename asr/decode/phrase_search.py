"""Search for many phrases in emissions at once, compiled by numba.

Tokens are passed through a trie of the labels of the phrases (Andrusenko et al. 2024, arXiv
2406.07096, section 2.2). A path in a node is in its label or in the blanks after it. The loss of a
path is the log-probability by which its tokens are less likely than the most likely tokens. A path
ends when its loss exceeds the bonus of all phrases below its node. Few paths are therefore active
in any frame, and most of the trie costs no time. A phrase is found in each frame in which the best
path enters its last label with a loss below its bonus. Of equal paths, the one with the latest
start counts.
"""

from collections.abc import Callable, Sequence
from heapq import heapify, heappop
from typing import Any, NamedTuple

import numpy as np
from numba import njit, types

from asr.text import BLANK

IMPOSSIBLE = -1e4  # nats
ONE = np.uint64(1)  # because numba makes a float of an unsigned and a signed integer

# end node, first frame, end frame, gain in nats
Match = tuple[int, int, int, float]


class PhraseTrie(NamedTuple):
    """The labels of phrases in N nodes. Node 0 is the root."""

    label: np.ndarray  # (N,)
    parent: np.ndarray  # (N,); the root is its own parent
    children: np.ndarray  # (N + 1,); those of node n are children[n] to children[n + 1] - 1
    reach: np.ndarray  # (N,): largest bonus in nats of the phrases through a node
    bonus: np.ndarray  # (N,): bonus in nats of the phrase that ends in a node, else 0

    @classmethod
    def of(cls, phrases: Sequence[Sequence[int]], bonus: Sequence[float]) -> "PhraseTrie":
        """Return the trie of phrases, given as labels, and the bonus of each in nats."""
        distinct = {
            tuple(labels[:size]) for labels in phrases for size in range(len(labels) + 1)
        }
        prefixes = sorted(distinct, key=lambda prefix: (len(prefix), prefix))
        nodes = {prefix: node for node, prefix in enumerate(prefixes)}
        reach, ends = np.zeros((2, len(nodes)))
        for labels, nats in zip(phrases, bonus, strict=True):
            path = [nodes[tuple(labels[: size + 1])] for size in range(len(labels))]
            reach[path] = np.maximum(reach[path], nats)
            ends[path[-1]] = nats
        label = np.array(
            [prefix[-1] if prefix else BLANK for prefix in prefixes], np.uint64
        )
        parent = np.array(
            [nodes[prefix[:-1]] for prefix in prefixes], np.uint64
        )  # ascending
        children = 1 + np.searchsorted(parent[1:], np.arange(len(nodes) + 1))
        return cls(label, parent, children.astype(np.uint64), reach, ends)


INDICES, NATS, FRAMES = types.uint64[::1], types.float64[::1], types.float32[:, ::1]
TRIE = types.NamedTuple([INDICES, INDICES, INDICES, NATS, NATS], PhraseTrie)


def _compiled(*arguments: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function, and cache it beside this file or in the user's cache if possible."""

    def compiled(function: Callable[..., Any]) -> Any:
        try:
            return njit(arguments, cache=True)(function)
        except (OSError, RuntimeError):  # no writable place for the cache
            return njit(arguments)(function)

    return compiled


@njit
def _activate(
    node: int, t: int, entered: np.ndarray, active: np.ndarray, cost: np.ndarray, count: int
) -> int:
    """Add a node to the `count` active nodes of the next frame, unless it is one. Return the count.

    Args:
        node: Node that a path of frame t reaches.
        t: Frame.
        entered: Last frame in which a path reached each node (N,).
        active: Active nodes of the next frame (N,).
        cost: Losses of the next frame (2, N), reset for a new node.
        count: Active nodes so far.
    """
    if entered[node] == t:
        return count
    entered[node], active[count] = t, node
    cost[:, node] = np.inf
    return count + 1


@_compiled(FRAMES, TRIE)
def find_phrases(log_probs: np.ndarray, trie: PhraseTrie) -> list[Match]:
    """Return the phrases that are found in emissions (U, V)."""
    label, _, children, reach, bonus = trie
    cost = np.full((2, len(label)), np.inf)  # loss in the label and in the blanks of a node
    start = np.zeros((2, len(label)), np.int64)  # first frame of the path
    active = np.zeros(len(label), np.uint64)
    next_cost, next_start, next_active = cost.copy(), start.copy(), active.copy()
    entered = np.full(len(label), -1)  # last frame in which a path reached a node
    count, found, loss = 0, [], np.zeros(log_probs.shape[1])
    for t in range(len(log_probs)):
        likeliest = log_probs[t].max()
        for token in range(len(loss)):
            loss[token] = likeliest - log_probs[t, token]
        # a phrase may begin in any frame
        cost[1, 0], start[1, 0], active[count] = 0.0, t, 0
        paths, count = count + 1, 0
        for k in range(paths):
            node = active[k]
            best, begin = cost[0, node], start[0, node]
            stay = best + loss[label[node]]
            if cost[1, node] < best:
                best, begin = cost[1, node], start[1, node]
            rest = best + loss[BLANK]
            if stay < reach[node] or rest < reach[node]:
                count = _activate(node, t, entered, next_active, next_cost, count)
                if stay < next_cost[0, node]:
                    next_cost[0, node], next_start[0, node] = stay, start[0, node]
                next_cost[1, node], next_start[1, node] = rest, begin
            for child in range(children[node], children[node + ONE]):
                repeats = label[child] == label[node]  # needs a blank between
                enter = (cost[1, node] if repeats else best) + loss[label[child]]
                if enter < reach[child]:
                    first = start[1, node] if repeats else begin
                    count = _activate(child, t, entered, next_active, next_cost, count)
                    if enter <= next_cost[0, child]:
                        next_cost[0, child], next_start[0, child] = enter, first
                    if enter < bonus[child]:
                        found.append((child, first, t + 1, bonus[child] - enter))
        cost, next_cost = next_cost, cost
        start, next_start = next_start, start
        active, next_active = next_active, active
    return found


@_compiled(FRAMES, TRIE, types.uint64)
def phrase_path(log_probs: np.ndarray, trie: PhraseTrie, node: int) -> np.ndarray:
    """Return the most likely path (U,) that spells the phrase that ends in a node.

    The phrase must fit into the emissions (U, V). `asr.decode.forced_align.best_path` returns the
    same path, but compiled code cannot call it, and it takes thirty times as long for a few frames.
    """
    states = [BLANK]
    while node > 0:
        states += [int(trie.label[node]), BLANK]
        node = trie.parent[node]
    states.reverse()
    steps = np.zeros(
        (len(log_probs), len(states)), np.int64
    )  # states back to the previous one
    score = np.full(len(states), -np.inf)
    score[0] = 0.0
    for t in range(len(log_probs)):
        for i in range(len(states) - 1, -1, -1):
            if i > 0 and score[i - 1] > score[i]:
                steps[t, i] = 1
            can_skip = i > 1 and states[i] != BLANK and states[i] != states[i - 2]
            if can_skip and score[i - 2] > score[i - steps[t, i]]:
                steps[t, i] = 2
            score[i] = score[i - steps[t, i]] + log_probs[t, states[i]]
    path = np.empty(len(log_probs), np.int64)
    i = len(states) - (1 if score[-1] >= score[-2] else 2)  # the last blank or label
    for t in range(len(path) - 1, -1, -1):
        path[t] = states[i]
        i -= steps[t, i]
    return path


@_compiled(types.float32[:, :, ::1], types.int64[::1], types.uint64, TRIE)
def boost_phrases(
    log_probs: np.ndarray, lengths: np.ndarray, space: int, trie: PhraseTrie
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
        path, penalty = np.zeros(len(row), np.int64), np.zeros(len(row))
        taken = np.zeros(len(row), np.bool_)
        found = [
            (-gain, end - start, start, node)
            for node, start, end, gain in find_phrases(row, trie)
        ]
        heapify(found)
        while found:
            _, size, start, node = heappop(found)
            end = start + size
            if taken[start + 1 : end - 1].any():
                continue
            taken[start + 1 : end - 1] = True
            penalty[start:end] = trie.bonus[node] / size
            for t, token in enumerate(phrase_path(row[start:end], trie, node), start):
                path[t] = token  # a slice would take two more seconds to compile
        for frame in penalty.nonzero()[0]:
            scores, token = row[frame], path[frame]
            likeliest, highest = scores.argmax(), scores.max()
            scores[likeliest] = scores[token]
            scores -= penalty[frame]
            scores[token] = highest
