"""Hear and see what augmentation does: `python -m asr.preview data=an4 augment.noise.probability=1 [key=value ...]`.

Writes a few utterances of the training part as WAV files, as they are and as training would have them, and a picture
of each: its log-mel features, those of every view, masks included.
"""

from pathlib import Path

import numpy as np
import soundfile
import torch
from omegaconf import DictConfig

from asr import audio
from asr.audio import SAMPLE_RATE
from asr.config import app as cli
from asr.config import build
from asr.data.manifest import read_manifests
from asr.evaluation.plots import plot_features, save_figure
from asr.validation import check_integer


def preview(cfg: DictConfig) -> list[Path]:
    """Write the clips and pictures, print where they are; the pictures' paths.

    Raises ConfigError for settings that make no sense, ManifestError and AudioError for data that cannot be read.
    """
    for name in ("count", "views"):
        check_integer(name, cfg[name], ge=1)
    build.ensure_corpus(cfg.data)
    augment, masks = (
        build.build_augmentation(cfg.augment),
        build.instantiate("augment.spec", cfg.augment.spec),
    )
    features = build.instantiate("features", cfg.features, normalize="utterance")
    utterances = read_manifests(cfg.data.train, limit=cfg.data.limit)
    torch.manual_seed(cfg.seed)
    folder = Path(cfg.dir)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    for at, utterance in enumerate(
        utterances[:: max(1, len(utterances) // cfg.count)][: cfg.count], 1
    ):
        name = f"{at}-{utterance.audio.stem}"  # several utterances may be pieces of one recording
        waveform = audio.load(utterance.audio, offset=utterance.offset, duration=utterance.duration)
        views = [
            waveform,
            *(
                augment(waveform, np.random.default_rng((cfg.seed, view)))
                for view in range(cfg.views)
            ),
        ]
        rows = []
        for number, view in enumerate(views):
            clip = folder / f"{name}-{number}.wav"
            soundfile.write(clip, view / max(1.0, float(np.abs(view).max())), SAMPLE_RATE)
            x, lengths = features(torch.from_numpy(view)[None], torch.tensor([len(view)]))
            if number and masks is not None:
                x = masks(x, lengths)
            rows.append((clip.name if number else f"{clip.name}, as it is: {utterance.text}", x[0]))
        pictures.append(folder / f"{name}.png")
        save_figure(plot_features(rows, seconds_per_frame=features.seconds_per_frame), pictures[-1])
    print(
        f"{len(pictures)} utterances, each as it is and in {cfg.views} views, with pictures: {folder}"
    )
    return pictures


def main() -> None:
    """Entry point."""
    cli.run("preview", preview)


if __name__ == "__main__":
    main()
