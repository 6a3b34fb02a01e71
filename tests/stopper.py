"""A callback that stops a training from outside at a chosen step, as a terminal or an operating system does."""

import os
import signal
from typing import Any

from lightning import Callback, Trainer


class Stop(Callback):
    """Sends a signal to the whole process group, data workers too, within a step or in the validation after it.

    SIGTERM goes to the process that trains alone, as from a container or a launcher.
    """

    def __init__(self, how: int, step: int, validating: bool = False, times: int = 1) -> None:
        self.how, self.step, self.validating, self.times = how, step, validating, times

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        if not self.validating and trainer.global_step == self.step:
            self._send()

    def on_validation_batch_start(self, trainer: Trainer, *_: Any) -> None:
        if self.validating and trainer.global_step == self.step:
            self._send()

    def _send(self) -> None:
        while self.times:
            self.times -= 1
            if self.how == signal.SIGTERM:
                os.kill(os.getpid(), self.how)
            else:
                os.killpg(0, self.how)
