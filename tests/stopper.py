"""A callback that interrupts or kills a training run at a chosen step."""

import os
import signal
from typing import Any

from lightning import Callback, Trainer


class Stop(Callback):
    """Callback that sends a signal during a training step, or during the validation after it.

    The whole process group receives it, data workers included, as when a terminal sends it. SIGTERM
    goes only to the training process, as when a container or a launcher sends it.

    Args:
        how: Number of the signal.
        step: Optimizer steps before the signal.
        validating: Whether to send the signal during validation.
        times: How often to send it.
    """

    def __init__(
        self, how: int, step: int, validating: bool = False, times: int = 1
    ) -> None:
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
