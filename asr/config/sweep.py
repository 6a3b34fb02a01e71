"""Hydra's hooks for sweeps."""

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class CompareRuns(Callback):
    """Callback that compares the runs of a sweep when it ends."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Compare the runs in the sweep's folder if any run has finished."""
        from asr.evaluation.runs import compare_runs

        folder = Path(config.dir)
        if any(folder.glob("*/summary.json")):
            compare_runs(folder)
