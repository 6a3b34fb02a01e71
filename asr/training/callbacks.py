"""What a person sees of a run, and what is kept of it."""

import gc
import signal
import sys
import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from asr.evaluation import plots as picture
from asr.files import atomic_write
from asr.training.module import CTCModule
from asr.validation import check_integer


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and moves it there, so that a run killed meanwhile keeps the last one."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        with atomic_write(Path(path)) as partial:
            super().save_checkpoint(checkpoint, partial, storage_options)


class Checkpoints(ModelCheckpoint):
    """The best `average` checkpoints by `monitor`, and the last: after every epoch, and when a run is interrupted.

    Lightning's own `save_last` keeps the last one of the best: what came after it would be lost with a killed run.
    Ctrl-C waits for the end of a step of the optimizer, or of an epoch where only its validation is left, so that
    whatever is kept can be gone on with exactly. A second one does not wait: it leaves the checkpoint that is there.
    SIGTERM, by which a container or a launcher asks a run to end, does the same, however often it comes.
    """

    _former: Sequence[tuple[signal.Signals, Any]] = ()  # what the signals did before training
    _asked = False

    def __init__(self, *, average: int = 1, **settings: Any) -> None:
        """Raises ConfigError for an `average` below 1. `settings` are ModelCheckpoint's."""
        super().__init__(
            save_top_k=check_integer("average", average, ge=1),
            filename="best" if average == 1 else "best-{epoch}",
            save_on_train_epoch_end=True,  # when validation is over: a run goes on with the next epoch
            enable_version_counter=False,
            **settings,
        )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        if threading.current_thread() is threading.main_thread():
            self._asked = False
            self._former = [
                (how, signal.signal(how, lambda number, _: self._ask(trainer, number)))
                for how in (signal.SIGINT, signal.SIGTERM)
            ]

    def _ask(self, trainer: Trainer, how: int) -> None:
        if self._asked:
            if how == signal.SIGINT:
                raise KeyboardInterrupt
            return
        self._asked = True
        if trainer.validating or trainer.is_last_batch:
            print(
                "stopping when this epoch is validated; Ctrl-C again: now, as of the last checkpoint",
                flush=True,
            )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if stepped and not trainer.is_last_batch and self._anyone_asked(trainer):
            self._save_last(trainer)
            raise KeyboardInterrupt

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        self._save_last(trainer)
        if self._anyone_asked(trainer):
            raise KeyboardInterrupt

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._release()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_end(trainer, pl_module)
        self._release()

    def _anyone_asked(self, trainer: Trainer) -> bool:
        """Whether any process was asked: they write a checkpoint together, so they must stop at the same step."""
        return trainer.strategy.reduce_boolean_decision(self._asked, all=False)

    def _save_last(self, trainer: Trainer) -> None:
        if self.dirpath:
            trainer.save_checkpoint(Path(self.dirpath) / "last.ckpt")

    def _release(self) -> None:
        for how, former in self._former:
            signal.signal(how, former)
        self._former = ()


class EMA(EMAWeightAveraging):
    """Exponential moving average of the weights: what is validated, and what the checkpoints and the model file hold.

    Polyak and Juditsky 1992. `decay` is the share of the former average that stays in each step.
    """

    def __init__(self, *, decay: float = 0.999) -> None:
        super().__init__(decay=decay, use_buffers=False)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        # validation finds it for the average, but when the weights have changed places again already
        for name in (
            "model.calibration_params",
            "model.boundary_params",
        ):  # what validation found of the average
            checkpoint["state_dict"][name] = checkpoint["current_model_state"][name]


class ProgressReport(Callback):
    """A bar over the whole run on a terminal; elsewhere a line after each validation. Both say how long is left."""

    def __init__(self) -> None:
        self.bar: Progress | None = None
        self.start = (0.0, 0)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.start = (time.monotonic(), trainer.global_step)
        if sys.stderr.isatty() and trainer.is_global_zero:
            columns = (
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
            )
            self.bar = Progress(TextColumn("{task.description}"), *columns)
            self.bar.start()
            self.task = self.bar.add_task(
                "training", total=self._steps(trainer), completed=trainer.global_step
            )

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if self.bar is not None:
            self.bar.update(
                self.task, completed=trainer.global_step, description=self._line(trainer)
            )

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or self.bar is not None or not trainer.is_global_zero:
            return
        began, first = self.start
        done = trainer.global_step - first
        left = (
            (time.monotonic() - began) / max(1, done) * (self._steps(trainer) - trainer.global_step)
        )
        print(f"{self._line(trainer)}  left {timedelta(seconds=round(max(0.0, left)))}", flush=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    @staticmethod
    def _steps(trainer: Trainer) -> int:
        return int(trainer.estimated_stepping_batches)

    @staticmethod
    def _line(trainer: Trainer) -> str:
        metrics = trainer.callback_metrics
        parts = [f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"]
        parts += [f"loss {metrics['train/loss']:.3f}"] if "train/loss" in metrics else []
        parts += (
            [f"WER {metrics['val/wer']:.1%}  CER {metrics['val/cer']:.1%}"]
            if "val/wer" in metrics
            else []
        )
        return "  ".join(parts)


class EmissionPlots(Callback):
    """A few validation utterances every `epochs`: reference and hypothesis as text, emissions as pictures.

    They go to `folder` (the last ones stay), and to TensorBoard where it is among the loggers.
    """

    def __init__(self, *, folder: str, epochs: int = 5) -> None:
        """Raises ConfigError for `epochs` below 1."""
        self.folder = Path(folder)
        self.epochs = check_integer("epochs", epochs, ge=1)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if (
            trainer.sanity_checking
            or not trainer.is_global_zero
            or not isinstance(pl_module, CTCModule)
        ):
            return
        last = trainer.current_epoch + 1 == trainer.max_epochs
        if trainer.current_epoch % self.epochs and not last:
            return
        self._draw(trainer, pl_module)
        gc.collect()  # figures are circles of references, which hold 3 MB each until they are looked for

    def _draw(self, trainer: Trainer, pl_module: CTCModule) -> None:
        model, lines = pl_module.model, []
        seconds_per_frame: float = model.features.seconds_per_frame
        boards = [
            logger.experiment
            for logger in trainer.loggers
            if hasattr(logger.experiment, "add_figure")
        ]
        for i, heard in enumerate(pl_module.samples):
            lines += [
                f"{heard.name}\n  said   {heard.pair.reference}\n  heard  {heard.pair.hypothesis}\n"
            ]
            figure = picture.plot_emissions(
                heard.features,
                heard.log_probs,
                model.tokenizer,
                seconds_per_frame=seconds_per_frame,
                reference=heard.pair.reference,
                hypothesis=heard.pair.hypothesis,
            )
            picture.save_figure(figure, self.folder / f"{i}.png")
            for board in boards:
                board.add_figure(f"utterance/{i}", figure, trainer.global_step)
                board.add_text(
                    f"utterance/{i}", lines[-1].replace("\n", "  \n"), trainer.global_step
                )
        if lines:
            (self.folder / "utterances.txt").write_text("".join(lines), encoding="utf-8")
