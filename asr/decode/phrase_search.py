"""Where phrases are in emissions, many at once, and emissions in which they are favoured there, in machine code.

Tokens are passed through the tree of the phrases' labels. A path in a node is in its label or in the blanks behind it.
It has lost, against the likeliest path, what its tokens are less likely than the likeliest ones, and goes no further
once no phrase below it may lose that much: so few paths are under way in any frame, and most of the tree costs nothing
(Andrusenko et al. 2024, arXiv 2406.07096, section 2.2).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from heapq import heapify, heappop
from typing import Any, NamedTuple

import numpy as np
from numba import njit, types

from asr.text import BLANK

IMPOSSIBLE = -1e4  # nats
ONE = np.uint64(
    1
)  # without a sign, as indices here are, which is quicker in numba; with a plain 1 the sum is a float


class PhraseTrie(NamedTuple):
    """The labels of phrases, in N nodes of which the first stands before every phrase."""

    label: np.ndarray  # (N,)
    parent: np.ndarray  # (N,): the node before, of the first itself
    children: np.ndarray  # (N + 1,): those of node n are from children[n] up to children[n + 1]
    reach: (
        np.ndarray
    )  # (N,): nats that a path there may lose, by the most generous phrase that is still to come
    bonus: np.ndarray  # (N,): nats that a phrase which ends there may lose, 0 where none does

    @classmethod
    def of(cls, phrases: Sequence[Sequence[int]], bonus: Sequence[float]) -> "PhraseTrie":
        """The tree of phrases, each of them labels and what it may lose."""
        prefixes = {tuple(labels[:size]) for labels in phrases for size in range(len(labels) + 1)}
        at = {prefix: n for n, prefix in enumerate(sorted(prefixes, key=lambda p: (len(p), p)))}
        degree = Counter(prefix[:-1] for prefix in at if prefix)
        reach, ends = np.zeros(len(at)), np.zeros(len(at))
        for labels, nats in zip(phrases, bonus, strict=True):
            path = [at[tuple(labels[: size + 1])] for size in range(len(labels))]
            reach[path] = np.maximum(reach[path], nats)
            ends[path[-1]] = nats
        label = np.array([prefix[-1] if prefix else BLANK for prefix in at], dtype=np.uint64)
        parent = np.array([at[prefix[:-1]] for prefix in at], dtype=np.uint64)
        children = np.cumsum([1, *(degree[prefix] for prefix in at)], dtype=np.uint64)
        return cls(label, parent, children, reach, ends)


INDICES, NATS, FRAMES = types.uint64[::1], types.float64[::1], types.float32[:, ::1]
TREE = types.NamedTuple([INDICES, INDICES, INDICES, NATS, NATS], PhraseTrie)


def _compiled(*arguments: Any) -> Callable[[Callable[..., Any]], Any]:
    """In machine code, which is kept beside this file or in the user's cache, where that can be written."""

    def compiled(function: Callable[..., Any]) -> Any:
        try:
            return njit(arguments, cache=True)(function)
        except (OSError, RuntimeError):  # a full disk, no such place
            return njit(arguments)(function)

    return compiled


@_compiled(FRAMES, TREE)
def find_phrases(log_probs: np.ndarray, tree: PhraseTrie) -> list[tuple[int, int, int, float]]:
    """Whatever spells a phrase of a tree, as the node it ends in, first frame, frame behind its last and gain in nats.

    `log_probs` (U, V) are emissions. What is told is the best path, of equals the one that began last, that enters the
    last label of a phrase in a frame and has lost less than the phrase's bonus.
    """
    label, children, reach, bonus, nodes = (
        tree.label,
        tree.children,
        tree.reach,
        tree.bonus,
        len(tree.label),
    )
    lost, began = (
        np.full(nodes, np.inf),
        np.zeros(nodes, np.int64),
    )  # of the path that is in a node's label
    rested, rested_since = (
        np.full(nodes, np.inf),
        np.zeros(nodes, np.int64),
    )  # of that in the blanks behind it
    lost_then, began_then, rested_then, rested_since_then = (
        lost.copy(),
        began.copy(),
        lost.copy(),
        began.copy(),
    )
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
                        found.append((child, start, t + 1, bonus[child] - enters))
        lost, lost_then, began, began_then = lost_then, lost, began_then, began
        rested, rested_then, rested_since, rested_since_then = (
            rested_then,
            rested,
            rested_since_then,
            rested_since,
        )
        active, active_then = active_then, active
    return found


@_compiled(FRAMES, TREE, types.uint64)
def phrase_path(log_probs: np.ndarray, tree: PhraseTrie, node: int) -> np.ndarray:
    """The token of each frame (U,) in the likeliest path that spells the phrase that ends in a node, which fits.

    It is that of `asr.decode.forced_align.best_path`, which machine code cannot call, and which takes thirty times as
    long for
    a few frames. That one in turn does without numba, whose import takes half a second.
    """
    states = [BLANK]
    while node > 0:
        states += [int(tree.label[node]), BLANK]
        node = tree.parent[node]
    states.reverse()
    steps = np.zeros(
        (len(log_probs), len(states)), np.int64
    )  # from how many states back a path came
    score = np.full(len(states), -np.inf)
    score[0] = 0.0
    for t in range(len(log_probs)):
        for at in range(len(states) - 1, -1, -1):
            if at > 0 and score[at - 1] > score[at]:
                steps[t, at] = 1
            leaps = at > 1 and states[at] != BLANK and states[at] != states[at - 2]
            if leaps and score[at - 2] > score[at - steps[t, at]]:
                steps[t, at] = 2
            score[at] = score[at - steps[t, at]] + log_probs[t, states[at]]
    path = np.empty(len(log_probs), np.int64)
    at = len(states) - (1 if score[-1] >= score[-2] else 2)
    for t in range(len(path) - 1, -1, -1):
        path[t] = states[at]
        at -= steps[t, at]
    return path


@_compiled(types.float32[:, :, ::1], types.int64[::1], types.uint64, TREE)
def boost_phrases(log_probs: np.ndarray, lengths: np.ndarray, space: int, tree: PhraseTrie) -> None:
    """Favour the phrases of a tree wherever they are found, in place.

    `log_probs` (B, U + 2, V) are emissions of `lengths` (B,) frames with one before and one behind, to be overwritten.
    Of two phrases in one place the one that gains more is taken. Neighbours share the space between them.
    """
    for i in range(len(lengths)):
        row = log_probs[i, : lengths[i] + 2]
        row[0] = row[-1] = IMPOSSIBLE  # the recording's ends part words as well
        row[0, space] = row[-1, space] = 0.0
        path, less = np.zeros(len(row), np.int64), np.zeros(len(row))
        taken = np.zeros(len(row), np.bool_)
        found = [
            (-gain, end - start, start, node) for node, start, end, gain in find_phrases(row, tree)
        ]
        heapify(found)
        while found:
            _, size, start, node = heappop(found)
            end = start + size
            if taken[start + 1 : end - 1].any():
                continue
            taken[start + 1 : end - 1] = True
            less[start:end] = tree.bonus[node] / size
            for frame, label in enumerate(phrase_path(row[start:end], tree, node), start):
                path[frame] = label  # as a slice it would take two seconds more to compile
        for t in less.nonzero()[0]:
            scores, spelled = row[t], path[t]
            likeliest, most = scores.argmax(), scores.max()
            scores[likeliest] = scores[spelled]
            scores -= less[t]
            scores[spelled] = most
