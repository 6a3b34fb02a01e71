"""Free Spoken Digit Dataset: 50 recordings of each digit by each of 6 speakers, 8 kHz."""

import sys
from collections.abc import Sequence
from pathlib import Path

from asr.config.app import run_recipe
from recipes.fetch import ensure_extracted
from recipes.prepare import Recording, Splits, check_speakers, prepare, split_by_speaker

URL = "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/v1.0.10"
# GitHub creates the archive on demand, so its checksum may change.
RELEASE = "free-spoken-digit-dataset-1.0.10"
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
OFFICIAL_TEST = range(5)  # takes of each digit by each speaker


def fsdd(
    *,
    root: Path = Path("data"),
    test_speakers: Sequence[str] = ("george",),
    url: str = URL,
    again: bool = False,
) -> Path:
    """Download the Free Spoken Digit Dataset and write train, validation, and test manifests.

    The corpus (CC BY-SA 4.0) is extracted to ROOT/free-spoken-digit-dataset. The manifests go to
    ROOT/manifests/fsdd. Transcripts are words, such as "seven".

    Args:
        root: Folder of all corpora.
        test_speakers: Speakers for test. Takes 0 to 4 of the other speakers go to validation and
            the rest to train. [] selects the official split, whose training and test speakers are
            the same: takes 0 to 4 go to test, the rest to train.
        url: Folder that holds the archive. Set it to use a mirror.
        again: Write the manifests again even if the options have not changed.

    Raises:
        RecipeError: If the corpus is unavailable or a speaker does not exist.
    """

    def splits() -> Splits:
        folder = "free-spoken-digit-dataset"
        tree = ensure_extracted(url, f"{RELEASE}.zip", root, folder, tree=RELEASE)
        paths = sorted((tree / "recordings").glob("*_*_*.wav"))
        recordings = [_recording(path) for path in paths]
        check_speakers("test_speakers", test_speakers, recordings)
        others, test = split_by_speaker(recordings, test_speakers)
        first = [recording for recording in others if _take(recording) in OFFICIAL_TEST]
        train = [recording for recording in others if _take(recording) not in OFFICIAL_TEST]
        if test:
            return {"train": train, "validation": first, "test": test}
        return {"train": train, "test": first}

    return prepare("fsdd", splits, root=root, again=again, test_speakers=test_speakers)


def _recording(path: Path) -> Recording:
    digit, speaker, _ = path.stem.split("_")  # 7_jackson_32
    return Recording(path, DIGITS[int(digit)], speaker=speaker)


def _take(recording: Recording) -> int:
    return int(recording.audio.stem.rpartition("_")[2])


if __name__ == "__main__":
    sys.exit(run_recipe(fsdd))
