"""Runs in experiment trackers, which are the loggers of Weights & Biases and MLflow."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from lightning import Trainer
from lightning.pytorch.loggers import Logger, MLFlowLogger, WandbLogger

from asr.errors import StorageError

# Package, which is also the name in the group `logger`: setting with the id of a tracked run
TRACKERS = {"wandb": "id", "mlflow": "run_id"}


def start_tracker(tracker: Logger, config: dict[str, Any], *, is_resumed: bool) -> str:
    """Start or continue the tracked run of a logger, log its configuration, and return its id."""
    _ = tracker.experiment  # connects
    if not (is_resumed and isinstance(tracker, MLFlowLogger)):  # it rejects other values
        tracker.log_hyperparams(config)
    return str(tracker.version)


@contextmanager
def track(trainer: Trainer, trackers: Sequence[Logger]) -> Iterator[None]:
    """Add trackers to the loggers of a trainer, and end their runs when the context ends.

    Raises:
        StorageError: If a tracker fails after the training. The model is saved by then.
    """
    trainer.loggers = [*trainer.loggers, *trackers]
    failed = True
    try:
        yield
        failed = False
    except Exception as error:
        _raise_storage_error(error)
        raise
    finally:
        with ExitStack() as stack:  # ends all of them, even if one fails
            for tracker in trackers:
                stack.callback(_end, tracker, failed)


def _end(tracker: Logger, failed: bool) -> None:
    """End the tracked run of a logger.

    Raises:
        StorageError: If the tracker fails and no earlier error will be reported.
    """
    try:
        tracker.finalize("failed" if failed else "success")
        if isinstance(tracker, WandbLogger):  # or the next run of a sweep continues it
            tracker.experiment.finish(exit_code=int(failed))
    except Exception as error:
        if failed and raised_by_tracker(error):
            return
        _raise_storage_error(error)
        raise


def _raise_storage_error(error: Exception) -> None:
    """Raise a StorageError if the package of a tracker raised the error."""
    if raised_by_tracker(error):
        message = f"{error}. The tracked run is incomplete, but the run folder is not."
        raise StorageError(message) from error


def log_summary(trackers: Sequence[Logger], summary: Mapping[str, Any]) -> None:
    """Send the numbers of a summary, such as the final WER, to the tracked runs."""
    numbers = {}
    for key, value in summary.items():
        items = value if key in ("hours", "left_out") else {"": value}
        for name, number in items.items():
            if isinstance(number, int | float):
                numbers[f"summary/{key}_{name}".rstrip("_")] = number
    for tracker in trackers:
        tracker.log_metrics(numbers, step=summary["steps"])


def raised_by_tracker(error: BaseException) -> bool:
    """Return whether the package of a tracker raised an error, such as a lost connection."""
    return type(error).__module__.partition(".")[0] in TRACKERS
