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
    """What was heard: the text, its score in nats, its words in time, and the next best if they were asked for."""

    text: str
    score: float
    words: tuple[Word, ...] = ()
    alternatives: tuple["Hypothesis", ...] = ()
