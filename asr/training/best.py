"""The weights that a run ends with: of its best checkpoint, or the mean of its best ones where that does better."""

from collections.abc import Iterable
from pathlib import Path

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from asr.training.data import SpeechData
from asr.training.module import Recogniser


def settle(trainer: Trainer, module: Recogniser, data: SpeechData) -> list[str]:
    """Load them into the module, with the score and the calibration that validation gives them.

    Returns the checkpoints that they are of. After training, in all of its processes; the trainer loses its callbacks
    and loggers, which have had their say.
    """
    keeper = trainer.checkpoint_callback
    if not isinstance(keeper, ModelCheckpoint) or not keeper.best_model_path:
        return []
    several = sorted(keeper.best_k_models)
    if len(several) > 1:
        mean = average(several) if trainer.is_global_zero else None
        module.load_state_dict(trainer.strategy.broadcast(mean))
        trainer.callbacks, trainer.loggers = [], []
        trainer.validate(module, data, verbose=False)
        now, then = (float(score) for score in (trainer.callback_metrics[keeper.monitor], keeper.best_model_score))
        if trainer.is_global_zero:
            print(f"mean of the {len(several)} best checkpoints: {keeper.monitor} {now:.4f}, of the best {then:.4f}")
        if now < then if keeper.mode == "min" else now > then:
            return several
    if trainer.is_global_zero:
        state = torch.load(keeper.best_model_path, map_location="cpu", weights_only=False)
        module.load_state_dict(state["state_dict"])
        module.score = state["score"]
    return [keeper.best_model_path]


def average(checkpoints: Iterable[str | Path]) -> dict[str, Tensor]:
    """The mean of the weights of checkpoints; of what is not a fraction, as a count, that of the last one."""
    sums: dict[str, Tensor] = {}
    states = [torch.load(path, map_location="cpu", weights_only=False, mmap=True)["state_dict"] for path in checkpoints]
    for state in states:
        for name, value in state.items():
            sums[name] = sums.get(name, 0) + value.double() if value.is_floating_point() else value
    return {
        name: (value / len(states)).to(states[-1][name].dtype) if value.is_floating_point() else value
        for name, value in sums.items()
    }
