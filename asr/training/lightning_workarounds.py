"""Workarounds for Lightning 2.6. Each one states its reason and the test that fails without it."""

import logging
import signal
import threading
import traceback
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint, WeightAveraging
from torch.optim.swa_utils import get_ema_multi_avg_fn

from asr.files import atomic_write
from asr.validation import check_integer

# Warnings about intended behavior.
# Test: test_training_shows_no_irrelevant_warnings.
IRRELEVANT_WARNINGS = (
    "`training_step` returned `None`",  # no utterance of the batch could be read
    "You're resuming from a checkpoint that ended before the epoch ended",  # the sampler resumes
    ".*LeafSpec",  # Lightning uses a deprecated class of torch
    "The AccumulateGrad node's stream does not match",  # DDP on a GPU keeps nodes of the graph
    "Grad strides do not match bucket view",  # the first convolution has one input channel
    ".*could not find the monitored key",  # not every epoch is validated
    ".*does not have many workers",
    ".*number of training batches",  # short runs are legal
    "Checkpoint directory .* exists",  # a resumed run uses its own folder
)


def silence_lightning() -> None:
    """Hide Lightning's irrelevant warnings, and its messages about devices and signals.

    Test of the messages: test_ctrl_c_leaves_a_checkpoint_and_prints_one_line_with_exit_code_130.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for message in IRRELEVANT_WARNINGS:
        warnings.filterwarnings("ignore", message=message)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writer that replaces a checkpoint only by a complete one.

    Lightning moves a file from the temporary folder of the system to `path`. Between file systems
    that is a copy, so a full disk or a kill would also destroy the previous checkpoint.
    Test: test_a_failed_write_keeps_the_previous_checkpoint.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, **options: Any
    ) -> None:
        """Write a checkpoint to a temporary file and move it to `path`."""
        with atomic_write(Path(path)) as temporary:
            super().save_checkpoint(checkpoint, temporary, **options)


class Checkpoints(ModelCheckpoint):
    """Callback that keeps the `average` best checkpoints by `monitor`, and the latest as last.ckpt.

    Without a `monitor`, the latest checkpoint is the best one.

    Lightning's `save_last` copies only the best checkpoints, so a killed run would lose the epochs
    after them. Lightning also stops within an optimizer step, and such a run cannot resume exactly.
    Here Ctrl-C and SIGTERM stop training after the current step, or after the validation if no
    step of the epoch is left. A second Ctrl-C stops at once and leaves last.ckpt unchanged.
    Tests: test_a_stopped_run_resumes_exactly, test_a_second_interrupt_stops_at_once.
    """

    def __init__(
        self, *, average: int = 1, monitor: str | None = None, **settings: Any
    ) -> None:
        check_integer("average", average, ge=1)
        if average > 1 and monitor is None:
            raise ValueError(f"average must be 1 without a monitor, got {average}")
        super().__init__(
            monitor=monitor,
            save_top_k=average,
            filename="best" if average == 1 else "best-{epoch}",
            save_on_train_epoch_end=True,  # after validation, to resume with the next epoch
            enable_version_counter=False,
            **settings,
        )
        self._previous_handlers: dict[signal.Signals, Any] = {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state whose folder may have been moved.

        Lightning stores absolute paths, and forgets the best checkpoints if the folder differs.
        Test: test_a_moved_run_resumes_with_its_best_checkpoints.
        """

        def move(path: str) -> str:
            return str(Path(self.dirpath, Path(path).name)) if path else path

        paths = {key: move(state_dict[key]) for key in state_dict if key.endswith("_path")}
        best = {move(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict(
            {**state_dict, **paths, "best_k_models": best, "dirpath": self.dirpath}
        )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Handle Ctrl-C and SIGTERM until training ends."""
        super().on_train_start(trainer, pl_module)
        self._stop_requested = False
        if threading.current_thread() is threading.main_thread():  # required by Python
            handler = partial(self._request_stop, trainer)
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous_handlers[number] = signal.signal(number, handler)

    def on_train_batch_end(self, trainer: Trainer, *arguments: Any) -> None:
        """Stop after an optimizer step if requested, except after the last one of an epoch."""
        super().on_train_batch_end(trainer, *arguments)
        *_, batch_idx = arguments
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if stepped and not trainer.is_last_batch:
            self._stop_if_requested(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the checkpoints of an epoch, and stop if requested."""
        # without a validation, the score is that of older weights
        if self.monitor is None or pl_module.validated:
            super().on_train_epoch_end(trainer, pl_module)
        self._save_last(trainer)
        self._stop_if_requested(trainer)

    def on_train_end(self, *arguments: Any) -> None:
        """Restore the signal handlers."""
        super().on_train_end(*arguments)
        self.on_exception()

    def on_exception(self, *_: Any) -> None:
        """Restore the signal handlers."""
        while self._previous_handlers:
            signal.signal(*self._previous_handlers.popitem())

    def _request_stop(self, trainer: Trainer, number: int, _: Any) -> None:
        if not self._stop_requested and (trainer.validating or trainer.is_last_batch):
            print(
                "stopping after the validation of this epoch; "
                "press Ctrl-C again to stop now and keep the previous checkpoint",
                flush=True,
            )
        elif self._stop_requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._stop_requested = True

    def _stop_if_requested(self, trainer: Trainer) -> None:
        """Stop all processes after the same step, because they write the checkpoint together."""
        if trainer.strategy.reduce_boolean_decision(self._stop_requested, all=False):
            self._save_last(trainer)
            raise KeyboardInterrupt

    def _save_last(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(Path(self.dirpath, "last.ckpt"))


class EMA(WeightAveraging):
    """Exponential moving average of the weights, validated and saved instead of them.

    Polyak and Juditsky 1992. `decay` is the share of the old average that each step keeps.
    Lightning removes the average from the module before calibration and word boundaries are fitted
    to it, so the average would not get these buffers.
    Test: test_the_model_is_the_moving_average_with_its_own_calibration.
    Lightning's own EMA rounds weights that do not change. This one interpolates, which is exact.
    Test: test_frozen_weights_stay_bit_identical_and_all_others_change.
    """

    def __init__(self, *, decay: float = 0.999) -> None:
        super().__init__(use_buffers=False, multi_avg_fn=get_ema_multi_avg_fn(decay))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Copy the buffers of the module, which validation has fitted, to the average."""
        averages = self._average_model.module.buffers()
        for average, current in zip(averages, pl_module.buffers(), strict=True):
            average.copy_(current)


def validate_last_epoch(trainer: Trainer) -> None:
    """Make the trainer validate after the last epoch, which may be the best.

    Lightning validates only multiples of `check_val_every_n_epoch`.
    Test: test_the_last_epoch_is_validated.
    """
    if trainer.check_val_every_n_epoch and trainer.current_epoch + 1 == trainer.max_epochs:
        trainer.check_val_every_n_epoch = 1


def training_position(trainer: Trainer) -> tuple[int, int]:
    """Return the current epoch and how many of its batches this process has trained on.

    Lightning keeps counting the batches of a completed epoch until the next one starts, and it does
    not skip the batches of a resumed epoch.
    Test: test_a_stopped_run_resumes_exactly.
    """
    epoch = trainer.fit_loop.epoch_progress.current
    batches = trainer.fit_loop.epoch_loop.batch_progress.current.processed
    return epoch.processed, batches if epoch.processed == epoch.completed else 0


def optimizer_overrides(trainer: Trainer, optimizer: Callable[..., Any]) -> dict[str, bool]:
    """Return settings that replace those of an optimizer factory.

    In float16, a fused optimizer would undo the loss scale only after gradient clipping.
    Test: test_float16_clips_unscaled_gradients.
    """
    is_fused = "fused" in getattr(optimizer, "keywords", {})
    return {"fused": False} if trainer.scaler is not None and is_fused else {}


def raised_by_lightning(error: BaseException) -> bool:
    """Return whether Lightning itself raised an error, such as one about settings of the Trainer.

    Lightning checks some settings only in `fit` and raises errors of several types.
    Test: test_bad_settings_get_one_line_and_exit_code_2.
    """
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__")).startswith("lightning.")
