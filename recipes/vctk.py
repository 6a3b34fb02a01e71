"""CSTR VCTK 0.92: 44 hours of sentences by 110 English speakers with various accents."""

import sys
from pathlib import Path
from typing import Literal

from asr.config.app import run_recipe
from recipes.errors import RecipeError
from recipes.fetch import ensure_extracted, torchaudio_checksum
from recipes.prepare import (
    Recording,
    Splits,
    choose_speakers,
    hold_out,
    prepare,
    split_by_speaker,
)

URL = "https://datashare.is.ed.ac.uk/bitstream/handle/10283/3443"
ARCHIVE = "VCTK-Corpus-0.92.zip"
AUDIO = "wav48_silence_trimmed"


def vctk(
    *,
    root: Path = Path("data"),
    validation_speakers: int = 6,
    test_speakers: int = 6,
    microphone: Literal["1", "2"] = "1",
    url: str = URL,
    again: bool = False,
) -> Path:
    """Download VCTK and write train, validation, and test manifests.

    The corpus (CC BY 4.0, 11 GB) is extracted to ROOT/VCTK-Corpus-0.92. The manifests go to
    ROOT/manifests/vctk. There is no official split: validation and test are chosen by speaker and
    are the same on every machine. All speakers read some of the same sentences, so a language
    model of the training transcripts knows sentences of the test set.

    Args:
        root: Folder of all corpora.
        validation_speakers: Number of speakers for validation.
        test_speakers: Number of speakers for test.
        microphone: Microphone, 1 or 2. Some speakers have only the first.
        url: Folder that holds the archive. Set it to use a mirror.
        again: Write the manifests again even if the options have not changed.

    Raises:
        RecipeError: If the corpus is unavailable or has too few speakers.
    """

    def splits() -> Splits:
        everything = _recordings(_ensure_extracted(url, root), microphone)
        chosen = choose_speakers(everything, test_speakers, setting="test_speakers")
        others, test = split_by_speaker(everything, chosen)
        train = hold_out(others, choose_speakers(others, validation_speakers))
        return {**train, "test": test} if test else train

    options = {
        "validation_speakers": validation_speakers,
        "test_speakers": test_speakers,
        "microphone": microphone,
    }
    return prepare("vctk", splits, root=root, again=again, **options)


def _ensure_extracted(url: str, root: Path) -> Path:
    def checksum() -> str:
        return torchaudio_checksum("vctk", f"{URL}/{ARCHIVE}")

    folder = ARCHIVE.removesuffix(".zip")
    return ensure_extracted(url, ARCHIVE, root, folder, checksum=checksum)


def _recordings(tree: Path, microphone: str) -> list[Recording]:
    paths = sorted((tree / AUDIO).glob(f"*/*_mic{microphone}.flac"))
    if not paths:
        raise RecipeError(f"{tree / AUDIO} has no recordings. Get another copy.")
    recordings = []
    for path in paths:
        speaker, name = path.parent.name, path.stem.rpartition("_")[0]  # p225, p225_001
        text = tree / "txt" / speaker / f"{name}.txt"  # speaker p315 has none
        if text.exists():
            recordings.append(Recording(path, text.read_text(encoding="utf-8"), speaker))
        else:
            reason = "no transcript"
            recordings.append(Recording(path, "", speaker, skip_reason=reason))
    return recordings


if __name__ == "__main__":
    sys.exit(run_recipe(vctk))
