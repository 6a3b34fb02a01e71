"""The results of decoders, and the interface that all decoders share."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from asr.nn.emissions import Emissions
from asr.text import Tokenizer


class Word(NamedTuple):
    """A word with its start and end in seconds and a confidence between 0 and 1."""

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True)
class Hypothesis:
    """The text of an utterance, its score in nats, its words, and the next best texts.

    `channel` is the number of the recording's channel from 1, None for a mix of all channels.
    """

    text: str
    score: float
    words: tuple[Word, ...] = ()
    alternatives: tuple["Hypothesis", ...] = ()
    channel: int | None = None


class Decoder(Protocol):
    """A function from emissions to text."""

    def __call__(self, emissions: Emissions, tokenizer: Tokenizer) -> list[Hypothesis]:
        """Return the best hypothesis of each utterance."""
