"""Hotwords: phrases that are boosted in the emissions before decoding.

A word spotter (Andrusenko et al. 2024, arXiv 2406.07096) finds a phrase if the best path that
spells it, from space to space, loses less log-probability against the most likely path than the
weight of the phrase times its letters. In these frames only, the tokens of the phrase and the most
likely tokens swap their log-probabilities, and all other tokens become less likely. The boosted
emissions suit any decoder, with or without a language model. A decoder prefers the phrase but can
still reject it.
"""

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy import ndarray

from asr.decode.word_lists import check_spelling, read_lines
from asr.text import Tokenizer, normalize

# an entry like this is a file, even if it does not exist
PATH = re.compile(r"\S+\.(txt|csv|tsv|json|lst|list|words)|(\.{0,2}|~)/\S*")
WEIGHT = 1.0  # nats per letter of a phrase without its own weight

Hotwords = Sequence[str] | str | Path


def read_hotwords(hotwords: Hotwords) -> dict[str, float]:
    """Return phrases with their weights in nats per letter.

    Args:
        hotwords: A list, or one, of "ann smith", "ann smith:2", and text files of such lines.

    Raises:
        ConfigError: If a file cannot be read.
        ValueError: If an entry is not a phrase with an optional weight above 0.
    """
    lines = []
    for entry in [hotwords] if isinstance(hotwords, str | Path) else hotwords:
        if not isinstance(entry, str | Path):
            raise ValueError(f"hotwords must be text, got {entry!r}")
        path = Path(entry)
        exists = os.path.isfile(entry)  # noqa: PTH113  # pathlib raises for a long phrase
        is_file = exists or PATH.fullmatch(str(entry)) is not None
        lines.extend(read_lines(path, "hotwords") if is_file else [str(entry)])
    return dict(map(_parse_hotword, lines))


def _parse_hotword(line: str) -> tuple[str, float]:
    """Return the normalized phrase and the weight of "phrase" or "phrase:weight".

    Raises:
        ValueError: If there is no phrase, or if the weight is not a number above 0.
    """
    text, colon, number = line.rpartition(":")
    phrase = normalize(text if colon else line)
    try:
        weight = float(number) if colon else WEIGHT
    except ValueError:
        weight = math.nan
    if not phrase or not 0 < weight < math.inf:
        raise ValueError(
            f"hotwords: {line!r} must be a phrase or phrase:weight with a weight > 0"
        )
    return phrase, weight


class HotwordBooster:
    """Phrases for one vocabulary that are found and boosted in a single pass over the emissions.

    The labels of "an" are `_ a n _`, with optional blanks between them.
    """

    def __init__(self, hotwords: dict[str, float], tokenizer: Tokenizer) -> None:
        """Build the trie of normalized phrases with their weights in nats per letter.

        Raises:
            ConfigError: If the model cannot write a phrase.
        """
        # imported here because numba takes half a second to import
        from asr.decode.phrase_search import PhraseTrie, boost_phrases

        check_spelling("hotwords", hotwords, tokenizer)
        self.tokenizer = tokenizer
        labels = [tokenizer.encode(f" {phrase} ") for phrase in hotwords]
        bonus = [weight * len(p.replace(" ", "")) for p, weight in hotwords.items()]
        self._trie = PhraseTrie.of(labels, bonus)
        self._boost = boost_phrases

    def __call__(self, log_probs: ndarray) -> ndarray:
        """Return emissions (U, V) in which the phrases found are most likely."""
        frames, tokens = log_probs.shape
        padded = np.empty((1, frames + 2, tokens), np.float32)
        padded[0, 1:-1] = log_probs
        lengths = np.array([frames])
        self._boost(padded, lengths, self.tokenizer.index(" "), self._trie)
        return padded[0, 1:-1]
