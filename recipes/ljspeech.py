"""LJ Speech: 24 hours of audiobooks by one speaker."""

import sys
from pathlib import Path

from asr.config.app import run_recipe
from recipes.errors import RecipeError
from recipes.fetch import ensure_extracted
from recipes.prepare import Recording, Splits, prepare
from recipes.splits import split_randomly

URL = "https://data.keithito.com/data/speech"
RELEASE = "LJSpeech-1.1"
CHECKSUM = "sha256:be1a30453f28eb8dd26af4101ae40cbf2c50413b1bb21936cbcdc6fae3de8aa5"


def ljspeech(*, root: Path = Path("data"), url: str = URL, again: bool = False) -> Path:
    """Download LJ Speech and write train, validation, and test manifests.

    The corpus (public domain) is extracted to ROOT/LJSpeech-1.1. The manifests go to
    ROOT/manifests/ljspeech. There is no official split: 2.5 % of the clips each go to validation
    and test, the same on every machine. Transcripts are the normalized ones, with numbers spelled.

    Args:
        root: Folder of all corpora.
        url: Folder that holds the archive. Set it to use a mirror.
        again: Write the manifests again even if the options have not changed.

    Raises:
        RecipeError: If the corpus is unavailable or its table is invalid.
    """

    def splits() -> Splits:
        archive = f"{RELEASE}.tar.bz2"
        options = {"tree": RELEASE, "checksum": CHECKSUM}
        tree = ensure_extracted(url, archive, root, RELEASE, **options)
        return split_randomly(_recordings(tree), validation=0.025, test=0.025)

    return prepare("ljspeech", splits, root=root, again=again)


def _recordings(tree: Path) -> list[Recording]:
    table = tree / "metadata.csv"
    recordings = []
    for number, line in enumerate(table.read_text(encoding="utf-8").splitlines(), 1):
        fields = line.split("|")  # name, text as written, normalized text
        if len(fields) != 3:
            raise RecipeError(
                f"{table}, line {number}: {len(fields)} fields instead of 3. Get another copy."
            )
        recordings.append(Recording(tree / "wavs" / f"{fields[0]}.wav", fields[2]))
    return recordings


if __name__ == "__main__":
    sys.exit(run_recipe(ljspeech))
