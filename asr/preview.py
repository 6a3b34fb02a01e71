"""Preview augmentation: `python -m asr.preview data=an4 augment.noise.probability=1`.

Writes a few training utterances as WAV files, original and augmented, and one plot per utterance
with the log-mel features of all its views, masks included. Features are normalized over the
utterance, and `augment.join` has no effect, because it needs several clips.
"""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from asr.config.app import run
from asr.config.build import (
    build_augmentation,
    build_batch_augments,
    instantiate,
    read_split,
)


def preview(cfg: DictConfig) -> None:
    """Write the clips and plots and print their folder.

    Raises:
        AsrError: If a setting, the manifest, or a recording is wrong.
    """
    import torch

    from asr.data.dataset import SpeechDataset
    from asr.data.filter import Example

    masks = instantiate("augment.spec", cfg.augment.spec)
    features = instantiate("features", cfg.features, normalize="utterance")
    utterances = read_split(cfg.data, "train")
    chosen = utterances[:: max(1, len(utterances) // cfg.count)][: cfg.count]
    originals = SpeechDataset([Example(each, ()) for each in chosen], on_error="raise")
    augment = build_augmentation(cfg.augment)
    batch_augments = build_batch_augments(cfg.augment, separator=())
    views = SpeechDataset(originals.examples, augment, batch_augments, cfg.seed, "raise")
    torch.manual_seed(cfg.seed)
    Path(cfg.dir).mkdir(parents=True, exist_ok=True)
    for index, utterance in enumerate(chosen):  # utterances may share a recording
        batches = [views[[(index, epoch)]] for epoch in range(cfg.views)]
        waveforms = [batch.waveforms[0] for batch in (originals[[(index, 0)]], *batches)]
        path = Path(cfg.dir, f"{index + 1}-{utterance.audio.stem}")
        _write_views(path, utterance.text, waveforms, features, masks)
    print(f"{len(chosen)} utterances with {cfg.views} augmented views each in {cfg.dir}")


def _write_views(
    path: Path, text: str, waveforms: list[Any], features: Any, masks: Any
) -> None:
    """Write waveforms (S,) as PATH-0.wav, the original, PATH-1.wav, ..., and the plot PATH.png."""
    import soundfile
    import torch

    from asr.audio import SAMPLE_RATE
    from asr.evaluation.plots import plot_features, save_figure

    rows = []
    for number, waveform in enumerate(waveforms):
        clip = path.with_name(f"{path.name}-{number}.wav")
        soundfile.write(clip, waveform / waveform.abs().max().clamp_min(1.0), SAMPLE_RATE)
        x, lengths = features(waveform[None], torch.tensor([len(waveform)]))  # (1, T, F)
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
