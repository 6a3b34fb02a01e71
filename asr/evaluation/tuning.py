"""Search for the weights of a beam search that give the lowest word error rate."""

import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, product, starmap
from pathlib import Path

import numpy as np
from rich.progress import track

from asr.data.manifest import Utterance
from asr.decode.beam import BeamDecoder
from asr.decode.confidence import Reliability, fit_calibration
from asr.decode.hypothesis import Hypothesis
from asr.errors import ConfigError
from asr.evaluation.evaluator import Corpus
from asr.evaluation.wer import (
    Score,
    ScoredUtterance,
    score_utterance,
    sum_scores,
    word_correctness,
)
from asr.inference.model import AcousticModel
from asr.nn.emissions import Calibration, Emissions
from asr.text import Tokenizer

Point = tuple[float, float]  # lm_weight, word_score
MIN_WORDS = 200  # fewer choose weights that suit these utterances by chance


@dataclass(frozen=True)
class CorpusEmissions:
    """Emissions of a corpus in batches, computed once for many decodings."""

    tokenizer: Tokenizer
    batches: Sequence[tuple[Sequence[Utterance], Emissions]]

    @classmethod
    def compute(cls, model: AcousticModel, corpus: Corpus) -> "CorpusEmissions":
        """Run the model on a corpus and move the emissions to the CPU.

        Raises:
            ConfigError: If no utterance can be read.
        """
        results = [
            (utterances, emissions.cpu())
            for utterances, emissions in corpus.compute_emissions(model)
        ]
        if not results:
            raise ConfigError("no utterance could be read; asr.evaluate lists the errors")
        return cls(model.tokenizer, results)

    def decode(self, decoder: BeamDecoder) -> list[tuple[Hypothesis, ScoredUtterance]]:
        """Decode the utterances and score them against their references."""
        results = []
        for utterances, emissions in self.batches:
            hypotheses = decoder(emissions, self.tokenizer)
            for utterance, hypothesis in zip(utterances, hypotheses, strict=True):
                scored = score_utterance(utterance.text, hypothesis.text)
                results.append((hypothesis, scored))
        return results


@dataclass(frozen=True)
class Tuning:
    """Scores of all points, the best point, and the calibration of confidence at that point.

    `before` and `after` are the calibration error without and with the calibration.
    """

    scores: Mapping[Point, Score]
    best: Point
    calibration: Calibration
    before: float
    after: float

    @property
    def wer(self) -> dict[Point, float]:
        """Return the word error rate of each point."""
        return {point: score.wer for point, score in self.scores.items()}

    @property
    def at_edge(self) -> list[str]:
        """Return the names of weights beyond whose best value nothing was searched."""
        names = []
        for axis, name in enumerate(("lm_weight", "word_score")):
            values = {point[axis] for point in self.scores}
            edges = {min(values), max(values)} - ({0.0} if name == "lm_weight" else set())
            if len(values) > 1 and self.best[axis] in edges:
                names.append(name)
        return names

    @property
    def warnings(self) -> list[str]:
        """Return lines on weights that may not be the best ones."""
        edge = "is at the edge of the search; pass a wider interval"
        lines = [f"{name} {edge}, {name}=[LOW,HIGH]" for name in self.at_edge]
        words = self.scores[self.best].words.length
        if words < MIN_WORDS:
            lines.append(
                f"{words} words are too few to choose weights and a calibration for other speech; "
                "use a larger split"
            )
        return lines

    def write_points(self, path: Path) -> None:
        """Write the points and their error rates as CSV."""
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("lm_weight", "word_score", "wer", "cer"))
            for point, score in sorted(self.scores.items()):
                writer.writerow((*point, score.wer, score.cer))


def tune_decoder(
    decoder: BeamDecoder,
    emissions: CorpusEmissions,
    intervals: Sequence[tuple[float, float]],
    points: int,
    rounds: int,
) -> Tuning:
    """Search the weights of a decoder on a grid, refine the grid, and fit the calibration.

    Args:
        decoder: Decoder whose other settings are kept, except its calibration.
        emissions: Emissions of the validation set.
        intervals: Bounds of `lm_weight` and `word_score` in the first grid.
        points: Points along each side of the first grid.
        rounds: Number of finer grids around the best point.
    """
    decoder(emissions.batches[0][1], emissions.tokenizer)  # loads the language model once

    def decode(point: Point) -> list[tuple[Hypothesis, ScoredUtterance]]:
        lm_weight, word_score = point
        return emissions.decode(decoder.reweighted(lm_weight, word_score))

    scores: dict[Point, Score] = {}
    hidden = not sys.stderr.isatty()
    for grid in _grids(intervals, points, rounds, scores):
        description = f"{len(scores)} points so far"
        for point in track(grid, description, transient=True, disable=hidden):
            scores[point] = sum_scores(scored for _, scored in decode(point))
    best = _best(scores)

    words = list(chain.from_iterable(starmap(word_correctness, decode(best))))
    calibration = fit_calibration(words)
    calibrated = [(calibration(confidence), correct) for confidence, correct in words]
    errors = Reliability.of(words).error, Reliability.of(calibrated).error
    return Tuning(scores, best, calibration, *errors)


def _best(scores: Mapping[Point, Score]) -> Point:
    """Return the point with the lowest WER, and among equal ones with the lowest CER."""
    return min(scores, key=lambda point: (scores[point].wer, scores[point].cer))


def _grids(
    intervals: Sequence[tuple[float, float]],
    points: int,
    rounds: int,
    scores: Mapping[Point, Score],
) -> Iterator[list[Point]]:
    """Yield new points: a grid over the intervals, then finer grids around the best point."""
    axes: list[np.ndarray] = [
        np.linspace(low, high, points if low < high else 1) for low, high in intervals
    ]
    steps = [axis[1] - axis[0] if len(axis) > 1 else 0.0 for axis in axes]
    for _ in range(1 + rounds):
        grid = [(round(float(x), 4), round(float(y), 4)) for x, y in product(*axes)]
        yield [point for point in dict.fromkeys(grid) if point not in scores]
        steps = [step / 2 for step in steps]
        center = zip(_best(scores), steps, strict=True)
        axes = [value + step * np.arange(-1, 2) for value, step in center]
        axes[0] = axes[0][axes[0] >= 0]
