"""Runs of a Hydra sweep."""

import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig


def is_sweep() -> bool:
    """Return whether the current Hydra job is a run of a sweep."""
    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)


def set_up_run(cfg: DictConfig, arguments: Collection[str]) -> None:
    """Give a run of a sweep its own folder and command line, and print its own settings.

    Processes that the run starts repeat `sys.argv`, so it must describe this run alone.

    Args:
        cfg: Configuration of the run; `dir` becomes a subfolder with the number of the run.
        arguments: Command line of the sweep, which is not printed.
    """
    config = HydraConfig.get()
    number, task = config.job.num, config.overrides.task
    cfg.dir = f"{cfg.dir}/{number}"
    overrides = [o for o in (*config.overrides.hydra, *task) if not o.startswith("dir=")]
    sys.argv[1:] = [*overrides, f"dir={cfg.dir}", "hydra.mode=RUN"]
    own = " ".join(override for override in task if override not in arguments)
    print(f"run {number}: {own}", flush=True)


class CompareRuns(Callback):
    """Callback that compares the runs of a sweep when it ends."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Compare the runs in the sweep's folder if any run has finished."""
        from asr.evaluation.runs import compare_runs

        folder = Path(config.dir)
        if any(folder.glob("*/summary.json")):
            compare_runs(folder)
