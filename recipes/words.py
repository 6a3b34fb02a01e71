"""Isolated words out of sentences: a corpus of commands or digits from any speech that is transcribed.

Forced alignment says where each word is, and a manifest names that piece of the recording; nothing is copied. The
Multilingual Spoken Words Corpus was made so (Mazumder et al. 2021).
"""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.progress import track

from asr.config.app import run_recipe
from asr.data.manifest import Utterance, read_manifest, write_manifest
from asr.errors import AsrError
from asr.inference.aligner import Aligner
from asr.inference.timeline import AlignmentRequest
from asr.text import normalize
from recipes.fetch import RecipeError, console


def words(
    *,
    manifest: Path | None = None,
    checkpoint: Path | None = None,
    only: Sequence[str] = (),
    name: str | None = None,
    margin: float = 0.03,
    min_score: float = 0.5,
    min_seconds: float = 0.1,
    root: Path = Path("data"),
) -> Path:
    """Write root/manifests/NAME/FILE.jsonl, FILE being that of the manifest, and return its path.

    manifest=FILE.jsonl
        the utterances that words are cut out of: each word becomes an utterance of its own, a piece of the
        same recording by the same speaker, with `margin` seconds more on either side
    checkpoint=MODEL.safetensors
        the model that finds them; a word that scores below `min_score` (0 to 1), or is shorter than
        `min_seconds`, is left out
    only=[yes,no]
        these words; without it all of them

    NAME is that of the manifest's folder with _words, unless told. Train with data.train=[...,FILE.jsonl].
    """
    if manifest is None or checkpoint is None:
        raise RecipeError(
            "give manifest=FILE.jsonl, of what words are cut out, and checkpoint=, what finds them"
        )
    if margin < 0 or not 0 <= min_score <= 1:
        raise RecipeError(
            f"margin={margin} min_score={min_score}: give margin >= 0, and min_score from 0 to 1"
        )
    wanted = set(map(normalize, only))
    asked = [
        u for u in read_manifest(manifest) if not wanted or wanted & set(normalize(u.text).split())
    ]
    timelines = Aligner.load(checkpoint).align(
        AlignmentRequest(u.name, u.audio, u.text, offset=u.offset, duration=u.duration)
        for u in asked
    )
    found: list[Utterance] = []
    left_out: Counter[str] = Counter()
    quiet = not console.is_terminal
    for utterance, timeline in track(
        zip(asked, timelines, strict=True),
        "aligning",
        len(asked),
        console=console,
        transient=True,
        disable=quiet,
    ):
        if isinstance(timeline, AsrError):
            console.print(f"left out: {timeline}", markup=False)
            continue
        for word in timeline.words:
            if wanted and word.text not in wanted:
                continue
            if word.end - word.start < min_seconds:
                left_out["too short"] += 1
            elif word.score < min_score:
                left_out["not sure"] += 1
            else:
                start, end = (
                    max(timeline.start, word.start - margin),
                    min(timeline.end, word.end + margin),
                )
                found.append(replace(utterance, text=word.text, offset=start, duration=end - start))
    if not found:
        raise RecipeError(
            f"{manifest}: no word of it was found ({_told(left_out)}); see only=, min_score=, checkpoint="
        )
    target = root / "manifests" / (name or f"{manifest.parent.name}_words") / manifest.name
    write_manifest(target, found)
    distinct, speakers = (len({getattr(u, key) for u in found}) for key in ("text", "speaker"))
    hours, rest = sum(u.duration for u in found) / 3600, _told(left_out)
    print(
        f"{len(found):,} words, {distinct:,} distinct, {speakers:,} speakers, {hours:.2f} h; {rest}: {target}"
    )
    return target


def _told(left_out: Counter[str]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in left_out.items()) or "none left out"


if __name__ == "__main__":
    sys.exit(run_recipe(words))
