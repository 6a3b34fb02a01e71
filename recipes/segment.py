"""Shorter utterances: long ones are cut at pauses, found by alignment with a trained model."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from asr import audio
from asr.audio import SAMPLE_RATE
from asr.config.app import run_recipe
from asr.data.manifest import Utterance, read_manifest, write_manifest
from asr.errors import AsrError
from asr.inference.aligner import Aligner
from asr.inference.timeline import AlignmentRequest, TimedWord
from asr.text import normalize
from asr.validation import check_number
from recipes.console import console, track
from recipes.errors import check_not_input, convert_errors
from recipes.prepare import total_hours

HOP = SAMPLE_RATE // 100  # samples: 10 ms
QUIET_DB = 30.0  # a pause is at least this far below the loudest 10 ms
PAUSE_SECONDS = 0.2  # shortest pause to cut at
TOLERANCE = 0.06  # seconds by which an aligned word may reach beyond the middle of a pause


@dataclass(frozen=True)
class Cut:
    """A place to cut: the middle of a pause in seconds of the file, before word number `word`."""

    word: int
    time: float
    pause: float  # seconds


def segment(
    *,
    manifest: Path,
    out: Path | None = None,
    checkpoint: str = "english",
    max_seconds: float = 5.0,
    device: str = "cpu",
) -> Path:
    """Cut the long utterances of a manifest at pauses, and write a manifest of the pieces.

    Short utterances train faster: batches have more rows and fewer frames. Nothing is copied: a
    piece is a stretch of the same recording, with normalized words as its text. An utterance
    without a pause between two aligned words stays whole.

    Args:
        manifest: Manifest of the utterances.
        out: New manifest. It defaults to NAME-segments.jsonl beside the old one.
        checkpoint: Model that aligns the texts.
        max_seconds: Utterances up to this length stay whole, and so do pieces.
        device: Device of the model.

    Raises:
        RecipeError: If a setting is invalid.
        AsrError: If the manifest or the model cannot be read.
    """
    with convert_errors(ValueError):
        check_number("max_seconds", max_seconds, gt=0)
    target = out or manifest.with_name(f"{manifest.stem}-segments.jsonl")
    check_not_input("out", target, manifest)
    utterances = read_manifest(manifest)
    long = [u for u in utterances if u.duration > max_seconds]
    pieces = _cut_all(long, Aligner.load(checkpoint, device=device), max_seconds)
    result = [piece for u in utterances for piece in pieces.get(u, [u])]
    write_manifest(target, result)
    counts = f"{len(utterances):,} utterances became {len(result):,}"
    print(f"{counts}, {total_hours(result):.2f} h: {target}")
    return target


def _cut_all(
    utterances: Sequence[Utterance], aligner: Aligner, max_seconds: float
) -> dict[Utterance, list[Utterance]]:
    """Return the pieces of each utterance that can be aligned, and print why others cannot."""
    pieces = {}
    timelines = aligner.align(map(AlignmentRequest.from_utterance, utterances))
    results = zip(utterances, timelines, strict=True)
    for utterance, timeline in track(results, "Aligning", len(utterances)):
        if isinstance(timeline, AsrError):
            console.print(f"not cut: {timeline}")
        elif not timeline.fits:
            console.print(f"not cut: {utterance.name}: the text does not fit the recording")
        else:
            pieces[utterance] = cut_utterance(utterance, timeline.words, max_seconds)
    return pieces


def cut_utterance(
    utterance: Utterance, words: Sequence[TimedWord], max_seconds: float
) -> list[Utterance]:
    """Return the pieces of an utterance, or the utterance if no pause is between two words."""
    # a text that normalizes to other words than the aligned ones would lose some
    if normalize(utterance.text).split() != [word.text for word in words]:
        return [utterance]
    waveform = audio.load(
        utterance.audio,
        offset=utterance.offset,
        duration=utterance.duration,
        channel=utterance.channel,
    )
    cuts = list(find_cuts(waveform, words, utterance.offset))
    end = utterance.offset + utterance.duration
    first, last = Cut(0, utterance.offset, 0.0), Cut(len(words), end, 0.0)
    edges = [first, *divide(first, last, cuts, max_seconds), last]
    if len(edges) == 2:
        return [utterance]
    return [
        replace(
            utterance,
            offset=round(left.time, 3),
            duration=round(right.time - left.time, 3),
            text=" ".join(word.text for word in words[left.word : right.word]),
        )
        for left, right in pairwise(edges)
    ]


def find_cuts(
    waveform: np.ndarray, words: Sequence[TimedWord], offset: float
) -> Iterator[Cut]:
    """Yield the pauses of a waveform (S,) between words. `offset` is its start in the file."""
    frames = waveform[: len(waveform) // HOP * HOP].reshape(-1, HOP)
    power = np.square(frames, dtype=np.float64).mean(1)
    quiet = power < power.max(initial=0.0) * 10 ** (-QUIET_DB / 10)
    changes = np.flatnonzero(np.diff(np.concatenate(([False], quiet, [False])).astype(int)))
    for start, stop in changes.reshape(-1, 2) * HOP / SAMPLE_RATE:
        middle = offset + (start + stop) / 2
        before = [word for word in words if (word.start + word.end) / 2 < middle]
        after = words[len(before) :]
        if stop - start < PAUSE_SECONDS or not before or not after:
            continue
        if before[-1].end <= middle + TOLERANCE and after[0].start >= middle - TOLERANCE:
            yield Cut(len(before), middle, stop - start)


def divide(left: Cut, right: Cut, cuts: Sequence[Cut], max_seconds: float) -> list[Cut]:
    """Return the cuts that make a stretch short enough: long pauses, preferably in the middle."""
    inside = [cut for cut in cuts if left.word < cut.word < right.word]
    length = right.time - left.time
    if length <= max_seconds or not inside:
        return []

    def merit(cut: Cut) -> float:
        return cut.pause * (cut.time - left.time) * (right.time - cut.time)

    best = max(inside, key=merit)
    parts = divide(left, best, cuts, max_seconds), divide(best, right, cuts, max_seconds)
    return [*parts[0], best, *parts[1]]


if __name__ == "__main__":
    sys.exit(run_recipe(segment))
