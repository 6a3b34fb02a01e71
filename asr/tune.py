"""Tune a decoder: `python -m asr.tune checkpoint=model.safetensors data=an4 decoder.lm=an4.arpa [key=value ...]`.

Looks for the `lm_weight` and the `word_score` that make the fewest word errors on the validation set, fits the
calibration of confidence to what the best of them hears, and writes both as a decoder:
`decoder=outputs/an4-tuning/decoder/tuned.yaml` works wherever `decoder=beam` does.
"""

import csv
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from rich.progress import track

from asr.config import app as cli
from asr.data.dataset import OnError, SpeechDataset
from asr.data.filter import keep_all
from asr.data.loader import Loader
from asr.data.manifest import Utterance, read_manifests
from asr.data.sampler import BucketSampler
from asr.decode import BeamDecoder, Hypothesis
from asr.decode.confidence import Reliability, fit_calibration
from asr.errors import ConfigError
from asr.evaluation.plots import plot_tuning_surface, save_figure
from asr.evaluation.wer import ScoredUtterance, score_utterance, sum_scores, word_correctness
from asr.nn.ctc import CTCModel
from asr.nn.emissions import Emissions
from asr.validation import check_integer, check_interval

Point = tuple[float, float]  # lm_weight, word_score


@dataclass(frozen=True)
class Heard:
    """Emissions of utterances, worked out once, by the batch."""

    model: CTCModel
    batches: tuple[tuple[tuple[Utterance, ...], Emissions], ...]

    @classmethod
    @torch.inference_mode()
    def of(
        cls,
        model: CTCModel,
        utterances: list[Utterance],
        *,
        batch_seconds: float = 60.0,
        workers: int = 0,
        on_error: OnError = "skip",
    ) -> "Heard":
        """What a model emits for utterances. Raises ConfigError where none of them could be read."""
        examples = keep_all(utterances, model.tokenizer).examples
        sampler = BucketSampler(
            [e.utterance.duration for e in examples], batch_seconds=batch_seconds, shuffle=False
        )
        batches = []
        for batch in Loader(SpeechDataset(examples, on_error=on_error), sampler, workers=workers):
            if len(batch):
                emissions = model(batch.waveforms.to(model.device), batch.lengths.to(model.device))
                batches.append(
                    (batch.utterances, replace(emissions, log_probs=emissions.log_probs.cpu()))
                )
        if not batches:
            raise ConfigError(
                "not one of the utterances could be read; python -m asr.evaluate names them"
            )
        return cls(model, tuple(batches))

    def decoded(self, beam: BeamDecoder) -> list[tuple[Hypothesis, ScoredUtterance]]:
        """What a beam search makes of them, against the references."""
        found = []
        for utterances, emissions in self.batches:
            for utterance, hypothesis in zip(
                utterances, beam(emissions, self.model.tokenizer), strict=True
            ):
                found.append((hypothesis, score_utterance(utterance.text, hypothesis.text)))
        return found


def tune(cfg: DictConfig) -> dict[str, Any]:
    """Search, write the decoder, the points and their picture; returns the decoder's settings.

    Raises ConfigError where there is nothing to tune, and for what the decoder and the data refuse.
    """
    beam = cli.instantiate("decoder", cfg.decoder)
    if not isinstance(beam, BeamDecoder):
        raise ConfigError("decoder: only a beam search has weights to tune; take decoder=beam")
    points, rounds = (
        check_integer("points", cfg.points, ge=1),
        check_integer("rounds", cfg.rounds, ge=0),
    )
    bounds = [check_interval(name, cfg[name]) for name in ("lm_weight", "word_score")]
    if beam.lm is None:
        bounds[0] = (0.0, 0.0)
    model = CTCModel.load(cfg.checkpoint, device=cfg.device)
    cli.make_corpus(cfg.data)
    heard = Heard.of(
        model,
        read_manifests(cfg.data[cfg.split], limit=cfg.data.limit),
        batch_seconds=cfg.data.batch_seconds,
        workers=cfg.data.workers,
        on_error=cfg.data.on_error,
    )
    beam(heard.batches[0][1], model.tokenizer)  # reads the language model, once for all points

    wer: dict[Point, float] = {}
    cost: dict[Point, Point] = {}  # word errors first, then characters: few utterances make ties
    for grid in _grids(bounds, points, rounds, cost):
        for point in track(
            grid,
            description=f"{len(wer)} points so far",
            transient=True,
            disable=not sys.stderr.isatty(),
        ):
            pairs = heard.decoded(beam.reweighted(lm_weight=point[0], word_score=point[1]))
            score = sum_scores(pair for _, pair in pairs)
            wer[point], cost[point] = score.wer, (score.wer, score.cer)
    best = min(cost, key=cost.__getitem__)

    found = heard.decoded(beam.reweighted(lm_weight=best[0], word_score=best[1]))
    words = [word for hypothesis, pair in found for word in word_correctness(hypothesis, pair)]
    calibration = fit_calibration(words)
    settings: dict[str, Any] = OmegaConf.to_container(cfg.decoder, resolve=True)  # type: ignore[assignment]
    settings |= {"lm_weight": best[0], "word_score": best[1]}
    settings["calibration"] = [round(value, 4) for value in astuple(calibration)]
    settings |= {
        name: str(Path(settings[name]).resolve()) for name in ("lm", "lexicon") if settings[name]
    }
    folder = Path(cfg.dir)
    target = folder / "decoder" / "tuned.yaml"
    target.parent.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(OmegaConf.create(settings), target)
    with (folder / "points.csv").open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows(
            [("lm_weight", "word_score", "wer", "cer"), *((*p, *cost[p]) for p in sorted(cost))]
        )
    save_figure(plot_tuning_surface(wer, best), folder / "surface.png")
    after = Reliability.of([(calibration(confidence), right) for confidence, right in words])
    print(
        f"WER {wer[best]:.2%} with lm_weight {best[0]:g} and word_score {best[1]:g}, the best of {len(wer)} points "
        f"(worst {max(wer.values()):.2%}); calibration error {Reliability.of(words).error:.3f}, after the fit "
        f"{after.error:.3f}; decoder={target}"
    )
    return settings


def _grids(
    bounds: Sequence[tuple[float, float]], points: int, rounds: int, cost: dict[Point, Point]
) -> Iterator[list[Point]]:
    """Points that have not been tried: a grid over the bounds, then half as wide ones around the best so far."""
    axes: list[np.ndarray] = [
        np.linspace(low, high, points if low < high else 1) for low, high in bounds
    ]
    steps = [axis[1] - axis[0] if len(axis) > 1 else 0.0 for axis in axes]
    for _ in range(1 + rounds):
        grid = [(round(float(w), 4), round(float(b), 4)) for w, b in itertools.product(*axes)]
        yield [point for point in dict.fromkeys(grid) if point not in cost]
        steps = [step / 2 for step in steps]
        best = min(cost, key=cost.__getitem__)
        axes = [value + step * np.arange(-1, 2) for value, step in zip(best, steps, strict=True)]
        axes[0] = axes[0][axes[0] >= 0]


def main() -> None:
    """Entry point."""
    cli.run("tune", tune)


if __name__ == "__main__":
    main()
