"""Hotwords: phrases that are favoured, by finding them in the emissions before any decoder looks at them.

A phrase is found where the best path that spells it, from a space to a space, loses less against the likeliest path
than its weight for each of its letters: a word spotter (Andrusenko et al. 2024, arXiv 2406.07096), with the ratio of
two paths' likelihoods as its score. There, and only there, the phrase's tokens change places with the likeliest ones,
and all others are made less likely. What results is an emission like any other: each decoder, with a language model or
without, prefers the phrase, and none is forced to take it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import starmap
from pathlib import Path

import numpy as np
from torch.nn.functional import pad

from asr.bounds import as_texts
from asr.decode.align import best_path
from asr.decode.path import lines
from asr.errors import ConfigError
from asr.model import Emissions
from asr.text import Tokenizer, normalise

WEIGHT = 1.0  # nats for each letter, unless a phrase has its own
IMPOSSIBLE = -1e4  # nats


@dataclass(frozen=True)
class Spot:
    """Phrase number `phrase` in the frames from `start` to `end` (behind its last), and what it gains in nats."""

    phrase: int
    start: int
    end: int
    gain: float


def read(hotwords: str | Path | Sequence[str]) -> dict[str, float]:
    """Phrases and their weights from a list, or a single one, of "ann smith", "ann smith:2" and files of such lines.

    Raises ConfigError, naming the entry, for a file that cannot be read and for an entry without a phrase or with a
    weight that is no number above 0.
    """
    found = {}
    for entry in as_texts("decoder.hotwords", hotwords):
        path = Path(entry)
        for line in lines(path, "decoder.hotwords") if path.suffix == ".txt" or path.is_file() else [entry]:
            text, _, weight = line.rpartition(":") if ":" in line else (line, "", str(WEIGHT))
            phrase = normalise(text)
            try:
                found[phrase] = float(weight)
            except ValueError:
                found[phrase] = 0.0
            if not phrase or not 0 < found[phrase] < math.inf:
                raise ConfigError(f"decoder.hotwords: {line!r} is neither a phrase nor phrase:weight, a number above 0")
    return found


class Spotter:
    """Finds phrases in emissions, all in one pass. The labels of "an" are  _ a n _  with blanks between."""

    def __init__(self, hotwords: dict[str, float], tokenizer: Tokenizer) -> None:
        """`hotwords` are normalised phrases with weights. Raises ConfigError for a character that the model lacks."""
        for phrase in hotwords:
            unknown = tokenizer.unknown(phrase)
            if unknown:
                raise ConfigError(
                    f"decoder.hotwords: {phrase!r} has {' '.join(map(repr, unknown))}, which the model cannot write"
                )
        self.tokenizer = tokenizer
        self.space = tokenizer.index(" ")
        self.labels = [np.array(tokenizer.encode(f" {phrase} ")) for phrase in hotwords]
        self.bonus = np.array([w * len(p.replace(" ", "")) for p, w in hotwords.items()])
        from asr.decode.spotting import Tree, spot  # here, for numba takes its time to import

        self._spot, self._tree = spot, Tree.of([labels.tolist() for labels in self.labels], self.bonus.tolist())

    def __call__(self, log_probs: np.ndarray) -> np.ndarray:
        """Emissions (U, V) of one utterance, with the phrases that are found in it as their likeliest path."""
        padded = np.empty((len(log_probs) + 2, log_probs.shape[1]), dtype=np.float32)
        padded[1:-1] = log_probs
        self._favour(padded)
        return padded[1:-1]

    def on(self, emissions: Emissions) -> Emissions:
        """Emissions (B, U, V) of a batch, on the CPU."""
        padded = pad(emissions.log_probs.detach().float().cpu(), (0, 0, 1, 1))
        for row, frames in zip(padded.numpy(), emissions.lengths.tolist(), strict=True):
            self._favour(row[: frames + 2])
        return replace(emissions, log_probs=padded[:, 1:-1])

    def _favour(self, log_probs: np.ndarray) -> None:
        """What this does, in place, to emissions (U, V) whose first and last frames are there to be overwritten."""
        for end in log_probs[0], log_probs[-1]:  # the recording's ends part words as well
            end.fill(IMPOSSIBLE)
            end[self.space] = 0.0
        path, favour = np.zeros(len(log_probs), dtype=np.int64), np.zeros(len(log_probs), dtype=np.float32)
        for spot in self.spots(log_probs):
            frames = slice(spot.start, spot.end)
            path[frames] = best_path(log_probs[frames], self.labels[spot.phrase])
            favour[frames] = self.bonus[spot.phrase] / (spot.end - spot.start)
        (at,) = favour.nonzero()
        path, likeliest = path[at], log_probs[at].argmax(1)
        log_probs[at, path], log_probs[at, likeliest] = log_probs[at, likeliest], log_probs[at, path]
        log_probs[at] -= favour[at, None]
        log_probs[at, path] += favour[at]

    def spots(self, log_probs: np.ndarray) -> list[Spot]:
        """What is found in emissions (U, V) that begin and end with a space; of two in one place the one that gains
        more. Neighbours share the space between them."""
        taken = np.zeros(len(log_probs), dtype=bool)
        chosen = []
        found = starmap(Spot, self._spot(log_probs, *self._tree))
        for spot in sorted(found, key=lambda spot: (-spot.gain, spot.end - spot.start)):
            if not taken[spot.start + 1 : spot.end - 1].any():
                taken[spot.start + 1 : spot.end - 1] = True
                chosen.append(spot)
        return chosen
