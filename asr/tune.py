"""Tune a beam search: `python -m asr.tune data=an4 decoder.lm=an4.arpa`.

Searches the `lm_weight` and `word_score` with the fewest word errors on the validation set, fits
the calibration of confidence, and writes the decoder to `decoder/tuned.yaml` in `dir`. Other
commands accept that file as an option: `decoder=outputs/an4-tuning/decoder/tuned.yaml`.
"""

from dataclasses import astuple
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from asr.config.app import run
from asr.config.build import instantiate, load_split, with_absolute_files
from asr.errors import ConfigError

if TYPE_CHECKING:
    from asr.evaluation.tuning import Tuning


def tune(cfg: DictConfig) -> None:
    """Search the weights and write the decoder, the points, and a plot.

    Raises:
        ConfigError: If the decoder is not a beam search or no utterance can be read.
    """
    from asr.config.outputs import open_results
    from asr.decode.beam import BeamDecoder
    from asr.evaluation.plots import plot_tuning_surface, save_figure
    from asr.evaluation.tuning import CorpusEmissions, tune_decoder
    from asr.inference.model import load_model

    folder = open_results(cfg.dir)
    decoder = instantiate("decoder", cfg.decoder)
    if not isinstance(decoder, BeamDecoder):
        raise ConfigError("only a beam search has weights to tune; use decoder=beam")
    lm_weights = (0.0, 0.0) if decoder.lm is None else tuple(cfg.lm_weight)
    model = load_model(cfg.checkpoint, device=cfg.device, engine=cfg.engine)
    corpus = load_split(cfg.data, cfg.split, model.tokenizer)
    emissions = CorpusEmissions.compute(model, corpus)
    intervals = (lm_weights, tuple(cfg.word_score))
    tuning = tune_decoder(decoder, emissions, intervals, cfg.points, cfg.rounds)

    target = folder / "decoder" / "tuned.yaml"
    target.parent.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(_tuned_settings(cfg.decoder, tuning), target)
    tuning.write_points(folder / "points.csv")
    save_figure(plot_tuning_surface(tuning.wer, tuning.best), folder / "surface.png")
    (lm_weight, word_score), wer = tuning.best, tuning.wer
    print(
        f"WER {wer[tuning.best]:.2%} with lm_weight {lm_weight:g} and word_score {word_score:g}, "
        f"the best of {len(wer)} points (worst {max(wer.values()):.2%}); calibration error "
        f"{tuning.before:.3f} before and {tuning.after:.3f} after; decoder={target}"
    )
    for warning in tuning.warnings:
        print(warning)


def _tuned_settings(decoder: DictConfig, tuning: "Tuning") -> Any:
    """Return the decoder's settings with the tuned values and with absolute paths of files."""
    settings = with_absolute_files(decoder)
    settings.lm_weight, settings.word_score = tuning.best
    settings.calibration = [round(value, 4) for value in astuple(tuning.calibration)]
    return settings


def main() -> None:
    """Run the command line."""
    run("tune", tune)


if __name__ == "__main__":
    main()
