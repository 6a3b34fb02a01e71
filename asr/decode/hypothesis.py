"""What a decoder returns, whichever it is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Word:
    """A word with its start and end in seconds and a confidence between 0 and 1."""

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True)
class Hypothesis:
    """What was heard: the text, its log-probability in nats, and its words in time."""

    text: str
    score: float
    words: tuple[Word, ...] = ()
