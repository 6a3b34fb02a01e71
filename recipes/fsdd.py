"""Free Spoken Digit Dataset: 50 recordings of each digit by each of 6 speakers, 8 kHz, CC BY-SA 4.0."""

import sys
from collections.abc import Sequence
from pathlib import Path

from asr.config.app import run_recipe
from recipes.fetch import Archive, RecipeError, ensure_extracted
from recipes.prepare import Recording, Splits, part_by_speaker, prepare

URL = "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/v1.0.10"
RELEASE = (
    "free-spoken-digit-dataset-1.0.10"  # packed by GitHub on demand: there is no lasting checksum
)
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
OFFICIAL_TEST = range(5)  # takes, of each digit by each speaker


def fsdd(
    *,
    root: Path = Path("data"),
    test_speakers: Sequence[str] = ("george",),
    url: str = URL,
    again: bool = False,
) -> Path:
    """Prepare the Free Spoken Digit Dataset: manifests of the digits as words; the folder that they are in.

    All of `test_speakers` goes to test; of the others, takes 0 to 4 to validation and the rest to train. With
    test_speakers=[] the split is the official one, in which training and test share their speakers: takes 0
    to 4 to test, the rest to train.
    """

    def splits() -> Splits:
        archive = Archive(url, f"{RELEASE}.zip", tree=RELEASE)
        tree = ensure_extracted(archive, root, root / "free-spoken-digit-dataset")
        recordings = [_recording(path) for path in sorted((tree / "recordings").glob("*_*_*.wav"))]
        absent = set(test_speakers) - {recording.speaker for recording in recordings}
        if absent:
            raise RecipeError(
                f"test_speakers: {', '.join(sorted(absent))} not in {tree / 'recordings'}"
            )
        others, test = part_by_speaker(recordings, test_speakers)
        first = [recording for recording in others if _take(recording.audio) in OFFICIAL_TEST]
        train = [recording for recording in others if _take(recording.audio) not in OFFICIAL_TEST]
        return (
            {"train": train, "validation": first, "test": test}
            if test
            else {"train": train, "test": first}
        )

    return prepare("fsdd", splits, root=root, again=again, test_speakers=test_speakers)


def _recording(path: Path) -> Recording:
    digit, speaker, _ = path.stem.split("_")  # 7_jackson_32
    return Recording(path, DIGITS[int(digit)], speaker=speaker)


def _take(path: Path) -> int:
    return int(path.stem.rpartition("_")[2])


if __name__ == "__main__":
    sys.exit(run_recipe(fsdd))
