"""speechocean762 (OpenSLR 101): 5,000 English sentences by 250 speakers of Mandarin, half children."""

import sys
from pathlib import Path

from asr.config.app import run_recipe
from recipes.fetch import Archive, ensure_extracted
from recipes.prepare import Recording, Splits, held_out, prepare, set_aside

URL = "https://www.openslr.org/resources/101"  # which publishes no checksum


def speechocean762(
    *, root: Path = Path("data"), validation_speakers: int = 10, url: str = URL, again: bool = False
) -> Path:
    """Prepare speechocean762: train, validation and test manifests; the folder that they are in.

    Train and test are the official ones; the validation set is `validation_speakers` of the training
    speakers, the same ones on every machine, none with 0. The transcripts are what was to be read:
    mispronunciations are not in them, so that no recogniser reaches a word error rate of 0.
    """

    def splits() -> Splits:
        archive = Archive(url, "speechocean762.tar.gz", tree="speechocean762")
        tree = ensure_extracted(archive, root, root / "speechocean762")
        train = _recordings(tree, "train")
        return {
            **held_out(train, set_aside(train, validation_speakers)),
            "test": _recordings(tree, "test"),
        }

    return prepare(
        "speechocean762", splits, root=root, again=again, validation_speakers=validation_speakers
    )


def _recordings(tree: Path, part: str) -> list[Recording]:
    audio, texts, speakers = (_table(tree / part / name) for name in ("wav.scp", "text", "utt2spk"))
    return [
        Recording(tree / path, texts.get(utterance, ""), speaker=speakers.get(utterance, ""))
        for utterance, path in audio.items()
    ]


def _table(path: Path) -> dict[str, str]:
    """A table as Kaldi writes it: a key, white space, the rest of the line."""
    lines = (
        line.split(maxsplit=1)
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip()
    )
    return {key: " ".join(rest) for key, *rest in lines}


if __name__ == "__main__":
    sys.exit(run_recipe(speechocean762))
