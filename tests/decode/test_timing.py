"""Times of words and of speech in seconds."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr.audio.vad import detect_speech
from asr.decode.beam import BeamDecoder
from asr.decode.greedy import GreedyDecoder
from asr.decode.phrases import PhraseDecoder
from asr.decode.timing import WordTimer, fit_boundary_offsets
from asr.nn.emissions import NO_OFFSET, BoundaryOffsets, Emissions
from asr.text import Tokenizer


def test_offsets_extend_words_at_most_halfway_to_a_neighbor():
    timer = WordTimer(0.04, BoundaryOffsets(0.1, 0.2))
    times = timer([5, 10, 30], [8, 12, 31], 40)
    assert np.allclose(
        times, [(0.10, 0.36), (0.36, 0.68), (1.10, 1.44)]
    )  # 0.36 lies between 0.32 and 0.40
    assert np.allclose(timer([1], [39], 40), [(0.0, 1.6)])
    assert timer([], [], 40) == []


def test_without_offsets_words_have_the_times_of_their_tokens():
    assert np.allclose(WordTimer(0.04)([2, 6], [4, 7], 9), [(0.08, 0.16), (0.24, 0.28)])


@given(
    gaps=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=1, max_size=6),
    lead=st.floats(0, 1),
    tail=st.floats(0, 1),
)
def test_words_never_overlap_or_leave_the_recording(gaps, lead, tail):
    starts, ends, frames = [], [], 0
    for gap, size in gaps:
        starts.append(frames + gap)
        frames += gap + size
        ends.append(frames)
    times = WordTimer(0.04, BoundaryOffsets(lead, tail))(starts, ends, frames + 3)
    flat = [time for word in times for time in word]
    assert flat == sorted(flat)
    assert flat[0] >= 0
    assert flat[-1] <= (frames + 3) * 0.04
    for (start, end), first, last in zip(times, starts, ends, strict=True):
        assert start <= first * 0.04 + 1e-9
        assert end >= last * 0.04 - 1e-9


def test_offsets_are_medians_and_never_negative():
    assert fit_boundary_offsets([(0.1, -0.2), (0.3, -0.1), (5.0, 0.0)]) == BoundaryOffsets(
        0.3, 0.0
    )
    assert fit_boundary_offsets([]) == NO_OFFSET


def test_speech_is_found_between_silences(sound):
    waveform = np.concatenate([np.zeros(8_000), sound(1.0), np.zeros(4_000)]).astype(
        np.float32
    )
    waveform += 1e-4 * np.random.default_rng(0).standard_normal(len(waveform)).astype(
        np.float32
    )
    start, end = detect_speech(waveform)
    assert start == pytest.approx(0.5, abs=0.05)
    assert end == pytest.approx(1.5, abs=0.05)


def test_steady_sound_has_no_speech_bounds(sound):
    assert detect_speech(np.zeros(16_000, dtype=np.float32)) is None
    assert (
        detect_speech(np.random.default_rng(0).standard_normal(16_000).astype(np.float32))
        is None
    )
    assert detect_speech(np.zeros(10, dtype=np.float32)) is None


@pytest.mark.parametrize(
    "decoder",
    [GreedyDecoder(), BeamDecoder(workers=1), PhraseDecoder(phrases=["ab a"])],
    ids=lambda d: type(d).__name__,
)
def test_every_decoder_applies_the_offsets(decoder):
    tokenizer = Tokenizer((" ", "a", "b"))
    path = [0, 0, 2, 3, 0, 1, 0, 0, 2, 0]  # "ab a"
    log_probs = torch.full((1, len(path), 4), -12.0)
    log_probs[0, torch.arange(len(path)), torch.tensor(path)] = 0.0
    plain = Emissions(log_probs.log_softmax(-1), torch.tensor([len(path)]), 0.04)
    (hypothesis,) = decoder(
        replace(plain, boundary_offsets=BoundaryOffsets(0.04, 0.02)), tokenizer
    )
    assert [(word.text, word.start, word.end) for word in hypothesis.words] == [
        ("ab", pytest.approx(0.04), pytest.approx(0.18)),
        ("a", pytest.approx(0.28), pytest.approx(0.38)),
    ]
