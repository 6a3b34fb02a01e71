"""speechocean762 (OpenSLR 101): 5,000 English sentences by 250 Mandarin speakers, half children."""

import sys
from functools import partial
from pathlib import Path

from asr.config.app import run_recipe
from recipes.fetch import ensure_extracted
from recipes.kaldi import read_table
from recipes.prepare import Recording, Splits, choose_speakers, hold_out, prepare

URL = "https://www.openslr.org/resources/101"  # publishes no checksum


def speechocean762(
    *,
    root: Path = Path("data"),
    validation_speakers: int = 10,
    url: str = URL,
    again: bool = False,
) -> Path:
    """Download speechocean762 and write train, validation, and test manifests.

    The corpus is extracted to ROOT/speechocean762. The manifests go to
    ROOT/manifests/speechocean762. Train and test are the official sets. The validation set is
    taken from the training set by speaker and is the same on every machine. The transcripts are
    the sentences to read and ignore mispronunciations, so no recognizer reaches a WER of 0.

    Args:
        root: Folder of all corpora.
        validation_speakers: Number of training speakers for validation. 0 writes no validation
            manifest.
        url: Folder that holds the archive. Set it to use a mirror.
        again: Write the manifests again even if the options have not changed.

    Raises:
        RecipeError: If the corpus is unavailable or has too few speakers.
    """
    options = {"validation_speakers": validation_speakers}
    splits = partial(read_splits, root, url=url, **options)
    return prepare("speechocean762", splits, root=root, again=again, **options)


def read_splits(root: Path, *, validation_speakers: int = 10, url: str = URL) -> Splits:
    """Return the recordings of train, validation, and test, and download them if necessary."""
    name = "speechocean762"
    tree = ensure_extracted(url, f"{name}.tar.gz", root, name, tree=name)
    train, test = _recordings(tree, "train"), _recordings(tree, "test")
    speakers = choose_speakers(train, validation_speakers)
    return {**hold_out(train, speakers), "test": test}


def _recordings(tree: Path, split: str) -> list[Recording]:
    audio, texts, speakers = (
        read_table(tree / split / name) for name in ("wav.scp", "text", "utt2spk")
    )
    return [
        Recording(tree / path, texts.get(key, ""), speaker=speakers.get(key, ""))
        for key, path in audio.items()
    ]


if __name__ == "__main__":
    sys.exit(run_recipe(speechocean762))
