"""Beam search on the GPU: what it finds against the search on the CPU, and what is refused without one."""

from dataclasses import replace
from typing import NamedTuple

import pytest
import torch

from asr.decode import Beam, BeamCuda, Greedy
from asr.errors import ConfigError
from asr.model import Emissions
from asr.text import Tokenizer

TOKENIZER = Tokenizer((" ", "a", "b", "c"))


class Prefix(NamedTuple):
    """What torchaudio's search finds."""

    tokens: list[int]
    score: float


def emissions(*frames, seed=0):
    logits = torch.randn(len(frames), max(frames), len(TOKENIZER), generator=torch.Generator().manual_seed(seed))
    return Emissions((3 * logits).log_softmax(-1), torch.tensor(frames), 0.04)


@pytest.mark.parametrize("seed", range(5))
def test_the_words_of_a_text_have_the_times_and_the_confidence_of_its_likeliest_path(seed):
    said = emissions(30, seed=seed)
    (greedy,) = Greedy()(said, TOKENIZER)
    path = said.row(0).argmax(-1).unique_consecutive()
    best = Prefix(path[path != 0].tolist(), -1.5)
    found = BeamCuda._hypothesis([best, Prefix([], -9.0)], said.row(0).numpy(), TOKENIZER, said)
    assert (found.text, found.words, found.score) == (greedy.text, greedy.words, -1.5)
    assert [(other.text, other.words, other.score) for other in found.alternatives] == [("", (), -9.0)]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"beam_size": 0}, "beam_size is 0"),
        ({"n_best": 11}, "n_best is 11; it must be at least 1 and at most 10"),
        ({"skip_blank": 0}, "skip_blank is 0"),
    ],
)
def test_numbers_out_of_range_are_refused(settings, told):
    with pytest.raises(ConfigError, match=told):
        BeamCuda(**settings)


def test_without_a_gpu_one_line_says_what_to_take():
    with pytest.raises(ConfigError, match=r"device=cuda, or take decoder=beam"):
        BeamCuda()(emissions(5), TOKENIZER)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_it_finds_what_the_search_on_the_cpu_finds():
    said = emissions(12, 40, 25)
    expected = Beam(beam_size=5, tokens_per_frame=5, skip_blank=1, workers=1)(said, TOKENIZER)
    found = BeamCuda(beam_size=5, n_best=2, skip_blank=1)(replace(said, log_probs=said.log_probs.cuda()), TOKENIZER)
    assert [hypothesis.text for hypothesis in found] == [hypothesis.text for hypothesis in expected]
    assert all(len(hypothesis.alternatives) == 1 for hypothesis in found)
