"""Test the recipe that cuts long utterances at pauses."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr import audio
from asr.config.app import run_recipe
from asr.data.manifest import Utterance, read_manifest, write_manifest
from asr.inference.timeline import TimedWord
from recipes.segment import Cut, cut_utterance, divide, find_cuts, segment

RATE = audio.SAMPLE_RATE


def timed(text: str, start: float, end: float) -> TimedWord:
    return TimedWord(text, start, end, 0.5, text, True, ())


def speech(*parts: tuple[float, float]) -> np.ndarray:
    """Return noise with (seconds, level) of each part."""
    rng = np.random.default_rng(0)
    noises = [level * rng.standard_normal(round(s * RATE)) for s, level in parts]
    return np.concatenate(noises).astype(np.float32)


def test_a_cut_is_in_the_middle_of_a_pause_between_two_words():
    waveform = speech((1.0, 0.1), (0.4, 0.001), (1.0, 0.1), (0.1, 0.0), (0.5, 0.1))
    words = [timed("one", 0.2, 0.9), timed("two", 1.5, 1.9), timed("three", 2.45, 2.9)]
    (found,) = find_cuts(waveform, words, 0.0)  # a pause of 0.1 s is too short
    assert found.word == 1
    assert found.time == pytest.approx(1.2, abs=0.02)
    assert found.pause == pytest.approx(0.4, abs=0.03)
    moved = [timed(w.text, w.start + 7, w.end + 7) for w in words]
    (later,) = find_cuts(waveform, moved, 7.0)
    assert later.time == pytest.approx(found.time + 7)


@pytest.mark.parametrize(
    "words",
    [
        [timed("one", 0.2, 1.5), timed("two", 1.6, 1.9)],  # the pause is inside a word
        [timed("one", 1.5, 1.7), timed("two", 1.8, 1.9)],  # or before all words
        [timed("one", 0.1, 0.4), timed("two", 0.5, 0.9)],  # or after all of them
    ],
)
def test_no_cut_is_inside_a_word_or_at_an_end(words):
    waveform = speech((1.0, 0.1), (0.4, 0.0), (1.0, 0.1))
    assert not list(find_cuts(waveform, words, 0.0))


@pytest.mark.parametrize(
    "waveform", [speech((1.0, 0.1)), speech((1.0, 0.0)), speech((0.0, 0.1))]
)
def test_steady_noise_and_silence_have_no_cuts(waveform):
    words = [timed("one", 0.1, 0.4), timed("two", 0.6, 0.9)]
    assert not list(find_cuts(waveform, words, 0.0))


@given(
    times=st.lists(st.floats(0.1, 19.9), min_size=1, max_size=30, unique=True),
    limit=st.floats(0.5, 25.0),
)
def test_pieces_are_short_enough_if_the_pauses_allow_it(times, limit):
    cuts = [Cut(i, time, 0.3) for i, time in enumerate(sorted(times), 1)]
    first, last = Cut(0, 0.0, 0.0), Cut(len(cuts) + 1, 20.0, 0.0)
    chosen = divide(first, last, cuts, limit)
    assert chosen == sorted(set(chosen), key=lambda c: c.time)
    assert set(chosen) <= set(cuts)
    for left, right in pairwise([first, *chosen, last]):
        unused = [c for c in cuts if left.word < c.word < right.word]
        assert right.time - left.time <= limit or not unused


def test_the_longest_pause_is_cut_first():
    cuts = [Cut(1, 2.0, 0.2), Cut(2, 3.0, 0.8), Cut(3, 4.0, 0.2)]
    assert divide(Cut(0, 0.0, 0.0), Cut(4, 6.0, 0.0), cuts, 3.5) == [cuts[1]]


def test_texts_with_other_words_than_the_aligned_ones_stay_whole(tmp_path):
    utterance = Utterance(tmp_path / "a.wav", 3.0, "one two three")
    words = [timed("one", 0.2, 0.9), timed("two", 1.5, 1.9)]
    assert cut_utterance(utterance, words, 1.0) == [utterance]


@pytest.fixture
def long_utterances(shared_file, tmp_path):
    """Return a manifest of four long utterances of LibriSpeech and a short one."""
    folder = shared_file("librispeech", "flac").parent
    while not (folder / "index.tsv").is_file():
        folder = folder.parent
    rows = [row.split("\t") for row in (folder / "index.tsv").read_text().splitlines()[1:]]
    clips = [(folder / row[0], row[3]) for row in rows]
    listed = [Utterance(p, audio.info(p).duration, text) for p, text in clips[:40]]
    long = [u for u in listed if u.duration > 9][:4]
    short = [u for u in listed if u.duration < 5][:1]
    write_manifest(tmp_path / "train.jsonl", [*long, *short])
    return tmp_path / "train.jsonl"


def test_pieces_of_real_utterances_keep_every_word_and_every_sample(
    long_utterances, capsys
):
    assert run_recipe(segment, [f"manifest={long_utterances}", "max_seconds=5"]) == 0
    whole = read_manifest(long_utterances)
    pieces = read_manifest(long_utterances.with_name("train-segments.jsonl"))
    assert f"5 utterances became {len(pieces)}" in capsys.readouterr().out
    assert len(pieces) > 8
    for utterance in whole:
        own = [piece for piece in pieces if piece.audio == utterance.audio]
        assert (
            " ".join(piece.text.lower() for piece in own).split()
            == utterance.text.lower().split()
        )
        assert own[0].offset == 0
        for left, right in pairwise(own):
            assert right.offset == pytest.approx(left.offset + left.duration, abs=0.002)
        end = own[-1].offset + own[-1].duration
        assert end == pytest.approx(utterance.duration, abs=0.002)
    assert sum(piece.duration > 5 for piece in pieces) <= 2


def test_unreadable_audio_stays_listed_with_its_reason(tmp_path, capsys):
    (tmp_path / "a.wav").write_bytes(b"")
    write_manifest(
        tmp_path / "train.jsonl", [Utterance(tmp_path / "a.wav", 9.0, "one two")]
    )
    assert run_recipe(segment, [f"manifest={tmp_path / 'train.jsonl'}"]) == 0
    output = capsys.readouterr()
    assert "not cut: " in output.err and "a.wav" in output.err
    assert "1 utterances became 1" in output.out


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("max_seconds=0", "max_seconds must be > 0, got 0"),
        ("checkpoint=missing.safetensors", "missing.safetensors"),
        ("out={manifest}", "would replace its own input. Pass another out="),
    ],
)
def test_bad_settings_end_with_one_line(tmp_path, capsys, setting, message):
    write_manifest(
        tmp_path / "train.jsonl", [Utterance(tmp_path / "a.wav", 9.0, "one two")]
    )
    manifest = tmp_path / "train.jsonl"
    setting = setting.format(manifest=manifest)
    assert run_recipe(segment, [f"manifest={manifest}", setting]) == 2
    assert message in capsys.readouterr().err


def test_stretches_that_begin_together_keep_their_own_pieces(shared_file, tmp_path):
    path = shared_file("an4", "flac")
    seconds = audio.info(path).duration
    listed = [Utterance(path, seconds, "one"), Utterance(path, seconds / 2, "two")]
    write_manifest(tmp_path / "train.jsonl", listed)
    result = segment(manifest=tmp_path / "train.jsonl", max_seconds=0.1)
    assert [(u.duration, u.text) for u in read_manifest(result)] == [
        (u.duration, u.text) for u in read_manifest(tmp_path / "train.jsonl")
    ]


def test_a_text_that_does_not_fit_stays_whole(long_utterances, tmp_path, capsys):
    utterance, *_ = read_manifest(long_utterances)
    wrong = " ".join(["zulu quartz"] * 12)
    listed = [Utterance(utterance.audio, utterance.duration, wrong)]
    write_manifest(tmp_path / "wrong.jsonl", listed)
    result = segment(manifest=tmp_path / "wrong.jsonl")
    assert len(read_manifest(result)) == 1
    assert "the text does not fit the recording" in capsys.readouterr().err
