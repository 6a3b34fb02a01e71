"""Plots of features, emissions, confidence, and error rates."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from librosa.display import specshow
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from asr.audio import SAMPLE_RATE
from asr.decode.confidence import Reliability
from asr.text import BLANK, Tokenizer

MIN_FEATURE, MAX_FEATURE = -2.0, 3.0  # limits of the color scale, in standard deviations
MIN_PROBABILITY = 0.1  # a token that never exceeds it has no row
MAX_WIDTH = 16.0  # inches
MAX_LABEL = 20  # characters in a line of a tick label
TITLE: dict[str, Any] = {"loc": "left", "fontsize": 10, "wrap": True}
RING: dict[str, Any] = {
    "s": 200,
    "facecolors": "none",
    "edgecolors": "tab:red",
    "linewidths": 2,
}


def plot_emissions(
    features: Tensor,
    log_probs: Tensor,
    tokenizer: Tokenizer,
    *,
    seconds_per_frame: float,
    reference: str = "",
    hypothesis: str = "",
) -> Figure:
    """Plot normalized log-mel features (T, F) above token probabilities (U, V) over time.

    Only the blank and tokens that exceed MIN_PROBABILITY in some frame have a row.
    `seconds_per_frame` refers to the feature frames.
    """
    seconds = len(features) * seconds_per_frame
    figure = _wide_figure(seconds, height=6.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2, 3])
    _show_features(upper, features, seconds_per_frame)
    title = f"reference   {reference or '(empty)'}\nhypothesis  {hypothesis or '(empty)'}"
    upper.set_title(title, family="monospace", **TITLE)

    probabilities = log_probs.exp().numpy()  # (U, V)
    is_likely = probabilities.max(axis=0) > MIN_PROBABILITY
    labels = [label for label in np.flatnonzero(is_likely)[::-1] if label != BLANK] or [1]
    lower.imshow(
        probabilities[:, [*labels, BLANK]].T,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        extent=(0, seconds, -0.5, len(labels) + 0.5),
        cmap="Blues",
        vmin=0,
        vmax=1,
    )
    names = [tokenizer.tokens[label - 1].replace(" ", "space") for label in labels]
    lower.set_yticks(
        range(len(names) + 1), [*names, "blank"], family="monospace", fontsize=8
    )
    lower.set(xlabel="time (s)", ylabel="token")
    return figure


def plot_features(
    rows: Sequence[tuple[str, Tensor]], *, seconds_per_frame: float
) -> Figure:
    """Plot (title, normalized log-mel features (T, F)) pairs below each other on one time axis."""
    seconds = max(len(features) for _, features in rows) * seconds_per_frame
    figure = _wide_figure(seconds, height=1.9 * len(rows))
    axes = figure.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
    for ax, (title, features) in zip(axes, rows, strict=True):
        _show_features(ax, features, seconds_per_frame)
        ax.set_title(title, **TITLE)
    ax.set(xlim=(0, seconds), xlabel="time (s)")
    return figure


def plot_reliability(reliability: Reliability) -> Figure:
    """Plot the share of correct words against confidence, with the number of words in each bin."""
    figure = Figure(figsize=(4.6, 4.6), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="gray", linewidth=1, label="perfect calibration")
    axes.plot(reliability.confidence, reliability.accuracy, marker="o", label="words")
    for x, y, count in reliability.bins:
        axes.annotate(
            str(count), (x, y), xytext=(5, -11), textcoords="offset points", fontsize=8
        )
    limits = (-0.06, 1.12)  # leave room for the numbers
    axes.set(xlim=limits, ylim=limits, xlabel="confidence", ylabel="share of correct words")
    axes.set_title(f"expected calibration error {reliability.error:.3f}", **TITLE)
    axes.legend(loc="upper left")
    return figure


def plot_tuning_surface(
    wer: Mapping[tuple[float, float], float], best: tuple[float, float]
) -> Figure:
    """Plot the word error rate at points (lm_weight, word_score), with a ring around the best.

    The worst quarter of the points shares one color.
    """
    figure = Figure(figsize=(8, 5.5), layout="constrained")
    axes = figure.subplots()
    x, y = np.array(list(wer)).T
    percent = 100 * np.array(list(wer.values()))
    points = axes.scatter(
        x, y, c=percent, cmap="viridis_r", s=70, vmax=np.quantile(percent, 0.75)
    )
    axes.scatter(*best, **RING)
    axes.set(xlabel="lm_weight", ylabel="word_score (nats)")
    title = "lowest WER {:.2f} % at lm_weight={:g}, word_score={:g}"
    axes.set_title(title.format(100 * wer[best], *best), **TITLE)
    figure.colorbar(points, label="WER (%)", extend="max")
    return figure


def plot_runs(settings: Mapping[str, Sequence[Any]], wer: Sequence[float]) -> Figure:
    """Plot the word error rate of runs against each setting, with a ring around the best run.

    The axis of positive numbers that span more than a factor of ten is logarithmic.
    """
    figure = Figure(figsize=(0.6 + 3.6 * len(settings), 3.6), layout="constrained")
    columns = figure.subplots(1, len(settings), sharey=True, squeeze=False)[0]
    percent = 100 * np.array(wer)
    best = int(percent.argmin())
    for axes, (name, values) in zip(columns, settings.items(), strict=True):
        is_numeric = all(type(value) in (int, float) for value in values)
        x = values if is_numeric else [fill(str(value), MAX_LABEL) for value in values]
        axes.scatter(x, percent, s=30, alpha=0.7)
        axes.scatter(x[best], percent[best], **RING)
        if not is_numeric:
            axes.tick_params(axis="x", rotation=90, labelsize=8)
        elif 0 < 10 * min(values) < max(values):
            axes.set_xscale("log")
            axes.tick_params(axis="x", which="minor", labelbottom=False)
        axes.set_xlabel(name, fontsize=9)
    columns[0].set_ylabel("WER (%)")
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG and create its folder if necessary."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _wide_figure(seconds: float, height: float) -> Figure:
    return Figure(figsize=(min(MAX_WIDTH, 4 + 1.6 * seconds), height), layout="constrained")


def _show_features(axes: Axes, features: Tensor, seconds_per_frame: float) -> None:
    specshow(
        features.T.numpy(),  # (F, T)
        x_axis="s",
        y_axis="mel",
        sr=SAMPLE_RATE,
        hop_length=round(seconds_per_frame * SAMPLE_RATE),
        cmap="magma",
        vmin=MIN_FEATURE,
        vmax=MAX_FEATURE,
        ax=axes,
    )
    axes.set(
        xlim=(0, len(features) * seconds_per_frame), xlabel="", ylabel="frequency (Hz)"
    )
