"""Subtitles in SubRip (SRT) and WebVTT."""

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from asr.inference.segments import Segment, split_segments, wrap

LINGER_SECONDS = 0.4  # a cue stays this long after its last word


class Segmented(Protocol):
    """A result with segments: a transcript or an alignment."""

    @property
    def channel(self) -> int | None:
        """Number of the recording's channel from 1, None for a mix of all channels."""

    @property
    def end(self) -> float:
        """End of the recording in seconds."""

    @property
    def segments(self) -> Sequence[Segment]:
        """The segments in order."""


@dataclass(frozen=True)
class Cue:
    """One or two lines of text that are shown together, with times in seconds."""

    start: float
    end: float
    lines: list[str]
    channel: int | None


def render_srt(results: Sequence[Segmented]) -> str:
    """Return the subtitles of the channels of a recording in SubRip format.

    A cue of channel 2 starts with "[2]".
    """
    blocks = []
    for number, cue in enumerate(_make_cues(results, labeled=True), 1):
        times = f"{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}"
        text = "\n".join(cue.lines).replace("-->", "→")  # SubRip has no escapes
        blocks.append(f"{number}\n{times}\n{text}\n")
    return "\n".join(blocks)


def render_vtt(results: Sequence[Segmented]) -> str:
    """Return the subtitles of the channels of a recording in WebVTT format.

    The voice of a cue of channel 2 is "Channel 2".
    """
    blocks = ["WEBVTT\n"]
    for cue in _make_cues(results, labeled=False):
        times = f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}"
        voice = f"<v Channel {cue.channel}>" if cue.channel else ""
        text = html.escape("\n".join(cue.lines), quote=False)
        blocks.append(f"{times}\n{voice}{text}\n")
    return "\n".join(blocks)


def label_channel(channel: int | None) -> str:
    """Return "[2] " for channel 2, and nothing for a mix of all channels."""
    return f"[{channel}] " if channel else ""


def _make_cues(results: Sequence[Segmented], *, labeled: bool) -> list[Cue]:
    """Return the cues of all channels in the order of their starts."""
    cues = [cue for result in results for cue in _channel_cues(result, labeled)]
    return sorted(cues, key=lambda cue: cue.start)


def _channel_cues(result: Segmented, labeled: bool) -> Iterator[Cue]:
    """Yield the cues of one channel. A cue lingers after its last word until the next one."""
    label = label_channel(result.channel) if labeled else ""
    segments = [segment for segment in result.segments if segment.text.strip()]
    if label:  # makes the lines longer
        segments = [part for s in segments for part in split_segments(s.words, label)]
    starts = [segment.start for segment in segments]
    for segment, next_start in zip(segments, [*starts, result.end][1:], strict=True):
        end = max(segment.end, min(segment.end + LINGER_SECONDS, next_start))
        lines = wrap([word.text for word in segment.words], label)
        yield Cue(segment.start, end, lines, result.channel)


def _clock(time: float, separator: str) -> str:
    """Return a time as HH:MM:SS,mmm."""
    seconds, milliseconds = divmod(round(time * 1000), 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{separator}{milliseconds:03}"
