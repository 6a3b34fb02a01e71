"""Phrases of a prompt, which decoding favors."""

import re

from asr.decode.hotwords import WEIGHT, HotwordBooster
from asr.decode.hypothesis import Decoder, Hypothesis
from asr.nn.emissions import Emissions
from asr.text import Tokenizer, normalize

PHRASE_END = re.compile(r"[,;.!?\n]+")


def split_prompt(prompt: str) -> dict[str, float]:
    """Return the normalized phrases between commas, sentence ends, and line breaks, with weights.

    A prompt comes from a client, so unlike a setting it never names a file.
    """
    phrases = filter(None, map(normalize, PHRASE_END.split(prompt)))
    return dict.fromkeys(phrases, WEIGHT)


class BoostedDecoder:
    """A decoder whose emissions are boosted where phrases almost fit.

    Args:
        decoder: Decoder of the boosted emissions.
        phrases: Normalized phrases with their weights in nats per letter.
        tokenizer: Vocabulary of the emissions.

    Raises:
        ConfigError: If the model cannot write a phrase.
    """

    def __init__(
        self, decoder: Decoder, phrases: dict[str, float], tokenizer: Tokenizer
    ) -> None:
        self._decoder = decoder
        self._booster = HotwordBooster(phrases, tokenizer)

    def __call__(self, emissions: Emissions, tokenizer: Tokenizer) -> list[Hypothesis]:
        """Return the best hypothesis of each utterance."""
        rows = [self._booster(row) for row in emissions.rows()]
        return self._decoder(emissions.with_rows(rows), tokenizer)
