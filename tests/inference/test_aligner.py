"""The aligner: times, scores, batches, and errors."""

import math
from functools import partial

import numpy as np
import pytest
import soundfile
import torch

from asr import audio
from asr.decode.forced_align import align_batch
from asr.errors import AsrError, AudioError, TextError
from asr.inference import aligner as module
from asr.inference.aligner import Aligner
from asr.inference.timeline import AlignmentRequest, Timeline
from asr.nn.emissions import Emissions
from asr.text import Tokenizer

FRAME = 0.04


@pytest.fixture
def aligner(build):
    return Aligner(build())


def word_times(timeline):
    return [(word.text, word.start, word.end) for word in timeline.words]


def test_words_and_characters_have_the_times_of_the_alignment(aligner, recording):
    path = recording("a.wav", 1.5)
    (timeline,) = aligner.align([AlignmentRequest("a", path, "He, said!")])
    emissions = aligner.model.compute_emissions([audio.load(path)])
    labels = np.array(aligner.model.tokenizer.encode("he said"))
    (expected,) = align_batch(emissions, [labels])
    starts = [round(c.start / FRAME) for word in timeline.words for c in word.characters]
    assert starts == np.delete(expected.starts, 2).tolist()
    he, said = timeline.words
    assert (he.text, said.text, he.written, said.written) == ("he", "said", "He,", "said!")
    assert (he.start, he.end) == (he.characters[0].start, he.characters[-1].end)
    frames = (expected.ends - expected.starts)[:2]
    assert he.score == pytest.approx(
        math.exp((expected.log_probs[:2] * frames).sum() / frames.sum())
    )
    assert (timeline.text, timeline.start, timeline.end) == ("he said", 0.0, 1.5)


def test_a_model_with_word_pieces_aligns_word_pieces(build, recording):
    tokenizer = Tokenizer((*Tokenizer.english().tokens, "he", "sa", "id", "said"))
    (timeline,) = Aligner(build(tokenizer=tokenizer)).align(
        [AlignmentRequest("a", recording("a.wav", 1.5), "He saids!")]
    )
    assert [[c.text for c in word.characters] for word in timeline.words] == [
        ["he"],
        ["said", "s"],
    ]
    for word in timeline.words:
        assert (word.start, word.end) == (word.characters[0].start, word.characters[-1].end)


def test_text_score_covers_the_frames_with_a_character_in_the_text_or_the_best_path():
    probabilities = (
        torch.tensor([[0.9, 0.1, 0.0], [0.1, 0.8, 0.1], [0.2, 0.1, 0.7], [0.9, 0.05, 0.05]])
        + 1e-9
    )
    log_probs = probabilities.log()[None]
    emissions = Emissions(log_probs, torch.tensor([4]), FRAME)
    (complete,) = align_batch(emissions, [np.array([1, 2])])
    (partial,) = align_batch(emissions, [np.array([1])])
    assert module._text_score(log_probs[0].numpy(), complete) == pytest.approx(
        math.sqrt(0.8 * 0.7), abs=1e-4
    )
    assert module._text_score(log_probs[0].numpy(), partial) == pytest.approx(
        math.sqrt(0.8 * 0.2), abs=1e-4
    )


def test_words_and_texts_below_min_score_do_not_fit(build, recording):
    requests = [AlignmentRequest("a", recording("a.wav", 1.5), "he said")]
    (strict,) = Aligner(build(), min_score=1.0).align(requests)
    (mild,) = Aligner(build(), min_score=0.0).align(requests)
    assert not strict.fits
    assert not any(word.fits for word in strict.words)
    assert mild.fits
    assert all(word.fits for word in mild.words)
    assert word_times(strict) == word_times(mild)


