"""Segments of a transcript: words between pauses, short enough for two lines of subtitles."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from asr.decode.hypothesis import Word

PAUSE_SECONDS = 0.8  # silence that ends a segment
MAX_SECONDS = 7.0  # of a segment; broadcasters recommend these limits for subtitles
LINE_WIDTH = 42  # characters in each of the two lines of a subtitle


@dataclass(frozen=True)
class Segment:
    """Words that follow each other without a long pause, with times in seconds.

    `confidence` is the mean of the words' confidences, between 0 and 1.
    """

    text: str
    start: float
    end: float
    confidence: float
    words: tuple[Word, ...]


def split_segments(words: Sequence[Word], label: str = "") -> list[Segment]:
    """Return the segments of words, never divided inside a word.

    A segment ends at a pause. One that is longer than 7 s or two lines is divided at its longest
    gap, preferably near its middle. The lines have room for a label before the first word.
    """
    groups: list[list[Word]] = []
    for word in words:
        if groups and word.start - groups[-1][-1].end < PAUSE_SECONDS:
            groups[-1].append(word)
        else:
            groups.append([word])
    return [_segment(part) for group in groups for part in _divide(group, label)]


def wrap(texts: Sequence[str], label: str = "") -> list[str]:
    """Return one line if it is short enough, or the two lines that are closest in length."""
    texts = [label + texts[0], *texts[1:]]
    line = " ".join(texts)
    if len(line) <= LINE_WIDTH or len(texts) == 1:
        return [line]
    splits = [[" ".join(texts[:i]), " ".join(texts[i:])] for i in range(1, len(texts))]
    return min(splits, key=lambda lines: max(map(len, lines)))


def _divide(words: list[Word], label: str) -> Iterator[list[Word]]:
    """Yield parts of words that are short enough for a segment."""
    start, end = words[0].start, words[-1].end
    texts = [word.text for word in words]
    fits = end - start <= MAX_SECONDS and len(" ".join(texts)) <= 2 * LINE_WIDTH + 1
    if len(words) == 1 or (fits and max(map(len, wrap(texts, label))) <= LINE_WIDTH):
        yield words
        return

    def merit(i: int) -> float:
        gap = max(0.0, words[i].start - words[i - 1].end)
        position = (words[i].start - start) / max(end - start, 1e-6)
        return (gap + 0.05) * position * (1 - position)

    split = max(range(1, len(words)), key=merit)
    yield from _divide(words[:split], label)
    yield from _divide(words[split:], label)


def _segment(words: Sequence[Word]) -> Segment:
    confidence = sum(word.confidence for word in words) / len(words)
    text = " ".join(word.text for word in words)
    return Segment(text, words[0].start, words[-1].end, confidence, tuple(words))
