"""Speech Commands (arXiv 1804.03209): clips of one second, each one of 35 words (30 in v0.01), CC BY 4.0."""

import sys
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from asr.audio import info
from asr.config.app import run_recipe
from recipes.fetch import Archive, ensure_extracted, recorded
from recipes.prepare import Recording, Splits, by_hash, prepare

URL = "http://download.tensorflow.org/data"
COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
UNKNOWN = "unknown"
NOISE = "_background_noise_"
SILENCE = 1.0  # seconds, as long as a clip
NOISE_SHARES = {
    "train": (0.0, 0.8),
    "validation": (0.8, 0.9),
    "test": (0.9, 1.0),
}  # of each noise, from start to end


def speechcommands(
    *,
    root: Path = Path("data"),
    version: Literal["v0.02", "v0.01"] = "v0.02",
    words: Literal["all", "commands"] = "all",
    url: str = URL,
    again: bool = False,
) -> Path:
    """Prepare Speech Commands: train, validation and test by the official lists; the folder that they are in.

    words=all: every clip with its word. words=commands: the ten commands (yes no up down left right on off
    stop go), as many clips of the other words as of one command on average, with the transcript "unknown",
    and as many pieces of the background noises, with the empty transcript.
    """
    name = f"speech_commands_{version}"

    def splits() -> Splits:
        archive = Archive(url, f"{name}.tar.gz", partial(_recorded, name))
        tree = ensure_extracted(archive, root, root / "SpeechCommands" / name)
        clips = _official(tree)
        if words == "all":
            return {
                split: [_recording(tree, clip) for clip in chosen]
                for split, chosen in clips.items()
            }
        return {split: _with_the_rest(tree, split, chosen) for split, chosen in clips.items()}

    return prepare("speechcommands", splits, root=root, again=again, version=version, words=words)


def _recorded(name: str) -> str:
    return recorded("speechcommands", f"http://download.tensorflow.org/data/{name}.tar.gz")


def _official(tree: Path) -> dict[str, list[str]]:
    """WORD/FILE of every clip by split; what is in neither of the two lists is for training."""
    validation, test = (
        (tree / f"{part}_list.txt").read_text().split() for part in ("validation", "testing")
    )
    clips = (path.relative_to(tree).as_posix() for path in sorted(tree.glob("[!_]*/*.wav")))
    elsewhere = {*validation, *test}
    return {
        "train": [clip for clip in clips if clip not in elsewhere],
        "validation": validation,
        "test": test,
    }


def _recording(tree: Path, clip: str, text: str = "") -> Recording:
    word, _, file = clip.partition("/")  # yes/0a7c2a8d_nohash_0.wav
    return Recording(tree / clip, text or word, speaker=file.partition("_nohash_")[0])


def _with_the_rest(tree: Path, split: str, clips: list[str]) -> list[Recording]:
    """The commands among the clips, and a twelfth each of other words and of silence."""
    others = [clip for clip in clips if clip.partition("/")[0] not in COMMANDS]
    commands = [_recording(tree, clip) for clip in clips if clip.partition("/")[0] in COMMANDS]
    share = round(len(commands) / len(COMMANDS))
    unknown = [_recording(tree, clip, UNKNOWN) for clip in sorted(by_hash(others)[:share])]
    return [*commands, *unknown, *_silences(tree, split, share)]


def _silences(tree: Path, split: str, count: int) -> list[Recording]:
    """`count` pieces of the split's own share of each noise, evenly spread, overlapping in a short one."""
    noises = sorted((tree / NOISE).glob("*.wav"))
    pieces = []
    for i, noise in enumerate(noises):
        start, end = (share * info(noise).duration for share in NOISE_SHARES[split])
        of_this = len(range(i, count, len(noises)))
        for offset in np.linspace(start, end - SILENCE, of_this).clip(min=0):
            pieces.append(Recording(noise, "", offset=float(offset), duration=SILENCE, silent=True))
    return pieces


if __name__ == "__main__":
    sys.exit(run_recipe(speechcommands))
