"""LibriSpeech (OpenSLR 12) and Mini LibriSpeech (OpenSLR 31): read audiobooks, 1,000 hours, CC BY 4.0."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from asr.config.app import run_recipe
from recipes.fetch import Archive, RecipeError, ensure_extracted, recorded
from recipes.prepare import Recording, Splits, part_by_speaker, prepare

URL = "https://www.openslr.org/resources"
FULL = (
    "dev-clean",
    "dev-other",
    "test-clean",
    "test-other",
    "train-clean-100",
    "train-clean-360",
    "train-other-500",
)
MINI = {  # subsets of train-clean-100 and dev-clean, with OpenSLR's own checksums
    "train-clean-5": "md5:5df7d4e78065366204ca6845bb08f490",
    "dev-clean-2": "md5:6d7ab67ac6a1d2c993d050e16d61080d",
}
PARTS = (*FULL, *MINI)


def librispeech(
    *,
    root: Path = Path("data"),
    parts: Sequence[str] = ("train-clean-100", "dev-clean", "test-clean"),
    validation_speakers: Sequence[str] = (),
    url: str = URL,
    again: bool = False,
) -> Path:
    """Prepare LibriSpeech: one manifest a part, named after it; the folder that they are in.

    The parts are dev-clean, dev-other, test-clean, test-other, train-clean-100, train-clean-360 and
    train-other-500, and of Mini LibriSpeech train-clean-5 and dev-clean-2. Name all that you want in one run:
    an utterance that is in two of them is kept in the first. `validation_speakers` are taken out of every
    train part and make up validation.jsonl. `url` is the folder that holds OpenSLR's 12/ and 31/.
    """
    if not parts:
        raise RecipeError(f"parts is empty; there are {', '.join(PARTS)}")
    for part in parts:
        if part not in PARTS:
            raise RecipeError(f"parts: no part {part!r}; there are {', '.join(PARTS)}")

    def splits() -> Splits:
        seen: set[str] = set()
        found = {part: _once(_recordings(_tree(part, root, url)), seen) for part in parts}
        validation: list[Recording] = []
        for part in found:
            if part.startswith("train"):
                found[part], aside = part_by_speaker(found[part], validation_speakers)
                validation += aside
        absent = set(validation_speakers) - {recording.speaker for recording in validation}
        if absent:
            raise RecipeError(
                f"validation_speakers: {', '.join(sorted(absent))} not in the train parts"
            )
        return {**found, "validation": validation} if validation else found

    options = {"parts": parts, "validation_speakers": validation_speakers}
    return prepare("librispeech", splits, root=root, again=again, **options)


def _tree(part: str, root: Path, url: str) -> Path:
    number, checksum = (31, MINI[part]) if part in MINI else (12, partial(_recorded, part))
    archive = Archive(f"{url}/{number}", f"{part}.tar.gz", checksum, tree=f"LibriSpeech/{part}")
    return ensure_extracted(archive, root, root / "LibriSpeech" / part)


def _recorded(part: str) -> str:
    return recorded("librispeech", f"http://www.openslr.org/resources/12/{part}.tar.gz")


def _recordings(tree: Path) -> Iterator[Recording]:
    for transcripts in sorted(
        tree.glob("*/*/*.trans.txt")
    ):  # SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt
        for line in transcripts.read_text(encoding="utf-8").splitlines():
            name, _, text = line.partition(" ")
            audio = transcripts.with_name(f"{name}.flac")
            yield Recording(audio, text, speaker=audio.parts[-3])


def _once(recordings: Iterator[Recording], seen: set[str]) -> list[Recording]:
    """The recordings, marked as duplicates where their name has been `seen`; adds their names to those."""
    kept = []
    for recording in recordings:
        name = recording.audio.name
        kept.append(replace(recording, flaw="duplicate") if name in seen else recording)
        seen.add(name)
    return kept


if __name__ == "__main__":
    sys.exit(run_recipe(librispeech))
