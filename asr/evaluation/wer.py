"""Word and character error rates. jiwer aligns the texts and counts the errors."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import add
from typing import Self

import jiwer

from asr.decode.hypothesis import Hypothesis
from asr.text import normalize


class _Sum:
    """Values whose fields add up."""

    def __add__(self, other: Self) -> Self:
        """Add each field to the same field of the other."""
        return type(self)(*map(add, vars(self).values(), vars(other).values()))


@dataclass(frozen=True)
class EditCounts(_Sum):
    """Edits that turn references into hypotheses, counted in words or in characters."""

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    @property
    def errors(self) -> int:
        """Return the number of substitutions, deletions, and insertions."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def length(self) -> int:
        """Return the number of words or characters in the references."""
        return self.hits + self.substitutions + self.deletions

    @property
    def rate(self) -> float:
        """Return errors per reference word or character.

        Insertions can raise the rate above 1. An empty reference counts as one word.
        """
        return self.errors / self.length if self.length else float(self.errors)


@dataclass(frozen=True)
class Score(_Sum):
    """Errors of one utterance or the sum over many; `exact` counts utterances without an error."""

    words: EditCounts = EditCounts()
    characters: EditCounts = EditCounts()
    utterances: int = 0
    exact: int = 0

    @property
    def wer(self) -> float:
        """Return the word error rate: errors summed over all utterances and divided once."""
        return self.words.rate

    @property
    def cer(self) -> float:
        """Return the character error rate, spaces included."""
        return self.characters.rate


@dataclass(frozen=True)
class ScoredUtterance:
    """A normalized reference and hypothesis with their errors and their alignment.

    `alignment` holds pairs (reference word, hypothesis word). An insertion has "" as its reference
    word, a deletion has "" as its hypothesis word.
    """

    reference: str
    hypothesis: str
    score: Score
    alignment: tuple[tuple[str, str], ...]


def score_utterance(reference: str, hypothesis: str) -> ScoredUtterance:
    """Normalize both texts in the same way, align them, and count the errors."""
    reference, hypothesis = normalize(reference), normalize(hypothesis)
    words = jiwer.process_words(reference, hypothesis)
    characters = jiwer.process_characters(reference, hypothesis)
    is_exact = int(reference == hypothesis)
    score = Score(_count_edits(words), _count_edits(characters), 1, is_exact)
    return ScoredUtterance(reference, hypothesis, score, tuple(_pair(words)))


def sum_scores(utterances: Iterable[ScoredUtterance]) -> Score:
    """Return the sum over a corpus. The sum over no utterances is zero."""
    return sum((utterance.score for utterance in utterances), Score())


def word_correctness(
    hypothesis: Hypothesis, scored: ScoredUtterance
) -> list[tuple[float, bool]]:
    """Return (confidence, correct) for each word of a hypothesis.

    The list is empty if normalization removes a word, for example a lone apostrophe.
    """
    correct = [reference == word for reference, word in scored.alignment if word]
    if len(correct) != len(hypothesis.words):
        return []
    confidences = [word.confidence for word in hypothesis.words]
    return list(zip(confidences, correct, strict=True))


def confusions(utterances: Iterable[ScoredUtterance]) -> Counter[tuple[str, str]]:
    """Count the errors (reference word, hypothesis word). "" marks an insertion or a deletion."""
    pairs = (pair for utterance in utterances for pair in utterance.alignment)
    return Counter(pair for pair in pairs if pair[0] != pair[1])


def letter_confusions(utterances: Iterable[ScoredUtterance]) -> Counter[tuple[str, str]]:
    """Count the errors (reference letter, hypothesis letter) as `confusions` does for words."""
    wrong = [u for u in utterances if u.score.characters.errors]
    outputs = (jiwer.process_characters(u.reference, u.hypothesis) for u in wrong)
    pairs = (pair for output in outputs for pair in _pair(output))
    return Counter(pair for pair in pairs if pair[0] != pair[1])


def _count_edits(output: jiwer.WordOutput | jiwer.CharacterOutput) -> EditCounts:
    return EditCounts(
        output.hits, output.substitutions, output.deletions, output.insertions
    )


def _pair(output: jiwer.WordOutput | jiwer.CharacterOutput) -> Iterator[tuple[str, str]]:
    """Yield aligned pairs (reference, hypothesis) of words or letters, with "" for none."""
    for chunk in output.alignments[0]:
        reference = output.references[0][chunk.ref_start_idx : chunk.ref_end_idx]
        hypothesis = output.hypotheses[0][chunk.hyp_start_idx : chunk.hyp_end_idx]
        size = max(len(reference), len(hypothesis))
        yield from zip(reference or [""] * size, hypothesis or [""] * size, strict=True)
