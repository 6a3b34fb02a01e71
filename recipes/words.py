"""Single words cut out of transcribed sentences: a corpus of commands or digits.

Forced alignment finds each word, and a manifest names that piece of the recording. No audio is
copied. The Multilingual Spoken Words Corpus was made in this way (Mazumder et al. 2021).
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from asr.config.app import run_recipe
from asr.data.manifest import Utterance, read_manifest, write_manifest
from asr.errors import AsrError
from asr.inference.aligner import Aligner
from asr.inference.timeline import AlignmentRequest, TimedWord
from asr.text import normalize
from asr.validation import check_number
from recipes.console import console, track
from recipes.errors import RecipeError, check_name, check_not_input, convert_errors
from recipes.prepare import total_hours


def words(
    *,
    manifest: Path,
    checkpoint: Path,
    only: Sequence[str] = (),
    name: str | None = None,
    margin: float = 0.03,
    min_score: float = 0.5,
    min_seconds: float = 0.1,
    root: Path = Path("data"),
) -> Path:
    """Cut the words out of a manifest's utterances and write ROOT/manifests/NAME/FILE.jsonl.

    Each word becomes an utterance: a piece of the same recording by the same speaker. FILE is the
    name of the given manifest. Train with data.train=[...,ROOT/manifests/NAME/FILE.jsonl].

    Args:
        manifest: Manifest of transcribed sentences.
        checkpoint: Trained model (model.safetensors) that finds the words.
        only: Words to keep. [] keeps all words.
        name: Name of the new corpus. It defaults to the folder of the manifest with "_words".
        margin: Seconds to add before and after each word.
        min_score: Lowest score of a word, from 0 to 1.
        min_seconds: Lowest duration of a word in seconds.
        root: Folder of all corpora.

    Raises:
        RecipeError: If a setting is invalid or no word is found.
    """
    corpus = check_name(name) or f"{manifest.parent.name}_words"
    target = root / "manifests" / corpus / manifest.name
    check_not_input("name", target, manifest)
    with convert_errors(ValueError):
        check_number("margin", margin, ge=0)
        check_number("min_score", min_score, ge=0, le=1)
        check_number("min_seconds", min_seconds, ge=0)
    cuts = list(_cut(manifest, checkpoint, set(map(normalize, only)), margin))
    long = [(piece, word) for piece, word in cuts if word.end - word.start >= min_seconds]
    pieces = [piece for piece, word in long if word.score >= min_score]
    left_out = f"{len(cuts) - len(long):,} too short, {len(long) - len(pieces):,} uncertain"
    if not pieces:
        raise RecipeError(f"{manifest}: no words (left out: {left_out}).")
    write_manifest(target, pieces)
    _print_summary(pieces, left_out, target)
    return target


def _print_summary(pieces: Sequence[Utterance], left_out: str, target: Path) -> None:
    distinct = len({piece.text for piece in pieces})
    speakers = len({piece.speaker for piece in pieces})
    size = f"{len(pieces):,} words, {distinct:,} distinct, {speakers:,} speakers"
    print(f"{size}, {total_hours(pieces):.2f} h; left out: {left_out}: {target}")


def _cut(
    manifest: Path, checkpoint: Path, wanted: set[str], margin: float
) -> Iterator[tuple[Utterance, TimedWord]]:
    """Yield the wanted words, or all words if none is wanted, as pieces of their recordings."""
    utterances = [
        utterance
        for utterance in read_manifest(manifest)
        if not wanted or wanted.intersection(normalize(utterance.text).split())
    ]
    requests = (
        AlignmentRequest(u.name, u.audio, u.text, u.offset, u.duration, u.channel)
        for u in utterances
    )
    timelines = track(Aligner.load(checkpoint).align(requests), "aligning", len(utterances))
    for utterance, timeline in zip(utterances, timelines, strict=True):
        if isinstance(timeline, AsrError):
            console.print(f"left out: {timeline}")
            continue
        for word in timeline.words:
            if not wanted or word.text in wanted:
                start = max(timeline.start, word.start - margin)
                seconds = min(timeline.end, word.end + margin) - start
                piece = replace(utterance, text=word.text, offset=start, duration=seconds)
                yield piece, word


if __name__ == "__main__":
    sys.exit(run_recipe(words))
