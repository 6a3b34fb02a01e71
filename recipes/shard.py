"""Shards: tar files of many clips, which suit network disks, servers, and object stores."""

import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from asr.config.app import run_recipe
from asr.data.manifest import Utterance, read_manifest, write_manifest
from asr.data.shards import Form, index_shard, write_shards
from asr.validation import check_number
from recipes.console import console
from recipes.errors import RecipeError, check_name, convert_errors
from recipes.prepare import sort_by_hash, total_hours


def shard(
    *,
    manifest: Path | None = None,
    tars: Sequence[str] = (),
    out: Path = Path("shards"),
    name: str | None = None,
    hours: float = 1.0,
    form: Form = "flac",
) -> Path:
    """Write OUT/NAME-00000.tar and so on, and OUT/NAME.jsonl, a manifest for training.

    Pass manifest= to write shards, or tars= to list existing ones. Manifest and shards may move
    together, also to a server: data.train=https://host/NAME.jsonl, or s3://... with s3fs.

    Args:
        manifest: Manifest of the utterances, which are shuffled.
        tars: Paths or URLs of WebDataset shards with KEY.flac and KEY.json or KEY.txt.
        out: Folder of the shards and the manifest.
        name: Name of the shards. It defaults to the name of the manifest, or "train".
        hours: Hours of audio in each shard.
        form: "flac" copies whole recordings unchanged. "wav" decodes all to 16 bits at 16 kHz.

    Raises:
        RecipeError: If a setting is invalid or no clip is usable.
    """
    with convert_errors(ValueError):
        check_number("hours", hours, gt=0)
    name = check_name(name) or (manifest.stem if manifest else "train")
    if manifest is not None and not tars:
        results = [write_shards(_shuffled(manifest), out, name, hours=hours, form=form)]
    elif tars and manifest is None:
        results = [index_shard(tar) for tar in tars]
    else:
        raise RecipeError("Pass manifest=FILE.jsonl to write shards, or tars=[...].")
    stored, failures = (list(chain(*parts)) for parts in zip(*results, strict=True))
    for clip, reason in failures:
        console.print(f"left out: {clip}: {reason}")
    if not stored:
        raise RecipeError(f"{manifest or ', '.join(tars)}: no usable clips.")
    target = out / f"{name}.jsonl"
    write_manifest(target, stored)
    shards = len({utterance.audio.path for utterance in stored})
    size = f"{len(stored):,} utterances, {total_hours(stored):.2f} h in {shards:,} shards"
    print(f"{size}, {len(failures):,} left out: {target}")
    return target


def _shuffled(manifest: Path) -> list[Utterance]:
    """Return the utterances in an order that does not depend on the folder of the corpus."""
    folder = str(manifest.parent)
    return sort_by_hash(read_manifest(manifest), key=lambda u: u.name.removeprefix(folder))


if __name__ == "__main__":
    sys.exit(run_recipe(shard))
