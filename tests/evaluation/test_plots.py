"""Pictures of emissions."""

import sys

import pytest
import torch

from asr.decode.confidence import Reliability
from asr.evaluation import plots as picture
from asr.text import Tokenizer


def draw(probabilities, **texts):
    features = torch.randn(4 * len(probabilities), 80)
    return picture.plot_emissions(
        features, probabilities.log(), Tokenizer((" ", "a", "b")), seconds=0.4, **texts
    )


def labels(figure):
    return [label.get_text() for label in figure.axes[1].get_yticklabels()]


@pytest.fixture
def probabilities():
    said = torch.full((10, 4), 0.02)
    said[:, 0] = 0.9
    said[3, [0, 2]] = torch.tensor([0.1, 0.86])
    said[5, [0, 1]] = torch.tensor([0.4, 0.56])
    return said


def test_only_tokens_that_are_ever_likely_are_labelled_and_the_blank(probabilities):
    assert labels(draw(probabilities)) == ["a", "space", "blank"]


def test_a_model_that_says_nothing_is_drawn_too():
    assert labels(draw(torch.eye(4)[[0]].repeat(10, 1).clamp_min(1e-6)))[-1] == "blank"


def test_reference_and_hypothesis_stand_above_and_time_is_in_seconds(probabilities):
    figure = draw(probabilities, reference="a b", hypothesis="a")
    title = figure.axes[0].get_title(loc="left")
    assert title.split("\n") == ["said   a b", "heard  a"]
    assert "(nothing)" in draw(probabilities).axes[0].get_title(loc="left")
    assert figure.axes[1].get_xlim() == (0, 0.4)


def test_save_writes_a_png_and_makes_the_folder(probabilities, tmp_path):
    path = tmp_path / "plots" / "0.png"
    picture.save_figure(draw(probabilities, reference="$x$ 100%"), path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert (
        "matplotlib.pyplot" not in sys.modules
        or sys.modules["matplotlib.pyplot"].get_fignums() == []
    )


def test_the_best_point_of_a_surface_has_a_ring():
    figure = picture.plot_tuning_surface(
        {(0.0, 0.0): 0.5, (1.0, 4.0): 0.25, (2.0, 4.0): 0.75}, (1.0, 4.0)
    )
    points, ring = figure.axes[0].collections
    assert points.get_array().tolist() == [50, 25, 75]
    assert ring.get_offsets().tolist() == [[1.0, 4.0]]
    assert figure.axes[0].get_title(loc="left") == "WER 25.00 % at 1, 4"


def test_reliability_is_drawn_with_the_number_of_words_in_each_bin():
    figure = picture.plot_reliability(Reliability.of([(0.95, True)] * 3 + [(0.15, False)] * 2))
    _, drawn = figure.axes[0].lines
    assert drawn.get_ydata().tolist() == [0.0, 1.0]
    assert [text.get_text() for text in figure.axes[0].texts] == ["2", "3"]
    assert figure.axes[0].get_title(loc="left") == "expected calibration error 0.090"
