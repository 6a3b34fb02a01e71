"""Measure how often intervals cover the true value and how often the paired test is wrong.

`python benchmarks/intervals.py [CORPORA]` simulates corpora of two systems with the same word error
rate. Some speakers and utterances are harder than others for both systems, and some for one only.
The table shows the share of corpora whose interval covers the true error rate and the true
difference (95 % is right), and the share whose p-value is at most 0.05 (5 % is right). The last
columns show the same if utterances are drawn although their speakers are known.
"""

import sys
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from asr.evaluation.intervals import difference_interval, permutation_test, wer_interval


class Design(NamedTuple):
    """A kind of corpus. The spreads are standard deviations of the log-odds of an error."""

    speakers: int
    utterances: int  # of each speaker
    words: int  # of each utterance, on average
    wer: float  # of the median utterance
    speaker_spread: float = 0.6
    utterance_spread: float = 1.3
    system_spread: float = 0.3  # between systems, for each speaker and for each utterance

    @property
    def true_wer(self) -> float:
        """Return the mean error rate over all speakers and utterances."""
        spreads = (self.speaker_spread, self.utterance_spread, *2 * [self.system_spread])
        points, weights = np.polynomial.hermite_e.hermegauss(60)
        rates = sigmoid(self.log_odds + np.linalg.norm(spreads) * points)
        return float(weights @ rates / weights.sum())

    @property
    def log_odds(self) -> float:
        """Return the log-odds of an error in the median utterance."""
        return float(np.log(self.wer / (1 - self.wer)))

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Return errors (2, N) of both systems, words (N,), and speakers of a corpus."""
        shape = (self.speakers, self.utterances)
        words = 1 + rng.poisson(self.words - 1, shape)
        hardness = self.speaker_spread * rng.standard_normal((self.speakers, 1))
        hardness = hardness + self.utterance_spread * rng.standard_normal(shape)
        own = rng.standard_normal((2, self.speakers, 1)) + rng.standard_normal((2, *shape))
        rates = sigmoid(self.log_odds + hardness + self.system_spread * own)
        names = np.repeat(np.arange(self.speakers), self.utterances).astype(str).tolist()
        return rng.binomial(words, rates).reshape(2, -1), words.ravel(), names


DESIGNS = (
    Design(10, 13, 6, 0.05),  # like AN4
    Design(10, 40, 10, 0.3),
    Design(20, 25, 10, 0.07),
    Design(40, 65, 18, 0.05),  # like test-clean
    Design(130, 1, 6, 0.07),
    Design(500, 1, 10, 0.2),
    Design(100, 1, 4, 0.02),
)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def simulate(design: Design, corpora: int, by_speaker: bool = True) -> tuple[float, ...]:
    """Return the coverage of WER and difference, and the false positives of the test."""
    return tuple(np.mean(list(_outcomes(design, corpora, by_speaker)), axis=0))


def _outcomes(
    design: Design, corpora: int, by_speaker: bool
) -> Iterator[tuple[bool, bool, bool]]:
    rng = np.random.default_rng(0)
    for _ in range(corpora):
        errors, words, names = design.draw(rng)
        speakers = names if by_speaker else [""] * len(names)
        difference = errors[1] - errors[0]
        low, high = wer_interval(errors[0], words, speakers)
        covers_wer = low <= design.true_wer <= high
        low, high = difference_interval(difference, words, speakers)
        rejects = permutation_test(difference, speakers) <= 0.05
        yield covers_wer, low <= 0 <= high, rejects


def main() -> None:
    corpora = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    print(f"{corpora} corpora for each row; standard error about {0.22 / corpora**0.5:.1%}")
    print(
        "| speakers | utterances | words | WER | WER covered | difference | p <= 0.05 |",
        end="",
    )
    print(" utterances drawn |")
    for design in DESIGNS:
        shares = [f"{share:.1%}" for share in simulate(design, corpora)]
        naive = ""
        if design.utterances > 1:
            few = max(1, corpora // 20)
            naive = ", ".join(f"{x:.1%}" for x in simulate(design, few, by_speaker=False))
        size = (design.speakers, design.speakers * design.utterances, design.words)
        row = (*size, f"{design.true_wer:.1%}", *shares, naive)
        print("|", " | ".join(map(str, row)), "|", flush=True)


if __name__ == "__main__":
    main()
