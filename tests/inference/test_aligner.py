"""Recordings and their texts in, timelines out."""

import math
from functools import partial

import numpy as np
import pytest
import soundfile
import torch

from asr import audio
from asr.decode import forced_align as align
from asr.errors import AsrError, AudioError, TextError
from asr.inference import aligner as module
from asr.inference.aligner import Aligner
from asr.inference.longform import compute_batch_emissions
from asr.inference.timeline import AlignmentRequest, Timeline
from asr.text import Tokenizer

FRAME = 0.04


@pytest.fixture
def aligner(build):
    return Aligner(build())


def times(timeline):
    return [(word.text, word.start, word.end) for word in timeline.words]


def test_words_and_characters_are_where_the_alignment_has_them(aligner, recording):
    path = recording("a.wav", 1.5)
    (timeline,) = aligner.align([AlignmentRequest("a", path, "He, said!")])
    log_probs = compute_batch_emissions(aligner.model, [torch.from_numpy(audio.load(path))])
    labels = torch.tensor([aligner.model.tokenizer.encode("he said")])
    (expected,) = align.align_batch(
        log_probs.log_probs, log_probs.lengths, labels, torch.tensor([7])
    )
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


def test_a_model_that_writes_pieces_puts_pieces_on_the_axis(build, recording):
    tokenizer = Tokenizer((*Tokenizer.english().tokens, "he", "sa", "id", "said"))
    (timeline,) = Aligner(build(tokenizer=tokenizer)).align(
        [AlignmentRequest("a", recording("a.wav", 1.5), "He saids!")]
    )
    assert [[c.text for c in word.characters] for word in timeline.words] == [["he"], ["said", "s"]]
    for word in timeline.words:
        assert (word.start, word.end) == (word.characters[0].start, word.characters[-1].end)


def test_scores_are_means_over_frames_that_either_the_text_or_the_best_path_gives_a_character():
    probabilities = (
        torch.tensor([[0.9, 0.1, 0.0], [0.1, 0.8, 0.1], [0.2, 0.1, 0.7], [0.9, 0.05, 0.05]]) + 1e-9
    )
    log_probs = probabilities.log()[None]
    (both,) = align.align_batch(
        log_probs, torch.tensor([4]), torch.tensor([[1, 2]]), torch.tensor([2])
    )
    (half,) = align.align_batch(
        log_probs, torch.tensor([4]), torch.tensor([[1]]), torch.tensor([1])
    )
    assert module._score(log_probs[0].numpy(), both) == pytest.approx(
        math.sqrt(0.8 * 0.7), abs=1e-4
    )
    assert module._score(log_probs[0].numpy(), half) == pytest.approx(
        math.sqrt(0.8 * 0.2), abs=1e-4
    )


def test_what_scores_less_than_the_threshold_is_marked(build, recording):
    what = [AlignmentRequest("a", recording("a.wav", 1.5), "he said")]
    (strict,) = Aligner(build(), min_score=1.0).align(what)
    (mild,) = Aligner(build(), min_score=0.0).align(what)
    assert not strict.fits
    assert not any(word.fits for word in strict.words)
    assert mild.fits
    assert all(word.fits for word in mild.words)
    assert times(strict) == times(mild)


def test_a_recording_is_aligned_alike_alone_and_with_others_and_the_order_is_kept(
    aligner, utterances, monkeypatch
):
    recordings = [
        AlignmentRequest(str(i), u.audio, u.text or "x") for i, u in enumerate(utterances)
    ]
    alone = [next(aligner.align([recording])) for recording in recordings]
    for pool in (module.POOL, 1.0):
        monkeypatch.setattr(module, "POOL", pool)
        for one, other in zip(aligner.align(recordings), alone, strict=True):
            assert times(one) == times(other)
            assert one.score == pytest.approx(other.score, rel=1e-4)


def test_what_cannot_be_aligned_says_why_and_leaves_the_others_alone(aligner, recording, tmp_path):
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
            assert times(result) == times(results[0])
        else:
            with pytest.raises(error[0], match=error[1]):
                raise result
            assert path.name in str(result)


@pytest.mark.parametrize("count", [1, 3])
def test_of_recordings_none_of_which_can_be_read_all_are_named(aligner, tmp_path, count):
    cut = tmp_path / "cut.flac"
    soundfile.write(cut, 0.1 * np.random.default_rng(0).standard_normal(16_000), 16_000)
    cut.write_bytes(cut.read_bytes()[:9_000])
    results = list(aligner.align([AlignmentRequest("cut", cut, "a")] * count))
    assert [type(result) for result in results] == [AudioError] * count
    assert not list(aligner.align([]))


def test_times_of_a_piece_count_from_the_beginning_of_the_file(aligner, recording, tmp_path):
    path = recording("a.wav", 3.0)
    soundfile.write(tmp_path / "piece.wav", audio.load(path, offset=1.0, duration=1.5), 16_000)
    (whole,) = aligner.align([AlignmentRequest("a", tmp_path / "piece.wav", "he said")])
    (piece,) = aligner.align([AlignmentRequest("a", path, "he said", offset=1.0, duration=1.5)])
    assert (piece.start, piece.end) == (1.0, 2.5)
    assert [start for _, start, _ in times(piece)] == pytest.approx(
        [1 + start for _, start, _ in times(whole)]
    )


def test_no_time_lies_behind_the_end(aligner, recording):
    path = recording("a.wav", 0.512)  # its last frame begins at 0.48 s
    (timeline,) = aligner.align([AlignmentRequest("a", path, "abcdefghijklm")])
    assert isinstance(timeline, Timeline)
    assert timeline.words[-1].end == timeline.end == pytest.approx(0.512)


def test_a_long_recording_is_aligned_in_windows(build, recording, monkeypatch):
    path, aligner = recording("a.wav", 4.0), Aligner(build(features={"normalize": "none"}))
    (whole,) = aligner.align([AlignmentRequest("a", path, "he said it all")])
    narrow = partial(module.longform.compute_emissions, window=1.0, context=1.0)
    monkeypatch.setattr(module.longform, "compute_emissions", narrow)
    (windowed,) = aligner.align([AlignmentRequest("a", path, "he said it all")])
    assert not isinstance(windowed, AsrError)
    assert [start for _, start, _ in times(windowed)] == pytest.approx(
        [start for _, start, _ in times(whole)]
    )
