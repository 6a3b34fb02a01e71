"""From a path, one token for each frame, to the words that it spells; frames that matter; lists of words from files."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asr.errors import ConfigError
from asr.text import BLANK, Tokenizer, normalize


class TokenSpan(NamedTuple):
    """A token that is emitted: its first frame, and the frame behind its last."""

    token: int
    start: int
    end: int


def span_bounds(path: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each token that a path (U,) emits, repeats merged and blanks dropped: first frames, frames behind the last."""
    changes = np.ones(len(path) + 1, dtype=bool)  # with the path's own ends
    np.not_equal(path[1:], path[:-1], out=changes[1:-1])
    (edges,) = changes.nonzero()
    starts, ends = edges[:-1], edges[1:]
    emitted = path[starts] != BLANK
    return starts[emitted], ends[emitted]


def token_spans(path: np.ndarray) -> list[TokenSpan]:
    """What a path (U,) emits, one after the other."""
    starts, ends = span_bounds(path)
    return list(map(TokenSpan, path[starts].tolist(), starts.tolist(), ends.tolist()))


def group_words(
    emitted: Iterable[TokenSpan], tokenizer: Tokenizer
) -> list[tuple[str, list[TokenSpan]]]:
    """The words that runs spell, each with its letters' runs; spaces part them."""
    found: list[tuple[str, list[TokenSpan]]] = []
    parted = True
    for run in emitted:
        letter = tokenizer.decode([run.token])
        if letter == " ":
            parted = True
        elif parted:
            found.append((letter, [run]))
            parted = False
        else:
            found[-1] = (found[-1][0] + letter, [*found[-1][1], run])
    return found


class SpelledPaths(NamedTuple):
    """The words of several paths, one path after the other, the frames they begin at, and those behind their last.

    Those of path i are at `bounds[i]` up to `bounds[i + 1]`.
    """

    words: list[str]
    starts: np.ndarray
    ends: np.ndarray
    bounds: list[int]


def spell_paths(paths: np.ndarray, tokenizer: Tokenizer) -> SpelledPaths:
    """What `words` finds in each of several paths (N, U) that begin and end with a space: read as one, far quicker."""
    flat, (rows, frames) = paths.ravel(), paths.shape
    starts, ends = span_bounds(flat)
    tokens = flat[starts]
    letters = tokens != tokenizer.index(" ")
    turns = (letters[1:] != letters[:-1]).nonzero()[
        0
    ]  # the last space before a word, its last letter, and so on
    starts, ends = starts[turns[::2] + 1], ends[turns[1::2]]
    bounds = starts.searchsorted(np.arange(rows + 1) * frames).tolist()
    return SpelledPaths(
        tokenizer.decode(tokens.tolist()).split(), starts % frames, ends % frames, bounds
    )


def word_log_probs(path: np.ndarray, log_probs: np.ndarray, tokenizer: Tokenizer) -> np.ndarray:
    """The mean log-probability of a letter of each word that a path (U,) spells, whose tokens have `log_probs` (U,).

    A letter counts with the likeliest of its frames.
    """
    starts, _ = span_bounds(path)
    best = (
        np.maximum.reduceat(np.where(path == BLANK, -np.inf, log_probs), starts)
        if len(starts)
        else np.empty(0)
    )
    letters = np.zeros(len(starts) + 2, dtype=bool)  # with an end on either side
    letters[1:-1] = path[starts] != (tokenizer.index(" ") if " " in tokenizer.tokens else BLANK)
    first, behind = (letters[1:] != letters[:-1]).nonzero()[0].reshape(-1, 2).T
    sums = np.zeros(len(starts) + 1)
    np.cumsum(np.where(letters[1:-1], best, 0.0), out=sums[1:])
    return (sums[behind] - sums[first]) / (behind - first)


def frames_to_decode(log_probs: np.ndarray, skip: float) -> np.ndarray:
    """The frames of emissions (U, V) that are looked at: no sure blanks, but one where it may part two equal tokens.

    It may where the frames on both sides of a run of sure blanks have one token likelier than 1 - `skip` together.
    """
    if skip >= 1:
        return np.arange(len(log_probs))
    sure = np.zeros(len(log_probs) + 2, dtype=bool)  # with an end on either side
    sure[1:-1] = log_probs[:, BLANK] > math.log(skip)
    first, behind = (sure[1:] != sure[:-1]).nonzero()[0].reshape(-1, 2).T
    inner = (first > 0) & (behind < len(log_probs))
    first, behind = first[inner], behind[inner]
    both = np.exp(log_probs[first - 1] + log_probs[behind])
    parting = both.sum(axis=1) - both[:, BLANK] > 1 - skip
    sure[1 + first[parting]] = False
    return (~sure[1:-1]).nonzero()[0]


def read_phrases(path: Path, setting: str) -> list[str]:
    """The lines of a file, normalised, each once. Raises ConfigError, naming the setting, for one that is no text."""
    return list(dict.fromkeys(filter(None, map(normalize, read_lines(path, setting)))))


def read_lines(path: Path, setting: str) -> list[str]:
    """The lines of a file that are not empty. Raises ConfigError, naming the setting, for one that is no text."""
    try:
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text in UTF-8"
        raise ConfigError(f"{setting}: {path}: {reason}") from None
