"""Error rates: how many words and characters of the references were heard right. The counting is jiwer's."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import jiwer
import numpy as np

from asr.decode.hypothesis import Hypothesis
from asr.text import normalize


@dataclass(frozen=True)
class EditCounts:
    """Counts of an alignment between references and hypotheses, in words or in characters."""

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    def __add__(self, other: "EditCounts") -> "EditCounts":
        return EditCounts(
            self.hits + other.hits,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
        )

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def length(self) -> int:
        """Units in the references."""
        return self.hits + self.substitutions + self.deletions

    @property
    def rate(self) -> float:
        """Errors over the references' length, which insertions can lift above 1; of an empty reference, 0 or 1 each."""
        return self.errors / self.length if self.length else float(self.errors)


@dataclass(frozen=True)
class Score:
    """Errors of one utterance or summed over many."""

    words: EditCounts = EditCounts()
    characters: EditCounts = EditCounts()
    utterances: int = 0
    exact: int = 0

    def __add__(self, other: "Score") -> "Score":
        return Score(
            self.words + other.words,
            self.characters + other.characters,
            self.utterances + other.utterances,
            self.exact + other.exact,
        )

    @property
    def wer(self) -> float:
        """Word error rate of the corpus: errors summed over all utterances, divided once."""
        return self.words.rate

    @property
    def cer(self) -> float:
        """Character error rate of the corpus, spaces included."""
        return self.characters.rate


@dataclass(frozen=True)
class ScoredUtterance:
    """A reference and a hypothesis, normalised alike and aligned; `alignment` holds (reference word, heard word),
    with an empty string where a word was inserted or deleted."""

    reference: str
    hypothesis: str
    score: Score
    alignment: tuple[tuple[str, str], ...]


def score_utterance(reference: str, hypothesis: str) -> ScoredUtterance:
    """Normalise both texts alike, align them, count the errors."""
    reference, hypothesis = normalize(reference), normalize(hypothesis)
    words = jiwer.process_words(reference, hypothesis)
    characters = jiwer.process_characters(reference, hypothesis)
    score = Score(_edits(words), _edits(characters), 1, int(reference == hypothesis))
    return ScoredUtterance(reference, hypothesis, score, tuple(_aligned(words)))


def sum_scores(pairs: Iterable[ScoredUtterance]) -> Score:
    """The sum over a corpus; of no pairs at all, zeros."""
    return sum((pair.score for pair in pairs), Score())


def bootstrap_wer_interval(
    pairs: Sequence[ScoredUtterance], *, level: float = 0.95, draws: int = 1_000
) -> tuple[float, float]:
    """Bounds between which the corpus's word error rate lies: percentiles over corpora drawn from its utterances.

    The bootstrap of Bisani and Ney (ICASSP 2004). The draws are the same every time.
    """
    counts = np.array(
        [(pair.score.words.errors, pair.score.words.length) for pair in pairs]
    ).reshape(-1, 2)
    rng = np.random.default_rng(0)
    rates = []
    for _ in range(draws):
        errors, length = (
            counts[rng.integers(len(counts), size=len(counts))].sum(0) if len(counts) else (0, 0)
        )
        rates.append(errors / max(1, length))
    low, high = np.quantile(rates, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def score_corpus(references: Sequence[str], hypotheses: Sequence[str]) -> Score:
    """Errors of hypotheses against references, one for one, summed over the corpus."""
    return sum_scores(score_utterance(r, h) for r, h in zip(references, hypotheses, strict=True))


def word_correctness(hypothesis: Hypothesis, pair: ScoredUtterance) -> list[tuple[float, bool]]:
    """The confidence of each word of a hypothesis, and whether the alignment found it to be right."""
    right = [said == heard for said, heard in pair.alignment if heard]
    if len(right) != len(hypothesis.words):  # normalised away: a lone apostrophe is no word
        return []
    return [(word.confidence, hit) for word, hit in zip(hypothesis.words, right, strict=True)]


def confusions(pairs: Iterable[ScoredUtterance]) -> Counter[tuple[str, str]]:
    """How often a reference word was heard as another; "" stands for nothing (a deletion or an insertion)."""
    return Counter(step for pair in pairs for step in pair.alignment if step[0] != step[1])


def _edits(output: jiwer.WordOutput | jiwer.CharacterOutput) -> EditCounts:
    return EditCounts(output.hits, output.substitutions, output.deletions, output.insertions)


def _aligned(output: jiwer.WordOutput) -> Iterable[tuple[str, str]]:
    reference, hypothesis = output.references[0], output.hypotheses[0]
    for chunk in output.alignments[0]:
        heard = hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx]
        said = reference[chunk.ref_start_idx : chunk.ref_end_idx]
        longer = max(len(said), len(heard))
        yield from zip(said or [""] * longer, heard or [""] * longer, strict=True)
