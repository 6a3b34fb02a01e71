"""CMU AN4 (Census): letters, digits, dates and names by 84 speakers, 50 minutes, official split 948 / 130."""

import sys
from collections.abc import Iterator
from pathlib import Path

import soundfile

from asr.config.app import run_recipe
from asr.files import atomic_write
from recipes.fetch import Archive, ensure_extracted
from recipes.prepare import Recording, Splits, held_out, prepare, set_aside

URL = "http://www.speech.cs.cmu.edu/databases/an4"
ARCHIVES = (
    "an4_sphere.tar.gz",
    "an4_raw.bigendian.tar.gz",
)  # the same recordings; no checksums published
RAW = {"samplerate": 16_000, "channels": 1, "subtype": "PCM_16", "endian": "BIG", "format": "RAW"}


def an4(
    *, root: Path = Path("data"), validation_speakers: int = 8, url: str = URL, again: bool = False
) -> Path:
    """Prepare AN4: train, validation and test manifests; the folder that they are in.

    The test set is CMU's own. The validation set is `validation_speakers` of the training speakers, women and
    men alike, the same ones on every machine; with 0 there is none and train holds all 948 utterances.
    """

    def splits() -> Splits:
        present = next((name for name in ARCHIVES if (root / name).exists()), ARCHIVES[0])
        tree = ensure_extracted(Archive(url, present, tree="an4"), root, root / "an4")
        train, test = (list(_recordings(tree, part)) for part in ("train", "test"))
        aside = set_aside(train, validation_speakers, group=lambda speaker: speaker[0])  # f or m
        return {**held_out(train, aside), "test": test}

    return prepare("an4", splits, root=root, again=again, validation_speakers=validation_speakers)


def _recordings(tree: Path, part: str) -> Iterator[Recording]:
    texts = {}
    for line in (
        (tree / "etc" / f"an4_{part}.transcription").read_text(encoding="utf-8").splitlines()
    ):
        text, _, name = line.rpartition("(")  # <s> YES </s> (an251-fash-b)
        texts[name.rstrip(") ")] = text.replace("<s>", "").replace("</s>", "")
    for fileid in (tree / "etc" / f"an4_{part}.fileids").read_text(encoding="utf-8").split():
        stem = tree / "wav" / fileid  # an4_clstk/fash/an251-fash-b
        yield Recording(_audio(stem), texts.get(stem.name, ""), speaker=stem.parent.name)


def _audio(stem: Path) -> Path:
    """The recording as it lies there; a headerless one is written as WAV beside, once."""
    wav, sphere, raw = (stem.with_name(stem.name + ending) for ending in (".wav", ".sph", ".raw"))
    if not wav.exists() and sphere.exists():
        return sphere
    if not wav.exists() and raw.exists():
        samples, rate = soundfile.read(raw, dtype="int16", **RAW)
        with atomic_write(wav) as partial:
            soundfile.write(partial, samples, rate, subtype="PCM_16", format="WAV")
    return wav


if __name__ == "__main__":
    sys.exit(run_recipe(an4))
