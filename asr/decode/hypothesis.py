"""What a decoder returns, whichever it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple


class Word(NamedTuple):
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

    def __reduce__(self) -> tuple[Any, ...]:
        """For other processes, with its words as columns, which are quicker to send than objects."""
        return _whole, (
            self.text,
            self.score,
            tuple(zip(*self.words, strict=True)),
            self.alternatives,
        )


def _whole(
    text: str, score: float, columns: Sequence[Any], alternatives: tuple[Hypothesis, ...]
) -> Hypothesis:
    return Hypothesis(text, score, tuple(map(Word._make, zip(*columns, strict=True))), alternatives)
