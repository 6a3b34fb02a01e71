"""Beam search over batches against exact scores, flashlight, and its own results row by row."""

from dataclasses import replace

import pytest
import torch
from exhaustive import SMALL, TOKENIZER, agrees, by_text, labellings
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.decode.beam import BeamDecoder
from asr.decode.beam_cuda import CudaBeamDecoder
from asr.decode.greedy import GreedyDecoder
from asr.nn.emissions import Emissions
from asr.nn.losses import ctc_loss
from asr.text import Tokenizer


def emissions(*frames, seed=0, sharp=3):
    logits = torch.randn(
        len(frames), max(frames), 4, generator=torch.Generator().manual_seed(seed)
    )
    return Emissions((sharp * logits).log_softmax(-1), torch.tensor(frames), 0.04)


@given(SMALL, st.sampled_from([TOKENIZER, Tokenizer((" ", "a", "aa"))]))
@settings(max_examples=60)
def test_the_best_text_of_a_wide_beam_has_the_largest_sum_over_alignments(case, tokenizer):
    batch = emissions(case[0], seed=case[1], sharp=1)
    (hypothesis,) = CudaBeamDecoder(beam_size=1500, skip_blank=1)(batch, tokenizer)
    agrees(hypothesis, by_text(labellings(batch.row(0)), tokenizer))


@given(SMALL)
@settings(max_examples=30)
def test_a_wide_beam_holds_every_text_with_its_sum(case):
    batch = emissions(case[0], seed=case[1], sharp=1)
    (best,) = CudaBeamDecoder(beam_size=1500, nbest=1500, skip_blank=1)(batch, TOKENIZER)
    scores = {h.text: h.score for h in (best, *best.alternatives)}
    assert scores == pytest.approx(by_text(labellings(batch.row(0))), abs=2e-3)


@given(
    st.lists(st.integers(1, 30), min_size=2, max_size=5),
    st.integers(0, 99),
    st.sampled_from([0.5, 0.95, 1.0]),
)
def test_results_do_not_depend_on_other_rows(frames, seed, skip_blank):
    batch = emissions(*frames, seed=seed)
    decoder = CudaBeamDecoder(beam_size=8, nbest=3, skip_blank=skip_blank)
    for i, hypothesis in enumerate(decoder(batch, TOKENIZER)):
        alone = replace(
            batch, log_probs=batch.row(i)[None], lengths=batch.lengths[i : i + 1]
        )
        (single,) = decoder(alone, TOKENIZER)
        expected, actual = ((h, *h.alternatives) for h in (single, hypothesis))
        assert [(h.text, h.words) for h in expected] == [(h.text, h.words) for h in actual]
        scores = [h.score for h in actual]
        assert [h.score for h in expected] == pytest.approx(scores, abs=1e-4)


def test_texts_of_long_rows_are_as_likely_as_those_of_flashlight():
    batch = emissions(80, 120, 100, sharp=5)
    ours, theirs = (
        CudaBeamDecoder(beam_size=200)(batch, TOKENIZER),
        BeamDecoder(beam_size=200, workers=1)(batch, TOKENIZER),
    )
    assert min(likelihood(batch, ours) - likelihood(batch, theirs)) > -1e-3


def likelihood(batch, hypotheses):
    labels = [torch.tensor(TOKENIZER.encode(hypothesis.text)) for hypothesis in hypotheses]
    lengths = torch.tensor([len(row) for row in labels])
    return -ctc_loss(
        batch.log_probs,
        batch.lengths,
        torch.nn.utils.rnn.pad_sequence(labels, True),
        lengths,
    )


@given(st.text("._ab", min_size=1, max_size=20))
def test_skipping_confident_blanks_changes_no_text(path):
    index = torch.tensor(["._ab".index(letter) for letter in path])
    log_probs = (
        torch.full((1, len(path), 4), 0.001).scatter(2, index[None, :, None], 0.997).log()
    )
    batch = Emissions(log_probs, torch.tensor([len(path)]), 0.04)
    (whole,), (skipping,) = (
        CudaBeamDecoder(skip_blank=skip)(batch, TOKENIZER) for skip in (1, 0.95)
    )
    assert skipping.text == whole.text
    assert skipping.score == pytest.approx(whole.score, abs=0.1)


@pytest.mark.parametrize("seed", range(5))
def test_words_have_times_and_confidence_of_the_most_likely_path(seed):
    batch = emissions(
        30, seed=seed, sharp=9
    )  # sharp, so that the most likely text has the most likely path
    (best,), (greedy,) = (
        CudaBeamDecoder()(batch, TOKENIZER),
        GreedyDecoder()(batch, TOKENIZER),
    )
    assert (best.text, best.words) == (greedy.text, greedy.words)


def test_silence_has_no_words():
    batch = Emissions(
        torch.tensor([0.999, 0.0004, 0.0003, 0.0003]).log().expand(2, 9, 4),
        torch.tensor([9, 0]),
        0.04,
    )
    hypotheses = CudaBeamDecoder()(batch, TOKENIZER)
    assert [(h.text, h.words) for h in hypotheses] == [("", ())] * 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beam_size": 0}, "beam_size must be >= 1 and <= 2000, got 0"),
        ({"beam_size": 10**6}, "beam_size must be >= 1 and <= 2000, got 1000000"),
        ({"nbest": 11}, "nbest must be >= 1 and <= 10, got 11"),
        ({"skip_blank": 0}, "skip_blank must be > 0 and <= 1, got 0"),
    ],
)
def test_numbers_out_of_range_are_rejected(settings, message):
    with pytest.raises(ValueError, match=message):
        CudaBeamDecoder(**settings)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_results_on_a_gpu_equal_those_on_the_cpu():
    batch, decoder = emissions(12, 40, 25), CudaBeamDecoder(beam_size=20, nbest=3)
    on_gpu = replace(batch, log_probs=batch.log_probs.cuda(), lengths=batch.lengths.cuda())
    cpu, gpu = decoder(batch, TOKENIZER), decoder(on_gpu, TOKENIZER)
    assert [h.text for h in gpu] == [h.text for h in cpu]
    assert [h.score for h in gpu] == pytest.approx([h.score for h in cpu], abs=1e-3)
