"""Hotwords: phrases that are favoured, by finding them in the emissions before any decoder looks at them.

A phrase is found where the best path that spells it, from a space to a space, loses less against the likeliest path
than its weight for each of its letters: a word spotter (Andrusenko et al. 2024, arXiv 2406.07096), with the ratio of
two paths' likelihoods as its score. There, and only there, the phrase's tokens change places with the likeliest ones,
and all others are made less likely. What results is an emission like any other: each decoder, with a language model or
without, prefers the phrase, and none is forced to take it.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from asr.decode.ctc_path import read_lines
from asr.errors import ConfigError
from asr.text import Tokenizer, normalize

WEIGHT = 1.0  # nats for each letter, unless a phrase has its own


def read_hotwords(hotwords: str | Path | Sequence[str]) -> dict[str, float]:
    """Phrases and their weights from a list, or a single one, of "ann smith", "ann smith:2" and files of such lines.

    Raises ConfigError, naming the entry, for a file that cannot be read and for an entry without a phrase or with a
    weight that is no number above 0.
    """
    found = {}
    for entry in [hotwords] if isinstance(hotwords, str | Path) else hotwords:
        path = Path(entry)
        for line in (
            read_lines(path, "decoder.hotwords")
            if path.suffix == ".txt" or path.is_file()
            else [entry]
        ):
            text, _, weight = line.rpartition(":") if ":" in line else (line, "", str(WEIGHT))
            phrase = normalize(text)
            try:
                found[phrase] = float(weight)
            except ValueError:
                found[phrase] = 0.0
            if not phrase or not 0 < found[phrase] < math.inf:
                raise ConfigError(
                    f"decoder.hotwords: {line!r} is neither a phrase nor phrase:weight, a number above 0"
                )
    return found


class HotwordBooster:
    """Finds phrases in emissions, all in one pass. The labels of "an" are  _ a n _  with blanks between."""

    def __init__(self, hotwords: dict[str, float], tokenizer: Tokenizer) -> None:
        """`hotwords` are normalised phrases with weights. Raises ConfigError for a character that the model lacks."""
        for phrase in hotwords:
            unknown = tokenizer.unknown(phrase)
            if unknown:
                raise ConfigError(
                    f"decoder.hotwords: {phrase!r} has {' '.join(map(repr, unknown))}, which the model cannot write"
                )
        self.tokenizer, self.space = tokenizer, tokenizer.index(" ")
        from asr.decode.phrase_search import (
            PhraseTrie,
            boost_phrases,
        )  # here, for numba takes its time to import

        labels = [tokenizer.encode(f" {phrase} ") for phrase in hotwords]
        self._tree = PhraseTrie.of(
            labels, [weight * len(p.replace(" ", "")) for p, weight in hotwords.items()]
        )
        self._favour = boost_phrases

    def __call__(self, log_probs: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Emissions (B, U, V) of lengths (B,), with the phrases that are found in them as their likeliest path."""
        rows, frames, tokens = log_probs.shape
        padded = np.empty((rows, frames + 2, tokens), dtype=np.float32)
        padded[:, 1:-1] = log_probs
        self._favour(padded, np.asarray(lengths, dtype=np.int64), self.space, self._tree)
        return padded[:, 1:-1]
