"""Plots of features, emissions, confidence, and tuning."""

import sys

import numpy as np
import pytest
import torch

from asr.decode.confidence import Reliability
from asr.evaluation import plots
from asr.text import Tokenizer


def plot(probabilities, **texts):
    return plots.plot_emissions(
        torch.randn(4 * len(probabilities), 80),
        probabilities.log(),
        Tokenizer((" ", "a", "b")),
        seconds_per_frame=0.01,
        **texts,
    )


def token_labels(figure):
    return [label.get_text() for label in figure.axes[1].get_yticklabels()]


@pytest.fixture
def probabilities():
    probabilities = torch.full((10, 4), 0.02)
    probabilities[:, 0] = 0.9
    probabilities[3, [0, 2]] = torch.tensor([0.1, 0.86])
    probabilities[5, [0, 1]] = torch.tensor([0.4, 0.56])
    return probabilities


def test_only_likely_tokens_and_the_blank_are_labeled(probabilities):
    assert token_labels(plot(probabilities)) == ["a", "space", "blank"]


def test_emissions_of_silence_can_be_plotted():
    silence = torch.eye(4)[[0]].repeat(10, 1).clamp_min(1e-6)
    assert token_labels(plot(silence))[-1] == "blank"


def test_title_shows_reference_and_hypothesis_and_time_is_in_seconds(probabilities):
    figure = plot(probabilities, reference="a b", hypothesis="a")
    title = figure.axes[0].get_title(loc="left")
    assert title.split("\n") == ["reference   a b", "hypothesis  a"]
    assert "(empty)" in plot(probabilities).axes[0].get_title(loc="left")
    assert figure.axes[1].get_xlim() == (0, 0.4)
    assert figure.axes[1].get_xlabel() == "time (s)"


def test_features_have_a_mel_axis_up_to_8_khz():
    features = [("one", torch.randn(40, 80)), ("two", torch.randn(20, 80))]
    figure = plots.plot_features(features, seconds_per_frame=0.01)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["one", "two"]
    for axes in figure.axes:
        assert axes.get_xlim() == (0, 0.4)
        assert axes.get_yscale() == "symlog"
        corners = axes.collections[0].get_coordinates()  # (F + 1, T + 1, 2)
        assert 7900 < np.max(corners[..., 1]) < 8200


def test_save_figure_writes_a_png_and_creates_the_folder(probabilities, tmp_path):
    path = tmp_path / "plots" / "0.png"
    plots.save_figure(plot(probabilities, reference="$x$ 100%"), path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert (
        "matplotlib.pyplot" not in sys.modules
        or sys.modules["matplotlib.pyplot"].get_fignums() == []
    )


def test_best_point_of_a_tuning_surface_has_a_ring():
    wer = {(0.0, 0.0): 0.5, (1.0, 4.0): 0.25, (2.0, 4.0): 0.75}
    figure = plots.plot_tuning_surface(wer, (1.0, 4.0))
    points, ring = figure.axes[0].collections
    assert points.get_array().tolist() == [50, 25, 75]
    assert ring.get_offsets().tolist() == [[1.0, 4.0]]
    title = figure.axes[0].get_title(loc="left")
    assert title == "lowest WER 25.00 % at lm_weight=1, word_score=4"


def test_best_run_has_a_ring_and_wide_ranges_are_logarithmic(tmp_path):
    settings = {"lr": [1e-4, 1e-2], "dropout": [0.1, 0.2], "cell": ["gru", None]}
    figure = plots.plot_runs(settings, [0.5, 0.25])
    assert [axes.get_xlabel() for axes in figure.axes] == list(settings)
    assert [axes.get_xscale() for axes in figure.axes] == ["log", "linear", "linear"]
    assert figure.axes[1].collections[1].get_offsets().tolist() == [[0.2, 25]]
    plots.save_figure(figure, tmp_path / "runs.png")


def test_reliability_plot_shows_the_number_of_words_in_each_bin():
    figure = plots.plot_reliability(
        Reliability.of([(0.95, True)] * 3 + [(0.15, False)] * 2)
    )
    _, line = figure.axes[0].lines
    assert line.get_ydata().tolist() == [0.0, 1.0]
    assert [text.get_text() for text in figure.axes[0].texts] == ["2", "3"]
    assert figure.axes[0].get_title(loc="left") == "expected calibration error 0.090"
