"""Segments of transcripts."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from asr.decode.hypothesis import Word
from asr.inference.segments import (
    LINE_WIDTH,
    MAX_SECONDS,
    PAUSE_SECONDS,
    split_segments,
    wrap,
)


@st.composite
def word_lists(draw):
    words, time = [], 0.0
    letters = st.text("abcdefgh", min_size=1, max_size=20)
    steps = st.tuples(letters, st.floats(0.0, 2.0), st.floats(0.05, 1.5))
    for text, gap, length in draw(st.lists(steps, max_size=60)):
        start = time + gap
        time = start + length
        words.append(Word(text, start, time, 0.5))
    return words


@given(word_lists())
def test_segments_have_all_words_in_order_and_fit_two_lines(words):
    segments = split_segments(words)
    assert [word for segment in segments for word in segment.words] == words
    for segment in segments:
        assert segment.text == " ".join(word.text for word in segment.words)
        assert (segment.start, segment.end) == (
            segment.words[0].start,
            segment.words[-1].end,
        )
        assert segment.end - segment.start <= MAX_SECONDS or len(segment.words) == 1
        lines = wrap(segment.text.split())
        assert len(lines) <= 2
        assert all(len(line) <= LINE_WIDTH for line in lines)
        gaps = pairwise(segment.words)
        assert all(after.start - before.end < PAUSE_SECONDS for before, after in gaps)


def test_a_long_segment_is_divided_at_its_longest_gap():
    words = [
        Word("word", i + 0.4 * (i > 5), i + 0.9 + 0.1 * (i > 5), 1.0) for i in range(10)
    ]
    assert [len(segment.words) for segment in split_segments(words)] == [6, 4]


def test_a_word_that_does_not_fit_is_a_segment_of_its_own():
    words = [Word("a", 0, 0.5, 1), Word("b" * 90, 0.6, 1, 1), Word("c", 1, 9, 1)]
    assert [segment.text for segment in split_segments(words)] == ["a", "b" * 90, "c"]
