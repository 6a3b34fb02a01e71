"""Speech Commands (arXiv 1804.03209): clips of one second with one of 35 words (30 in v0.01)."""

import sys
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from asr.audio import info
from asr.config.app import run_recipe
from recipes.fetch import ensure_extracted, torchaudio_checksum
from recipes.prepare import Recording, Splits, prepare, sort_by_hash

URL = "http://download.tensorflow.org/data"
COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
UNKNOWN = "unknown"
NOISE = "_background_noise_"
SILENCE = 1.0  # seconds, the length of a clip
# Start and end of the share of each noise
NOISE_SHARES = {"train": (0.0, 0.8), "validation": (0.8, 0.9), "test": (0.9, 1.0)}


def speechcommands(
    *,
    root: Path = Path("data"),
    version: Literal["v0.02", "v0.01"] = "v0.02",
    words: Literal["all", "commands"] = "all",
    url: str = URL,
    again: bool = False,
) -> Path:
    """Download Speech Commands and write train, validation, and test manifests.

    The corpus (CC BY 4.0) is extracted to ROOT/SpeechCommands. The manifests go to
    ROOT/manifests/speechcommands and follow the official lists.

    Args:
        root: Folder of all corpora.
        version: Version of the corpus.
        words: "all" keeps every clip with its word. "commands" keeps the ten commands (yes no up
            down left right on off stop go). It adds clips of the other words with the transcript
            "unknown", and pieces of the background noises with an empty transcript, each as many
            as there are clips of one command on average.
        url: Folder that holds the archive. Set it to use a mirror.
        again: Write the manifests again even if the options have not changed.

    Raises:
        RecipeError: If the corpus is unavailable.
    """
    options = {"version": version, "words": words}
    splits = partial(read_splits, root, version=version, words=words, url=url)
    return prepare("speechcommands", splits, root=root, again=again, **options)


def read_splits(
    root: Path, *, version: str = "v0.02", words: str = "all", url: str = URL
) -> Splits:
    """Return the recordings of train, validation, and test, and download them if necessary."""
    name = f"speech_commands_{version}"
    archive = f"{name}.tar.gz"
    tree = ensure_extracted(
        url,
        archive,
        root,
        f"SpeechCommands/{name}",
        checksum=lambda: torchaudio_checksum("speechcommands", f"{URL}/{archive}"),
    )
    clips = _official_splits(tree).items()
    if words == "commands":
        return {split: _balance(tree, split, names) for split, names in clips}
    return {split: [_recording(tree, name) for name in names] for split, names in clips}


def _official_splits(tree: Path) -> dict[str, list[str]]:
    """Return WORD/FILE of the clips of each split. Clips that are in no list go to train."""
    validation = (tree / "validation_list.txt").read_text(encoding="utf-8").split()
    test = (tree / "testing_list.txt").read_text(encoding="utf-8").split()
    clips = [path.relative_to(tree).as_posix() for path in sorted(tree.glob("[!_]*/*.wav"))]
    listed = {*validation, *test}
    train = [clip for clip in clips if clip not in listed]
    return {"train": train, "validation": validation, "test": test}


def _recording(tree: Path, clip: str, text: str = "") -> Recording:
    word, _, name = clip.partition("/")  # yes/0a7c2a8d_nohash_0.wav
    return Recording(tree / clip, text or word, speaker=name.partition("_nohash_")[0])


def _balance(tree: Path, split: str, clips: list[str]) -> list[Recording]:
    """Return the commands, and one twelfth each of unknown words and of silence."""
    commands = [clip for clip in clips if clip.partition("/")[0] in COMMANDS]
    count = round(len(commands) / len(COMMANDS))
    others = sort_by_hash(clip for clip in clips if clip.partition("/")[0] not in COMMANDS)
    return [
        *(_recording(tree, clip) for clip in commands),
        *(_recording(tree, clip, UNKNOWN) for clip in sorted(others[:count])),
        *_silences(tree, split, count),
    ]


def _silences(tree: Path, split: str, count: int) -> list[Recording]:
    """Return `count` evenly spaced pieces of each noise's share. They overlap if it is short."""
    noises = sorted((tree / NOISE).glob("*.wav"))
    pieces = []
    for i, noise in enumerate(noises):
        start, end = (share * info(noise).duration for share in NOISE_SHARES[split])
        number = len(range(i, count, len(noises)))
        offsets = np.linspace(start, end - SILENCE, number).clip(min=0).tolist()
        pieces += [
            Recording(noise, "", "", offset, SILENCE, silent=True) for offset in offsets
        ]
    return pieces


if __name__ == "__main__":
    sys.exit(run_recipe(speechcommands))
