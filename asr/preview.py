"""Preview augmentation: `python -m asr.preview data=an4 augment.noise.probability=1`.

Writes a few training utterances as WAV files, original and augmented, and one plot per utterance
with the log-mel features of all its views, masks included.
"""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from asr.config.app import run
from asr.config.build import build_augmentation, instantiate, read_split


def preview(cfg: DictConfig) -> None:
    """Write the clips and plots and print their folder.

    Raises:
        ConfigError: If a setting is wrong.
        ManifestError: If the manifest cannot be read.
        AudioError: If a recording cannot be read.
    """
    import numpy as np
    import torch

    from asr import audio

    augment = build_augmentation(cfg.augment)
    masks = instantiate("augment.spec", cfg.augment.spec)
    features = instantiate("features", cfg.features, normalize="utterance")
    utterances = read_split(cfg.data, "train")
    torch.manual_seed(cfg.seed)
    folder = Path(cfg.dir)
    folder.mkdir(parents=True, exist_ok=True)
    chosen = utterances[:: max(1, len(utterances) // cfg.count)][: cfg.count]
    for number, utterance in enumerate(chosen, 1):  # utterances may share a recording
        source, offset = utterance.audio, utterance.offset
        waveform = audio.load(source, offset=offset, duration=utterance.duration)
        rngs = [np.random.default_rng((cfg.seed, view)) for view in range(cfg.views)]
        views = [waveform, *(augment(waveform, rng) for rng in rngs)]
        path = folder / f"{number}-{utterance.audio.stem}"
        _write_views(path, utterance.text, views, features, masks)
    print(f"{len(chosen)} utterances with {cfg.views} augmented views each in {folder}")


def _write_views(
    path: Path, text: str, views: list[Any], features: Any, masks: Any
) -> None:
    """Write waveforms (S,) as PATH-0.wav, the original, PATH-1.wav, ..., and the plot PATH.png."""
    import soundfile
    import torch

    from asr.audio import SAMPLE_RATE
    from asr.evaluation.plots import plot_features, save_figure

    rows = []
    for number, view in enumerate(views):
        clip = path.with_name(f"{path.name}-{number}.wav")
        soundfile.write(clip, view / max(1.0, float(abs(view).max())), SAMPLE_RATE)
        waveforms, lengths = torch.from_numpy(view)[None], torch.tensor([len(view)])
        x, lengths = features(waveforms, lengths)  # (1, T, F)
        if number and masks is not None:
            x = masks(x, lengths)
        rows.append((clip.name if number else f"{clip.name}, original: {text}", x[0]))
    figure = plot_features(rows, seconds_per_frame=features.seconds_per_frame)
    save_figure(figure, path.with_name(f"{path.name}.png"))


def main() -> None:
    """Run the command line."""
    run("preview", preview)


if __name__ == "__main__":
    main()
