"""Runs of a Hydra sweep, in this process or in those that a launcher starts.

The runs share only the folder of the sweep with each other and with this process.
"""

import sys
import traceback
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from textwrap import shorten
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from asr.config.quoting import quote_override
from asr.config.reporting import BAD_INPUT, one_line
from asr.errors import AsrError, WorkerError

LAUNCHERS = {"joblib", "submitit"}  # packages of the launchers that start processes or jobs
FAILURE = "failed_{}.txt"  # in the folder of the sweep: why the run with this number failed
CORPUS_KEYS = {
    "data",
    "experiment",
    "data.name",
    "data.root",
    "data.manifests",
    "data.recipe",
}


def is_sweep() -> bool:
    """Return whether the current Hydra job is a run of a sweep."""
    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)


def set_up_run(cfg: DictConfig, arguments: Collection[str]) -> None:
    """Give a run of a sweep its own folder and command line, and print its own settings.

    Processes that the run starts repeat `sys.argv`, so it must describe this run alone.

    Args:
        cfg: Configuration of the run; `dir` becomes a subfolder of the sweep's folder with the
            number of the run.
        arguments: Command line of the sweep, which is not printed.
    """
    config = HydraConfig.get()
    number, task = config.job.num, config.overrides.task
    # runs may have other values of `dir`, which may contain the name of the corpus
    cfg.dir = f"{config.sweep.dir}/{number}"
    overrides = [o for o in (*config.overrides.hydra, *task) if not o.startswith("dir=")]
    sys.argv[1:] = [*overrides, quote_override("dir", cfg.dir), "hydra.mode=RUN"]
    own = " ".join(override for override in task if override not in arguments)
    print(f"run {number}: {own}", flush=True)


def record_failure(cfg: DictConfig, name: str, error: BaseException) -> None:
    """Write why a run failed to the folder of its sweep.

    Args:
        cfg: Configuration of the run.
        name: Start of the line.
        error: The user error that ended the run.
    """
    run = Path(cfg.dir)
    path = run.with_name(FAILURE.format(run.name))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{name}: {one_line(error)}\n", encoding="utf-8")


@contextmanager
def explain_lost_runs() -> Iterator[None]:
    """Turn an error of a launcher, such as a lost process or job, into one line.

    Raises:
        WorkerError: If joblib or submitit cannot start or finish a run.
    """
    try:
        yield
    except Exception as error:
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        origins = {type(error).__module__, str(frame.f_globals.get("__name__"))}
        launchers = {origin.partition(".")[0] for origin in origins} & LAUNCHERS
        if not launchers:
            raise
        raise WorkerError(
            f"{launchers.pop()}: {shorten(str(error), 200)} "
            "If runs have finished, asr.compare dir=DIR shows them"
        ) from error


class Sweep(Callback):
    """Callback that prepares the folder and the corpus of a sweep and compares its runs."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Give all runs the same folder, and prepare the corpus for parallel runs.

        Failures of an earlier sweep are removed from the folder.
        """
        from asr.config.build import ensure_corpus
        from asr.config.checks import check_objects

        # launchers compose each run from these overrides, also in other processes
        config.hydra.overrides.hydra.append(quote_override("hydra.sweep.dir", config.dir))
        for path in Path(config.dir).glob(FAILURE.format("*")):
            path.unlink()
        is_parallel = not config.hydra.launcher._target_.endswith(".BasicLauncher")
        if is_parallel and not _varies_corpus(config):
            with suppress(AsrError):  # each run reports it
                check_objects(config)
                ensure_corpus(config.data)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Compare the runs in the sweep's folder if any run has finished.

        Raises:
            SystemExit: If a run has failed.
        """
        from asr.evaluation.runs import compare_runs

        folder = Path(config.dir)
        if any(folder.glob("*/summary.json")):
            compare_runs(folder)
        failures = sorted(folder.glob(FAILURE.format("*")))
        if "submitit" in config.hydra.launcher._target_:  # its jobs print to files
            for path in failures:
                print(path.read_text(encoding="utf-8"), end="", file=sys.stderr)
        if failures:
            sys.exit(BAD_INPUT)


def _varies_corpus(config: DictConfig) -> bool:
    """Return whether the runs of a sweep may have another corpus than its configuration."""
    overrides = OverridesParser.create().parse_overrides(list(config.hydra.overrides.task))
    swept = [str(o.key_or_group) for o in overrides if o.is_sweep_override()]
    swept += OmegaConf.select(config, "hydra.sweeper.params") or []
    keys = {".".join(key.lstrip("+").split(".")[:2]) for key in swept}
    return not keys.isdisjoint(CORPUS_KEYS)
