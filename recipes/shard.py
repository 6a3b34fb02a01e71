"""Shards: many clips in one tar, as large corpora are best kept on network disks, servers and object stores."""

import sys
from collections.abc import Sequence
from pathlib import Path

from asr.audio.remote import is_url
from asr.config.app import run_recipe
from asr.data.manifest import Utterance, read_manifest, write_manifest
from asr.data.shards import Failure, Form, index_shard, write_shards
from recipes.fetch import RecipeError, console
from recipes.prepare import by_hash


def shard(
    *,
    manifest: Path | None = None,
    tars: Sequence[str] = (),
    out: Path = Path("shards"),
    name: str | None = None,
    hours: float = 1.0,
    form: Form = "flac",
) -> Path:
    """Write out/NAME-00000.tar ... and out/NAME.jsonl, the manifest that training takes; the manifest's path.

    manifest=FILE.jsonl
        the utterances go in in an order that looks random, `hours` of audio to a shard; recordings as they
        are or, with form=wav, decoded to 16 bits at 16 kHz. NAME is the manifest's, unless told.
    tars=[FILE_OR_ADDRESS,...]
        shards that are there already, as WebDataset writes them (KEY.flac and KEY.json or KEY.txt): they are
        read once, and only the manifest is written.

    Train with data.train=out/NAME.jsonl; manifest and shards can be copied anywhere together, also behind an
    address that serves pieces of files: data.train=https://host/NAME.jsonl, or s3://... with s3fs installed.
    """
    if (manifest is None) == (not tars):
        raise RecipeError(
            "give manifest=FILE.jsonl, to write shards, or tars=[...], to list such as are there"
        )
    if hours <= 0:
        raise RecipeError(f"hours={hours}: must be above 0")
    stored: list[Utterance] = []
    failures: list[Failure] = []
    if manifest is not None:
        name = name or manifest.stem
        folder = str(manifest.parent)  # wherever a corpus lies, its shards are the same
        order = by_hash(
            read_manifest(manifest), key=lambda utterance: utterance.name.removeprefix(folder)
        )
        stored, failures = write_shards(order, out, name, hours=hours, form=form)
    else:
        name = name or "train"
        for tar in tars:
            utterances, failed = index_shard(tar if is_url(tar) else Path(tar))
            stored += utterances
            failures += failed
    for what, why in failures:
        console.print(f"left out: {what}: {why}", markup=False)
    if not stored:
        raise RecipeError(f"{manifest or ', '.join(tars)}: not one clip can be used")
    listed = out / f"{name}.jsonl"
    write_manifest(listed, stored)
    total = sum(utterance.duration for utterance in stored) / 3600
    places = len({str(getattr(utterance.audio, "place", "")) for utterance in stored})
    print(
        f"{len(stored):,} utterances, {total:.2f} h in {places:,} shards, {len(failures):,} left out: {listed}"
    )
    return listed


if __name__ == "__main__":
    sys.exit(run_recipe(shard))
