"""Hotwords: phrases that are favoured, by finding them in the emissions before any decoder looks at them.

A phrase is found where the best path that spells it, from a space to a space, loses less against the likeliest path
than its weight for each of its letters: a word spotter (Andrusenko et al. 2024, arXiv 2406.07096), with the ratio of
two paths' likelihoods as its score. There, and only there, the phrase's tokens change places with the likeliest ones,
and all others are made less likely. What results is an emission like any other: each decoder, with a language model or
without, prefers the phrase, and none is forced to take it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from asr.decode.align import best_path
from asr.decode.path import lines
from asr.errors import ConfigError
from asr.model import Emissions
from asr.text import BLANK, Tokenizer, normalise

WEIGHT = 1.0  # nats for each letter, unless a phrase has its own
IMPOSSIBLE = -1e4  # nats
END = -1  # behind the last label of a phrase


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
        rows = [torch.tensor([*labels, END]) for labels in self.labels]
        self.columns = pad_sequence(rows, padding_value=END)  # the phrases' first labels, their second ones, and so on

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
        taken = np.zeros(len(log_probs), dtype=bool)
        chosen = []
        for spot in sorted(self._candidates(log_probs), key=lambda spot: (-spot.gain, spot.end - spot.start)):
            if not taken[spot.start + 1 : spot.end - 1].any():
                taken[spot.start + 1 : spot.end - 1] = True
                chosen.append(spot)
        return chosen

    def _candidates(self, log_probs: np.ndarray) -> Iterator[Spot]:
        """The best path of each phrase to each frame, where it gains anything: for all frames at once, label by label,
        with those phrases that can still gain."""
        loss = torch.from_numpy(log_probs - log_probs.max(1, keepdims=True)).double().T
        spent = pad(loss.cumsum(1), (1, 0))  # by each token, in all the frames before one
        phrases = torch.arange(len(self.labels))
        starts = torch.arange(len(log_probs)).expand(len(phrases), -1)
        gains = torch.from_numpy(self.bonus)[:, None].expand_as(starts)
        for labels, following in pairwise(self.columns):
            gains, starts = _stay(gains, starts, spent[labels[phrases]])
            ended = following[phrases] == END
            for row, last in (ended[:, None] & (gains > 0)).nonzero().tolist():
                yield Spot(int(phrases[row]), int(starts[row, last]), last + 1, float(gains[row, last]))
            hopeful = ~ended & (gains.amax(1) > 0)
            phrases, gains, starts = phrases[hopeful], gains[hopeful], starts[hopeful]
            if not len(phrases):
                return
            leapt = _later(gains, starts)
            rested = _later(*_stay(*leapt, spent[BLANK]))
            leap = (labels[phrases] != following[phrases])[:, None] & (leapt[0] >= rested[0])
            gains, starts = torch.where(leap, leapt[0], rested[0]), torch.where(leap, leapt[1], rested[1])


def _stay(gains: Tensor, starts: Tensor, spent: Tensor) -> tuple[Tensor, Tensor]:
    """Paths (P, T) that enter a token in each frame, and where they began, to the best of those that are still in it.

    From frame u to frame t a token spends a difference of two sums, so that the best u is that of a running maximum.
    """
    best, entered = (gains - spent[..., :-1]).cummax(1)
    return best + spent[..., 1:], starts.gather(1, entered)


def _later(gains: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
    """One frame on."""
    return pad(gains[:, :-1], (1, 0), value=-math.inf), pad(starts[:, :-1], (1, 0))
