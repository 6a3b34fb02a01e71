"""The weights that a run ends with: of its best checkpoint, or the mean of its best ones.

The best one's score has gained by the choice, the mean's has not. So the mean is taken where it does no worse on
validation than the worst of those that it is of.
"""

from collections.abc import Iterable
from pathlib import Path

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from asr.training.data import SpeechData
from asr.training.module import CTCModule


def load_final_weights(trainer: Trainer, module: CTCModule, data: SpeechData) -> list[str]:
    """Load a run's last weights into the module, with the score and the calibration that validation gives them.

    Returns the checkpoints that they are of, none where none are kept. It is called after training, in all of its
    processes; the trainer loses its callbacks and loggers, which have had their say.
    """
    keeper = trainer.checkpoint_callback
    if not isinstance(keeper, ModelCheckpoint) or not keeper.best_model_path:
        if not module.validated:  # training ended before these weights were
            _validate(trainer, module, data)
        return []
    several = sorted(keeper.best_k_models)
    if len(several) > 1:
        weights = average_checkpoints(several) if trainer.is_global_zero else None
        module.load_state_dict(trainer.strategy.broadcast(weights))
        _validate(trainer, module, data)
        scores = [float(score) for score in keeper.best_k_models.values()]
        mean_score = float(trainer.callback_metrics[keeper.monitor])
        if trainer.is_global_zero:
            those = f"those of {min(scores):.4f} to {max(scores):.4f}"
            print(
                f"{keeper.monitor} {mean_score:.4f} with the mean of the {len(several)} best checkpoints, {those}"
            )
        good = mean_score <= max(scores) if keeper.mode == "min" else mean_score >= min(scores)
        if good:
            return several
    if trainer.is_global_zero:
        state = torch.load(keeper.best_model_path, map_location="cpu", weights_only=False)
        module.load_state_dict(state["state_dict"])
        module.score = state["score"]
    return [keeper.best_model_path]


def _validate(trainer: Trainer, module: CTCModule, data: SpeechData) -> None:
    trainer.callbacks, trainer.loggers = [], []
    trainer.validate(module, data, verbose=False)


def average_checkpoints(checkpoints: Iterable[str | Path]) -> dict[str, Tensor]:
    """The mean of the weights of checkpoints; of what is not a fraction, as a count, that of the last one."""
    sums: dict[str, Tensor] = {}
    states = [
        torch.load(path, map_location="cpu", weights_only=False, mmap=True)["state_dict"]
        for path in checkpoints
    ]
    for state in states:
        for name, value in state.items():
            sums[name] = sums.get(name, 0) + value.double() if value.is_floating_point() else value
    return {
        name: (value / len(states)).to(states[-1][name].dtype)
        if value.is_floating_point()
        else value
        for name, value in sums.items()
    }
