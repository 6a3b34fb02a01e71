"""LibriSpeech (OpenSLR 12) and Mini LibriSpeech (OpenSLR 31): audiobooks, 1,000 hours."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from asr.config.app import run_recipe
from recipes.errors import RecipeError
from recipes.fetch import ensure_extracted, torchaudio_checksum
from recipes.prepare import Recording, Splits, check_speakers, prepare, split_by_speaker

URL = "https://www.openslr.org/resources"
# URL in torchaudio's list of checksums
RECORDED = "http://www.openslr.org/resources/12/{}.tar.gz"
MINI = {  # subsets of train-clean-100 and dev-clean, with the checksums of OpenSLR
    "train-clean-5": "md5:5df7d4e78065366204ca6845bb08f490",
    "dev-clean-2": "md5:6d7ab67ac6a1d2c993d050e16d61080d",
}
PARTS = (
    "dev-clean",
    "dev-other",
    "test-clean",
    "test-other",
    "train-clean-100",
    "train-clean-360",
    "train-other-500",
    *MINI,
)


def librispeech(
    *,
    root: Path = Path("data"),
    parts: Sequence[str] = ("train-clean-100", "dev-clean", "test-clean"),
    validation_speakers: Sequence[str] = (),
    url: str = URL,
    again: bool = False,
) -> Path:
    """Download parts of LibriSpeech and write one manifest for each part, named after it.

    The parts (CC BY 4.0) are extracted to ROOT/LibriSpeech. The manifests go to
    ROOT/manifests/librispeech. Name all parts that you want in one run: an utterance that two
    parts share goes to the first one only.

    Args:
        root: Folder of all corpora.
        parts: Any of dev-clean, dev-other, test-clean, test-other, train-clean-100,
            train-clean-360, train-other-500, and of Mini LibriSpeech train-clean-5, dev-clean-2.
        validation_speakers: Numbers of training speakers to move from all train parts to
            validation.jsonl. [] writes no such manifest.
        url: Folder that holds OpenSLR's folders 12 and 31. Set it to use a mirror.
        again: Write the manifests again even if the options have not changed.

    Raises:
        RecipeError: If a part or a speaker does not exist, or a part is unavailable.
    """
    check_parts(parts)

    def splits() -> Splits:
        return _hold_out(read_parts(root, parts, url), validation_speakers)

    options = {"parts": parts, "validation_speakers": validation_speakers}
    return prepare("librispeech", splits, root=root, again=again, **options)


def check_parts(parts: Sequence[str]) -> None:
    """Check the names of parts.

    Raises:
        RecipeError: If there is none, or one is unknown.
    """
    if not parts or set(parts) - set(PARTS):
        raise RecipeError(
            f"parts must be some of {', '.join(PARTS)}, got [{', '.join(parts)}]."
        )


def read_parts(root: Path, parts: Sequence[str], url: str = URL) -> Splits:
    """Return the recordings of each part, and download them if necessary."""
    names: set[str] = set()
    return {part: _mark_duplicates(_recordings(part, root, url), names) for part in parts}


def _hold_out(manifests: Splits, speakers: Sequence[str]) -> Splits:
    """Move the recordings of speakers from all train parts to validation."""
    train = [part for part in manifests if part.startswith("train")]
    recordings = [recording for part in train for recording in manifests[part]]
    check_speakers("validation_speakers", speakers, recordings)
    for part in train:
        manifests[part], _ = split_by_speaker(manifests[part], speakers)
    _, validation = split_by_speaker(recordings, speakers)
    return {**manifests, "validation": validation} if validation else manifests


def _recordings(part: str, root: Path, url: str) -> Iterator[Recording]:
    folder = f"{url}/31" if part in MINI else f"{url}/12"
    tree = ensure_extracted(
        folder,
        f"{part}.tar.gz",
        root,
        f"LibriSpeech/{part}",
        tree=f"LibriSpeech/{part}",
        checksum=lambda: (
            MINI.get(part) or torchaudio_checksum("librispeech", RECORDED.format(part))
        ),
    )
    # 84/121123/84-121123.trans.txt
    for transcripts in sorted(tree.glob("*/*/*.trans.txt")):
        for line in transcripts.read_text(encoding="utf-8").splitlines():
            name, _, text = line.partition(" ")
            audio = transcripts.with_name(f"{name}.flac")
            yield Recording(audio, text, speaker=audio.parts[-3])


def _mark_duplicates(recordings: Iterator[Recording], names: set[str]) -> list[Recording]:
    """Set the skip reason of recordings whose name is in `names`, and add all names to it."""
    marked = []
    for recording in recordings:
        reason = "duplicate" if recording.audio.name in names else ""
        marked.append(replace(recording, skip_reason=reason))
        names.add(recording.audio.name)
    return marked


if __name__ == "__main__":
    sys.exit(run_recipe(librispeech))
