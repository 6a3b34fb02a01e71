"""Mozilla Common Voice: sentences read by volunteers, in many languages."""

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

from asr.config.app import run_recipe
from recipes.errors import RecipeError, convert_errors
from recipes.fetch import unpack
from recipes.prepare import Recording, Splits, prepare

PARTS = {"train": "train", "dev": "validation", "test": "test"}  # table: split


def commonvoice(
    *,
    archive: Path | None = None,
    folder: Path | None = None,
    train: Sequence[str] = ("train",),
    root: Path = Path("data"),
    name: str = "commonvoice",
    again: bool = False,
) -> Path:
    """Write train, validation, and test manifests of a Common Voice release of one language.

    Mozilla asks for an e-mail address, so download the archive with a browser and pass
    archive=FILE. It is extracted to ROOT/NAME. Pass folder= if it is extracted already. The
    manifests go to ROOT/manifests/NAME. Train, dev (validation), and test are the official sets.

    Args:
        archive: Archive of a release, such as cv-corpus-17.0-2024-03-15-cy.tar.gz.
        folder: Folder of a language, which holds train.tsv and clips.
        train: Tables to train on. validated and other hold far more clips than train; clips and
            speakers of dev and test are left out of them.
        root: Folder of all corpora.
        name: Name of the corpus.
        again: Write the manifests again even if the options have not changed.

    Raises:
        RecipeError: If neither is given, or the release is incomplete.
    """

    def splits() -> Splits:
        tree = _find_release(folder or _extract(archive, root / name))
        held_out = {
            split: _read_table(tree, part)
            for part, split in PARTS.items()
            if part != "train"
        }
        known = {r.speaker for recordings in held_out.values() for r in recordings}
        unique = {r.audio: r for part in train for r in _read_table(tree, part)}
        chosen = [r for r in unique.values() if r.speaker not in known]
        return {"train": chosen, **held_out}

    options = {"train": train, "archive": archive, "folder": folder}
    return prepare(name, splits, root=root, again=again, **options)


def _extract(archive: Path | None, target: Path) -> Path:
    """Extract an archive unless its folder exists, and return the folder.

    Raises:
        RecipeError: If there is no archive, or the folder is that of another one.
    """
    # a file beside the folder keeps the name of the archive
    source = target.with_name(f"{target.name}.archive")
    if target.is_dir():
        extracted = source.read_text(encoding="utf-8") if source.is_file() else ""
        if archive is not None and extracted not in ("", archive.name):
            raise RecipeError(f"{target} is from {extracted}. Pass another name=.")
        return target
    if archive is None:
        raise RecipeError("Pass archive=FILE of a Common Voice release, or folder=FOLDER.")
    if not archive.is_file():
        raise RecipeError(f"archive={archive}: no such file.")
    unpack(archive, target)
    source.write_text(archive.name, encoding="utf-8")
    return target


def _find_release(folder: Path) -> Path:
    """Return the folder below, or the folder itself, that holds train.tsv."""
    if not folder.is_dir():
        raise RecipeError(f"folder={folder}: no such folder.")
    found = sorted(path.parent for path in folder.glob("**/train.tsv"))
    if len(found) != 1:
        languages = ", ".join(path.name for path in found) or "none"
        fix = "Pass folder=FOLDER of one language" if found else "Get a complete copy"
        raise RecipeError(f"{folder}: languages with a train.tsv: {languages}. {fix}.")
    return found[0]


def _read_table(tree: Path, part: str) -> list[Recording]:
    """Return the clips of a table of a release."""
    table = tree / f"{part}.tsv"
    problem = f"{table} cannot be read"
    with convert_errors(OSError, UnicodeDecodeError, problem=problem):
        text = table.read_text(encoding="utf-8")
    # Sentences contain quotes, which have no meaning in these tables.
    rows = csv.DictReader(text.split("\n"), delimiter="\t", quoting=csv.QUOTE_NONE)
    recordings = []
    for row in rows:
        if None in row.values() or not row.get("path"):
            place = f"{table}, line {rows.line_num}"
            raise RecipeError(f"{place}: fewer fields than the header. Get another copy.")
        clip = tree / "clips" / row["path"]
        if not clip.suffix:  # the first releases omit the extension
            clip = clip.with_suffix(".mp3")
        recordings.append(Recording(clip, row["sentence"], row["client_id"]))
    return recordings


if __name__ == "__main__":
    sys.exit(run_recipe(commonvoice))
