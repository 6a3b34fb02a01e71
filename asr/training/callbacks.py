"""Callbacks that show a run: its progress, and plots of validation utterances."""

import gc
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from rich import progress

from asr.evaluation.plots import plot_emissions, save_figure
from asr.training.module import CTCModule
from asr.validation import check_integer


class ProgressReport(Callback):
    """A bar over the whole run on a terminal, otherwise one line per validation.

    Both show the remaining time.
    """

    def __init__(self) -> None:
        self.bar: progress.Progress | None = None
        self.start_time, self.start_step = 0.0, 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the bar if the output is a terminal."""
        self.start_time, self.start_step = time.monotonic(), trainer.global_step
        if sys.stderr.isatty() and trainer.is_global_zero:
            self.bar = progress.Progress(
                "{task.description}",
                progress.BarColumn(),
                progress.MofNCompleteColumn(),
                progress.TimeElapsedColumn(),
                "left",
                progress.TimeRemainingColumn(),
            )
            self.bar.start()
            total = int(trainer.estimated_stepping_batches)
            self.task = self.bar.add_task(
                "training", total=total, completed=self.start_step
            )

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Advance the bar."""
        if self.bar is not None:
            line = _status_line(trainer)
            self.bar.update(self.task, completed=trainer.global_step, description=line)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the scores and the remaining time unless there is a bar."""
        if trainer.sanity_checking or self.bar is not None or not trainer.is_global_zero:
            return
        steps = max(1, trainer.global_step - self.start_step)
        steps_left = max(0, int(trainer.estimated_stepping_batches) - trainer.global_step)
        seconds = (time.monotonic() - self.start_time) / steps * steps_left
        left = timedelta(seconds=round(seconds))
        print(f"{_status_line(trainer)}  left {left}", flush=True)

    def on_train_end(self, *_: Any) -> None:
        """Remove the bar."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    on_exception = on_train_end


class EmissionPlots(Callback):
    """Plots and transcripts of a few validation utterances, every `epochs` epochs.

    They replace the previous ones in `folder`. TensorBoard and Weights & Biases show them if they
    are loggers.
    """

    def __init__(self, *, folder: str, epochs: int = 5) -> None:
        self.folder = Path(folder)
        self.epochs = check_integer("epochs", epochs, ge=1)

    def on_validation_end(self, trainer: Trainer, pl_module: CTCModule) -> None:
        """Plot the samples of the validation if the epoch is due or the last."""
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        is_last = trainer.current_epoch + 1 == trainer.max_epochs
        if is_last or trainer.current_epoch % self.epochs == 0:
            self._plot_samples(trainer, pl_module)
            gc.collect()  # a figure is a reference cycle of 3 MB

    def _plot_samples(self, trainer: Trainer, module: CTCModule) -> None:
        experiments = [logger.experiment for logger in trainer.loggers]
        boards = [board for board in experiments if hasattr(board, "add_figure")]
        texts = ""
        for i, sample in enumerate(module.validation.samples):
            reference, hypothesis = sample.scored.reference, sample.scored.hypothesis
            text = f"{sample.name}\n  reference   {reference}\n  hypothesis  {hypothesis}\n"
            figure = plot_emissions(
                sample.features,
                sample.log_probs,
                module.model.tokenizer,
                seconds_per_frame=module.model.features.seconds_per_frame,
                reference=reference,
                hypothesis=hypothesis,
            )
            path = self.folder / f"{i}.png"
            save_figure(figure, path)
            tag, markdown = f"utterance/{i}", text.replace("\n", "  \n")
            for board in boards:
                board.add_figure(tag, figure, trainer.global_step)
                board.add_text(tag, markdown, trainer.global_step)
            for logger in trainer.loggers:
                if isinstance(logger, WandbLogger):
                    logger.log_image(tag, [str(path)], trainer.global_step, caption=[text])
            texts += text
        if texts:
            (self.folder / "utterances.txt").write_text(texts, encoding="utf-8")


def _status_line(trainer: Trainer) -> str:
    metrics = trainer.callback_metrics
    parts = [f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"]
    if "train/loss" in metrics:
        parts.append(f"loss {metrics['train/loss']:.3f}")
    if "val/wer" in metrics:
        parts.append(f"WER {metrics['val/wer']:.1%}  CER {metrics['val/cer']:.1%}")
    return "  ".join(parts)
