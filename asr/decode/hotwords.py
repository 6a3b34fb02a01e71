"""Hotwords: phrases that are favoured, by finding them in the emissions before any decoder looks at them.

A phrase is found where the best path that spells it, from a space to a space, loses less against the likeliest path
than its weight for each of its letters: a word spotter (Andrusenko et al. 2024, arXiv 2406.07096), with the ratio of
two paths' likelihoods as its score. There, and only there, the phrase's tokens change places with the likeliest ones,
and all others are made less likely. What results is an emission like any other: each decoder, with a language model or
without, prefers the phrase, and none is forced to take it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from asr.decode.align import best_path
from asr.decode.path import lines
from asr.errors import ConfigError
from asr.model import Emissions
from asr.text import BLANK, Tokenizer, normalise

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
    for entry in [hotwords] if isinstance(hotwords, str | Path) else hotwords:
        path = Path(entry)
        for line in lines(path, "decoder.hotwords") if path.suffix == ".txt" or path.is_file() else [str(entry)]:
            text, _, weight = line.rpartition(":") if ":" in line else (line, "", str(WEIGHT))
            phrase = normalise(text)
            try:
                found[phrase] = float(weight)
            except ValueError:
                found[phrase] = 0.0
            if not phrase or not found[phrase] > 0:
                raise ConfigError(f"decoder.hotwords: {line!r} is neither a phrase nor phrase:weight, a number above 0")
    return found


class Spotter:
    """Finds phrases in emissions, all in one pass. The states of "an" are  _ . a . n . _  where . is the blank."""

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
        self.bonus = np.array([w * len(p.replace(" ", "")) for p, w in hotwords.items()], dtype=np.float32)
        sizes = np.array([2 * len(labels) - 1 for labels in self.labels])
        self.last = sizes.cumsum() - 1
        self.first = self.last - sizes + 1
        self.token = np.full(sizes.sum(), BLANK)
        for first, last, labels in zip(self.first, self.last, self.labels, strict=True):
            self.token[first : last + 1 : 2] = labels
        # a step from the phrase in front is impossible; so is a leap to a blank, and over one between equal letters
        self.step, self.leap = np.zeros((2, len(self.token)), dtype=np.float32)
        self.step[self.first] = self.leap[self.first] = self.leap[self.first + 1] = -np.inf
        self.leap[self.token == BLANK] = -np.inf
        self.leap[2:][self.token[2:] == self.token[:-2]] = -np.inf

    def __call__(self, log_probs: np.ndarray) -> np.ndarray:
        """Emissions (U, V) of one utterance, with the phrases that are found in it as their likeliest path."""
        # a space in front and one behind: the recording's ends part words as well
        padded = np.full((len(log_probs) + 2, log_probs.shape[1]), IMPOSSIBLE, dtype=np.float32)
        padded[[0, -1], self.space] = 0.0
        padded[1:-1] = log_probs
        likeliest = padded.argmax(1)
        path, favour = likeliest.copy(), np.zeros(len(padded), dtype=np.float32)
        for spot in self.spots(padded):
            frames = slice(spot.start, spot.end)
            path[frames] = best_path(padded[frames], self.labels[spot.phrase])
            favour[frames] = self.bonus[spot.phrase] / (spot.end - spot.start)
        each = np.arange(len(padded))
        padded[each, path], padded[each, likeliest] = padded[each, likeliest], padded[each, path]
        padded -= favour[:, None]
        padded[each, path] += favour
        return padded[1:-1]

    def on(self, emissions: Emissions) -> Emissions:
        """Emissions (B, U, V) of a batch, on the CPU."""
        log_probs = emissions.log_probs.detach().float().cpu().clone()
        for row, frames in zip(log_probs, emissions.lengths.tolist(), strict=True):
            row[:frames] = torch.from_numpy(self(row[:frames].numpy()))
        return replace(emissions, log_probs=log_probs)

    def spots(self, log_probs: np.ndarray) -> list[Spot]:
        """What is found in emissions (U, V) that begin and end with a space; of two in one place the one that gains
        more. Neighbours share the space between them."""
        loss = (log_probs - log_probs.max(1, keepdims=True))[:, self.token]
        scores = np.full(len(self.token) + 2, -np.inf, dtype=np.float32)  # two impossible states in front, for leaps
        starts = np.zeros(len(self.token) + 2, dtype=np.int64)
        found = []
        for t in range(len(loss)):
            step, leap = scores[1:-1] + self.step, scores[:-2] + self.leap
            stepped, leapt = step > scores[2:], leap > np.maximum(step, scores[2:])
            starts[2:] = np.where(leapt, starts[:-2], np.where(stepped, starts[1:-1], starts[2:]))
            scores[2:] = np.maximum(np.maximum(scores[2:], step), leap)
            scores[2 + self.first], starts[2 + self.first] = 0.0, t
            scores[2:] += loss[t]
            gains = scores[2 + self.last] + self.bonus
            for i in np.flatnonzero(gains > 0):
                found.append(Spot(int(i), int(starts[2 + self.last[i]]), t + 1, float(gains[i])))
        taken = np.zeros(len(loss), dtype=bool)
        chosen = []
        for spot in sorted(found, key=lambda spot: (-spot.gain, spot.end - spot.start)):
            if not taken[spot.start + 1 : spot.end - 1].any():
                taken[spot.start + 1 : spot.end - 1] = True
                chosen.append(spot)
        return chosen
