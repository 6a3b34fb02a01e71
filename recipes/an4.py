"""CMU AN4 (Census): letters, digits, dates, and names by 84 speakers, 50 minutes."""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import soundfile

from asr.config.app import run_recipe
from asr.files import atomic_write
from recipes.fetch import ensure_extracted
from recipes.prepare import Recording, Splits, choose_speakers, hold_out, prepare

URL = "http://www.speech.cs.cmu.edu/databases/an4"
# The same recordings in two formats. CMU publishes no checksums.
ARCHIVES = ("an4_sphere.tar.gz", "an4_raw.bigendian.tar.gz")
RAW = {
    "samplerate": 16_000,
    "channels": 1,
    "subtype": "PCM_16",
    "endian": "BIG",
    "format": "RAW",
}


def an4(
    *,
    root: Path = Path("data"),
    validation_speakers: int = 8,
    url: str = URL,
    again: bool = False,
) -> Path:
    """Download CMU AN4 and write train, validation, and test manifests.

    The corpus is extracted to ROOT/an4. An archive in ROOT is used if there is one. The manifests
    go to ROOT/manifests/an4. The test set is CMU's own (130 utterances). The validation set is
    taken from the 948 training utterances by speaker and is the same on every machine.

    Args:
        root: Folder of all corpora.
        validation_speakers: Number of training speakers for validation, half women and half men.
            0 writes no validation manifest.
        url: Folder that holds the archive. Set it to use a mirror.
        again: Write the manifests again even if the options have not changed.

    Raises:
        RecipeError: If the corpus is unavailable or has too few speakers.
    """
    options = {"validation_speakers": validation_speakers}
    splits = partial(read_splits, root, url=url, **options)
    return prepare("an4", splits, root=root, again=again, **options)


def read_splits(root: Path, *, validation_speakers: int = 8, url: str = URL) -> Splits:
    """Return the recordings of train, validation, and test, and download them if necessary."""
    name = next((name for name in ARCHIVES if (root / name).exists()), ARCHIVES[0])
    tree = ensure_extracted(url, name, root, "an4", tree="an4")
    train, test = list(_recordings(tree, "train")), list(_recordings(tree, "test"))
    # The first letter of a speaker is f or m.
    speakers = choose_speakers(train, validation_speakers, group=lambda name: name[0])
    return {**hold_out(train, speakers), "test": test}


def _recordings(tree: Path, split: str) -> Iterator[Recording]:
    texts = {}
    transcription = (tree / "etc" / f"an4_{split}.transcription").read_text(
        encoding="utf-8"
    )
    for line in transcription.splitlines():
        text, _, name = line.rpartition("(")  # <s> YES </s> (an251-fash-b)
        texts[name.rstrip(") ")] = text.replace("<s>", "").replace("</s>", "")
    fileids = (tree / "etc" / f"an4_{split}.fileids").read_text(encoding="utf-8")
    for fileid in fileids.split():
        stem = tree / "wav" / fileid  # an4_clstk/fash/an251-fash-b
        yield Recording(_audio(stem), texts.get(stem.name, ""), speaker=stem.parent.name)


def _audio(stem: Path) -> Path:
    """Return the path of a recording. Headerless samples are converted to WAV once."""
    wav, sphere, raw = (Path(f"{stem}{suffix}") for suffix in (".wav", ".sph", ".raw"))
    if sphere.exists() and not wav.exists():
        return sphere
    if raw.exists() and not wav.exists():
        samples, rate = soundfile.read(raw, dtype="int16", **RAW)
        with atomic_write(wav) as temporary:
            soundfile.write(temporary, samples, rate, subtype="PCM_16", format="WAV")
    return wav


if __name__ == "__main__":
    sys.exit(run_recipe(an4))
