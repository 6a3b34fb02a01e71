"""Beam search of whole batches: against the sum over all alignments, flashlight's search, and itself row by row."""

from dataclasses import replace

import pytest
import torch
from exhaustive import SMALL, TOKENIZER, agrees, by_text, labellings
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.decode import BeamDecoder, CudaBeamDecoder, GreedyDecoder
from asr.errors import ConfigError
from asr.nn.emissions import Emissions
from asr.nn.losses import ctc_loss
from asr.text import Tokenizer


def emissions(*frames, seed=0, sharp=3):
    logits = torch.randn(len(frames), max(frames), 4, generator=torch.Generator().manual_seed(seed))
    return Emissions((sharp * logits).log_softmax(-1), torch.tensor(frames), 0.04)


@given(SMALL, st.sampled_from([TOKENIZER, Tokenizer((" ", "a", "aa"))]))
@settings(max_examples=60)
def test_a_wide_beam_finds_the_text_of_the_largest_sum_over_alignments(case, tokenizer):
    said = emissions(case[0], seed=case[1], sharp=1)
    (hypothesis,) = CudaBeamDecoder(beam_size=1500, skip_blank=1)(said, tokenizer)
    agrees(hypothesis, by_text(labellings(said.row(0)), tokenizer))


@given(SMALL)
@settings(max_examples=30)
def test_and_every_other_text_with_its_own_sum(case):
    said = emissions(case[0], seed=case[1], sharp=1)
    (best,) = CudaBeamDecoder(beam_size=1500, nbest=1500, skip_blank=1)(said, TOKENIZER)
    found = {hypothesis.text: hypothesis.score for hypothesis in (best, *best.alternatives)}
    assert found == pytest.approx(by_text(labellings(said.row(0))), abs=2e-3)


@given(
    st.lists(st.integers(1, 30), min_size=2, max_size=5),
    st.integers(0, 99),
    st.sampled_from([0.5, 0.95, 1.0]),
)
def test_a_row_is_decoded_alike_alone_and_with_others_of_any_length(frames, seed, skip_blank):
    said, search = (
        emissions(*frames, seed=seed),
        CudaBeamDecoder(beam_size=8, nbest=3, skip_blank=skip_blank),
    )
    for i, hypothesis in enumerate(search(said, TOKENIZER)):
        alone = replace(said, log_probs=said.row(i)[None], lengths=said.lengths[i : i + 1])
        (single,) = search(alone, TOKENIZER)
        every, others = ((one, *one.alternatives) for one in (single, hypothesis))
        assert [(one.text, one.words) for one in every] == [(one.text, one.words) for one in others]
        assert [one.score for one in every] == pytest.approx(
            [one.score for one in others], abs=1e-4
        )


def test_of_long_rows_it_finds_texts_as_likely_as_flashlight_does():
    said = emissions(80, 120, 100, sharp=5)
    ours, theirs = (
        CudaBeamDecoder(beam_size=200)(said, TOKENIZER),
        BeamDecoder(beam_size=200, workers=1)(said, TOKENIZER),
    )
    assert min(likelihood(said, ours) - likelihood(said, theirs)) > -1e-3


def likelihood(said, hypotheses):
    labels = [torch.tensor(TOKENIZER.encode(hypothesis.text)) for hypothesis in hypotheses]
    lengths = torch.tensor([len(row) for row in labels])
    return -ctc_loss(
        said.log_probs, said.lengths, torch.nn.utils.rnn.pad_sequence(labels, True), lengths
    )


@given(st.text("._ab", min_size=1, max_size=20))
def test_leaving_sure_blanks_out_changes_no_text(path):
    index = torch.tensor(["._ab".index(letter) for letter in path])
    log_probs = torch.full((1, len(path), 4), 0.001).scatter(2, index[None, :, None], 0.997).log()
    said = Emissions(log_probs, torch.tensor([len(path)]), 0.04)
    (whole,), (skipping,) = (
        CudaBeamDecoder(skip_blank=skip)(said, TOKENIZER) for skip in (1, 0.95)
    )
    assert skipping.text == whole.text
    assert skipping.score == pytest.approx(whole.score, abs=0.1)


@pytest.mark.parametrize("seed", range(5))
def test_the_words_of_a_text_have_the_times_and_the_confidence_of_its_likeliest_path(seed):
    said = emissions(
        30, seed=seed, sharp=9
    )  # so sharp that the likeliest text is that of the likeliest path
    (found,), (greedy,) = CudaBeamDecoder()(said, TOKENIZER), GreedyDecoder()(said, TOKENIZER)
    assert (found.text, found.words) == (greedy.text, greedy.words)


def test_of_silence_it_makes_nothing():
    said = Emissions(
        torch.tensor([0.999, 0.0004, 0.0003, 0.0003]).log().expand(2, 9, 4),
        torch.tensor([9, 0]),
        0.04,
    )
    assert [(found.text, found.words) for found in CudaBeamDecoder()(said, TOKENIZER)] == [
        ("", ())
    ] * 2


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"beam_size": 0}, "beam_size is 0"),
        ({"beam_size": 10**6}, "beam_size is 1000000; it must be at least 1 and at most 2000"),
        ({"nbest": 11}, "nbest is 11; it must be at least 1 and at most 10"),
        ({"skip_blank": 0}, "skip_blank is 0"),
    ],
)
def test_numbers_out_of_range_are_refused(settings, told):
    with pytest.raises(ConfigError, match=told):
        CudaBeamDecoder(**settings)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_it_finds_what_it_finds_on_the_cpu():
    said, search = emissions(12, 40, 25), CudaBeamDecoder(beam_size=20, nbest=3)
    here = search(said, TOKENIZER)
    there = search(
        replace(said, log_probs=said.log_probs.cuda(), lengths=said.lengths.cuda()), TOKENIZER
    )
    assert [hypothesis.text for hypothesis in there] == [hypothesis.text for hypothesis in here]
    assert [hypothesis.score for hypothesis in there] == pytest.approx(
        [one.score for one in here], abs=1e-3
    )
