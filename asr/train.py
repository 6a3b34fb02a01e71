"""Train a speech recognizer: `python -m asr.train experiment=an4`.

The folder `dir` keeps the settings, checkpoints, logs, and plots of the run, and its result: the
trained model in `model.safetensors` and the scores in `summary.json`.
"""

import time
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from asr.config.app import run
from asr.config.build import plain


def train(cfg: DictConfig) -> dict[str, Any]:
    """Train as configured and return the summary, or nothing in processes except the main one.

    Raises:
        AsrError: If the settings or the data do not allow a training.
    """
    # here, because numpy and torch must start after `run` sets their variables
    from asr.config.checks import check_objects

    check_objects(cfg)
    from lightning import seed_everything
    from lightning.pytorch.utilities import rank_zero_only

    from asr.config import training as build
    from asr.training.fit import fit
    from asr.training.lightning_workarounds import silence_lightning
    from asr.training.run_folder import check_optimizer, find_checkpoint, open_run_folder
    from asr.training.summary import report_start, save_results, summarize
    from asr.training.tracking import log_summary, track

    start_time = time.monotonic()
    silence_lightning()
    folder, is_main = Path(cfg.dir), rank_zero_only.rank == 0
    trainer = build.build_trainer(cfg)
    checkpoint = find_checkpoint(folder, resume=cfg.resume)
    if checkpoint is not None:
        check_optimizer(folder, plain(cfg.optimizer), cfg.freeze)
    seed_everything(cfg.seed, workers=True, verbose=False)
    model, data = build.build_model_and_data(cfg, checkpoint)
    module = build.build_module(cfg, model)
    module.start_time = start_time
    with open_run_folder(folder, resume=cfg.resume, is_main=is_main):
        trackers = []
        if is_main:
            report_start(trainer, model, data, folder)
            trackers = build.build_trackers(cfg)
            OmegaConf.save(cfg, folder / "config.yaml", resolve=True)
        with track(trainer, trackers):
            results = fit(trainer, module, data, checkpoint, folder)
            if not is_main:
                return {}
            summary = summarize(trainer, module, data, results, plain(cfg))
            save_results(folder, module, summary)
            log_summary(trackers, summary)
            return summary


def main() -> None:
    """Run the command line; a sweep minimizes the validation WER that this returns."""
    run("train", lambda cfg: train(cfg).get("val_wer"))


if __name__ == "__main__":
    main()