def test_results_do_not_depend_on_other_recordings_and_keep_the_order(
    aligner, utterances, monkeypatch
):
    requests = [
        AlignmentRequest(str(i), u.audio, u.text or "x") for i, u in enumerate(utterances)
    ]
    expected = [next(aligner.align([request])) for request in requests]
    for pool_seconds in (module.POOL_SECONDS, 1.0):
        monkeypatch.setattr(module, "POOL_SECONDS", pool_seconds)
        for timeline, alone in zip(aligner.align(requests), expected, strict=True):
            assert word_times(timeline) == word_times(alone)
            assert timeline.score == pytest.approx(alone.score, rel=1e-4)


def test_an_error_has_a_reason_and_does_not_affect_other_recordings(
    aligner, recording, tmp_path
):
    good, short = recording("good.wav", 1.5), recording("short.wav", 0.3)
    cut = tmp_path / "cut.flac"
    soundfile.write(cut, 0.1 * np.random.default_rng(0).standard_normal(16_000), 16_000)
    cut.write_bytes(cut.read_bytes()[:9_000])
    cases = [
        (good, "a word", None),
        (good, "größe 7", (TextError, "'ö' 'ß' '7', for which the model has no token")),
        (
            short,
            "far too many words for this",
            (TextError, r"27 characters do not fit into its 0.30 s \(7 frames\)"),
        ),
        (good, "?!", (TextError, "no words")),
        (tmp_path / "none.wav", "a word", (AudioError, "no such file")),
        (cut, "a word", (AudioError, "cut off")),
        (good, "a word", None),
    ]
    results = list(
        aligner.align([AlignmentRequest(path.name, path, text) for path, text, _ in cases])
    )
    for (path, _, error), result in zip(cases, results, strict=True):
        if error is None:
            assert word_times(result) == word_times(results[0])
        else:
            with pytest.raises(error[0], match=error[1]):
                raise result
            assert path.name in str(result)


@pytest.mark.parametrize("count", [1, 3])
def test_each_unreadable_recording_has_an_error_of_its_own(aligner, tmp_path, count):
    cut = tmp_path / "cut.flac"
    soundfile.write(cut, 0.1 * np.random.default_rng(0).standard_normal(16_000), 16_000)
    cut.write_bytes(cut.read_bytes()[:9_000])
    results = list(aligner.align([AlignmentRequest("cut", cut, "a")] * count))
    assert [type(result) for result in results] == [AudioError] * count
    assert not list(aligner.align([]))


def test_times_of_a_segment_are_relative_to_the_file(aligner, recording, tmp_path):
    path = recording("a.wav", 3.0)
    cut = tmp_path / "cut.wav"
    soundfile.write(cut, audio.load(path, offset=1.0, duration=1.5), 16_000)
    (expected,) = aligner.align([AlignmentRequest("a", cut, "he said")])
    (segment,) = aligner.align(
        [AlignmentRequest("a", path, "he said", offset=1.0, duration=1.5)]
    )
    assert (segment.start, segment.end) == (1.0, 2.5)
    assert [start for _, start, _ in word_times(segment)] == pytest.approx(
        [1 + start for _, start, _ in word_times(expected)]
    )


def test_no_time_is_after_the_end(aligner, recording):
    path = recording("a.wav", 0.512)  # its last frame begins at 0.48 s
    (timeline,) = aligner.align([AlignmentRequest("a", path, "abcdefghijklm")])
    assert isinstance(timeline, Timeline)
    assert timeline.words[-1].end == timeline.end == pytest.approx(0.512)


def test_alignment_in_windows_has_the_times_of_one_pass(build, recording, monkeypatch):
    path, aligner = recording("a.wav", 4.0), Aligner(build(features={"normalize": "none"}))
    (expected,) = aligner.align([AlignmentRequest("a", path, "he said it all")])
    narrow = partial(module.longform.compute_emissions, window=1.0, context=1.0)
    monkeypatch.setattr(module.longform, "compute_emissions", narrow)
    (windowed,) = aligner.align([AlignmentRequest("a", path, "he said it all")])
    assert not isinstance(windowed, AsrError)
    assert [start for _, start, _ in word_times(windowed)] == pytest.approx(
        [start for _, start, _ in word_times(expected)]
    )
