"""Pictures for people: features above emissions over time, confidence against truth, errors over weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from asr.decode.confidence import Reliability
from asr.text import BLANK, Tokenizer


def plot_emissions(
    features: Tensor,
    log_probs: Tensor,
    tokenizer: Tokenizer,
    *,
    seconds: float,
    reference: str = "",
    hypothesis: str = "",
) -> Figure:
    """Log-mel features (T, F) above the probability of each token over time (U, V); the time axis is `seconds` long.

    Tokens stay unlabelled where none ever exceeds one in ten, so that the axis names what the model said.
    """
    figure = Figure(figsize=(min(16.0, 4 + 1.6 * seconds), 6.4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[2, 3])
    frame, bands = float(seconds), features.shape[1]
    above.imshow(
        features.T.numpy(),
        origin="lower",
        aspect="auto",
        cmap="magma",
        extent=(0, frame, 0, bands),
        vmin=-2,
        vmax=3,
    )
    above.set_ylabel("mel band")
    above.set_title(
        f"said   {reference or '(nothing)'}\nheard  {hypothesis or '(nothing)'}",
        loc="left",
        family="monospace",
    )
    probabilities = log_probs.exp().numpy()
    said = [
        i for i in range(probabilities.shape[1]) if i != BLANK and probabilities[:, i].max() > 0.1
    ]
    said = said[::-1] or [1]
    rows = np.concatenate((probabilities[:, said], probabilities[:, [BLANK]]), axis=1).T
    below.imshow(
        rows,
        origin="lower",
        aspect="auto",
        cmap="Blues",
        extent=(0, frame, -0.5, len(rows) - 0.5),
        vmin=0,
        vmax=1,
        interpolation="nearest",
    )
    names = [tokenizer.tokens[i - 1].replace(" ", "space") for i in said]
    below.set_yticks(range(len(rows)), [*names, "blank"], family="monospace", fontsize=8)
    below.set_ylabel("token")
    below.set_xlabel("seconds")
    return figure


def plot_features(rows: Sequence[tuple[str, Tensor]], *, seconds_per_frame: float) -> Figure:
    """Log-mel features (T, F), one below the other on one axis of time, each with its title."""
    longest = max(len(features) for _, features in rows) * seconds_per_frame
    figure = Figure(figsize=(min(16.0, 4 + 1.6 * longest), 1.9 * len(rows)), layout="constrained")
    for axes, (title, features) in zip(
        figure.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0], rows, strict=True
    ):
        end, bands = len(features) * seconds_per_frame, features.shape[1]
        axes.imshow(
            features.T.numpy(),
            origin="lower",
            aspect="auto",
            cmap="magma",
            extent=(0, end, 0, bands),
            vmin=-2,
            vmax=3,
        )
        axes.set_xlim(0, longest)
        axes.set_ylabel("mel band")
        axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel("seconds")
    return figure


def plot_reliability(reliability: Reliability) -> Figure:
    """Share of words that are right against their confidence, with the words in each bin; the grey line is right."""
    figure = Figure(figsize=(4.6, 4.6), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    axes.plot(reliability.confidence, reliability.right, marker="o", color="tab:blue")
    for x, y, count in zip(
        reliability.confidence, reliability.right, reliability.count.tolist(), strict=True
    ):
        axes.annotate(f"{count}", (x, y), xytext=(5, -11), textcoords="offset points", fontsize=8)
    axes.set(
        xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="share of the words that are right"
    )
    axes.set_title(f"expected calibration error {reliability.error:.3f}", loc="left", fontsize=10)
    return figure


def plot_tuning_surface(
    wer: Mapping[tuple[float, float], float], best: tuple[float, float]
) -> Figure:
    """Word error rate at points of (lm_weight, word_score); the best has a ring, the worst quarter one colour."""
    figure = Figure(figsize=(8, 5.5), layout="constrained")
    axes = figure.subplots()
    x, y = np.array(list(wer)).T
    values = 100 * np.array(list(wer.values()))
    drawn = axes.scatter(x, y, c=values, cmap="viridis_r", s=70, vmax=np.quantile(values, 0.75))
    axes.scatter(*best, s=220, facecolors="none", edgecolors="tab:red", linewidths=2)
    axes.set(xlabel="lm_weight", ylabel="word_score")
    axes.set_title(
        f"WER {100 * wer[best]:.2f} % at {best[0]:g}, {best[1]:g}", loc="left", fontsize=10
    )
    figure.colorbar(drawn, label="WER, %")
    return figure


def plot_runs(settings: Mapping[str, Sequence[Any]], wer: Sequence[float]) -> Figure:
    """Word error rate of runs against each of their settings, side by side; the best run has a ring.

    A setting whose values span more than a factor of ten is drawn by its logarithm, one that is not a number by name.
    """
    columns = min(4, len(settings))
    rows = -(-len(settings) // columns)
    figure = Figure(figsize=(3.6 * columns + 0.6, 3.2 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    percent = 100 * np.array(wer)
    best = int(percent.argmin())
    for axes in grid.flat[len(settings) :]:
        axes.remove()
    for axes, (name, values) in zip(grid.flat, settings.items(), strict=False):
        numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
        x: list[Any] = (
            list(values) if len(numbers) == len(values) else [str(value) for value in values]
        )
        axes.scatter(x, percent, color="tab:blue", s=30, alpha=0.7)
        axes.scatter(
            x[best], percent[best], s=160, facecolors="none", edgecolors="tab:red", linewidths=2
        )
        if len(numbers) == len(values) and min(numbers) > 0 and max(numbers) > 10 * min(numbers):
            axes.set_xscale("log")
        axes.set_xlabel(name, fontsize=9)
    for axes in grid[:, 0]:
        axes.set_ylabel("WER, %")
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, making the folder where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
