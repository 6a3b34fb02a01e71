"""Tune a beam search: `python -m asr.tune data=an4 decoder.lm=an4.arpa`.

Searches the `lm_weight` and `word_score` with the fewest word errors on the validation set, fits
the calibration of confidence, and writes the decoder to `decoder/tuned.yaml` in `dir`. Other
commands accept that file as an option: `decoder=outputs/an4-tuning/decoder/tuned.yaml`.
"""

from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from asr.config.app import run
from asr.config.build import instantiate, load_split
from asr.errors import ConfigError

if TYPE_CHECKING:
    from asr.evaluation.tuning import Tuning


def tune(cfg: DictConfig) -> dict[str, Any]:
    """Search the weights, write the decoder, the points, and a plot, and return the settings.

    Raises:
        ConfigError: If the decoder is not a beam search or no utterance can be read.
    """
    from asr.decode import BeamDecoder
    from asr.evaluation.plots import plot_tuning_surface, save_figure
    from asr.evaluation.tuning import CorpusEmissions, tune_decoder
    from asr.nn.ctc import CTCModel

    decoder = instantiate("decoder", cfg.decoder)
    if not isinstance(decoder, BeamDecoder):
        raise ConfigError(
            "decoder: only a beam search has weights to tune; use decoder=beam"
        )
    lm_weights = (0.0, 0.0) if decoder.lm is None else tuple(cfg.lm_weight)
    model = CTCModel.load(cfg.checkpoint, device=cfg.device)
    batches = load_split(cfg.data, cfg.split, model.tokenizer)
    emissions = CorpusEmissions.compute(model, batches)
    intervals = (lm_weights, tuple(cfg.word_score))
    tuning = tune_decoder(
        decoder, emissions, intervals, points=cfg.points, rounds=cfg.rounds
    )

    folder = Path(cfg.dir)
    target = folder / "decoder" / "tuned.yaml"
    target.parent.mkdir(parents=True, exist_ok=True)
    settings = _tuned_settings(cfg.decoder, tuning)
    OmegaConf.save(OmegaConf.create(settings), target)
    tuning.write_points(folder / "points.csv")
    save_figure(plot_tuning_surface(tuning.wer, tuning.best), folder / "surface.png")
    (lm_weight, word_score), wer = tuning.best, tuning.wer
    print(
        f"WER {wer[tuning.best]:.2%} with lm_weight {lm_weight:g} and word_score {word_score:g}, "
        f"the best of {len(wer)} points (worst {max(wer.values()):.2%}); calibration error "
        f"{tuning.before.error:.3f} before and {tuning.after.error:.3f} after; decoder={target}"
    )
    return settings


def _tuned_settings(decoder: DictConfig, tuning: "Tuning") -> dict[str, Any]:
    """Return the decoder's settings with the tuned values and absolute paths."""
    settings: dict[str, Any] = OmegaConf.to_container(decoder, resolve=True)  # type: ignore[assignment]
    settings["lm_weight"], settings["word_score"] = tuning.best
    settings["calibration"] = [round(value, 4) for value in astuple(tuning.calibration)]
    for name in ("lm", "lexicon"):
        if settings[name]:
            settings[name] = str(Path(settings[name]).resolve())
    return settings


def main() -> None:
    """Run the command line."""
    run("tune", tune)


if __name__ == "__main__":
    main()
