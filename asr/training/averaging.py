"""Choose the final weights of a run: the average of its best checkpoints, or the best one.

Selection makes the best checkpoint's score optimistic, so prefer the average unless it is worse
than all its members.
"""

from collections.abc import Sequence
from pathlib import Path

from lightning import Trainer
from torch import Tensor

from asr.training.data import SpeechData
from asr.training.module import CTCModule
from asr.training.run_folder import load_checkpoint


def load_final_weights(trainer: Trainer, module: CTCModule, data: SpeechData) -> list[str]:
    """Load the final weights of a run into the module, with their score and calibration.

    Call it in every process after training. It may remove the trainer's callbacks and loggers.

    Returns:
        The checkpoints that the weights come from; empty if the run keeps none.
    """
    keeper = trainer.checkpoint_callback
    if keeper is None or not keeper.best_model_path:
        if not module.validated:
            _validate(trainer, module, data)
        return []
    checkpoints = sorted(keeper.best_k_models)
    if len(checkpoints) > 1:
        weights = average_checkpoints(checkpoints) if trainer.is_global_zero else None
        module.load_state_dict(trainer.strategy.broadcast(weights))
        _validate(trainer, module, data)
        average = trainer.callback_metrics[keeper.monitor]
        scores = keeper.best_k_models.values()
        if trainer.is_global_zero:
            print(
                f"{keeper.monitor} {average:.4f} with the average of the {len(scores)} best "
                f"checkpoints, {min(scores):.4f} to {max(scores):.4f} with each of them"
            )
        if average <= max(scores) if keeper.mode == "min" else average >= min(scores):
            return checkpoints
    if trainer.is_global_zero:
        checkpoint = load_checkpoint(keeper.best_model_path)
        module.load_state_dict(checkpoint["state_dict"])
        module.score = checkpoint["score"]
    if keeper.monitor is None and not module.validated:  # a limit stopped within an epoch
        module.load_state_dict(trainer.strategy.broadcast(module.state_dict()))
        _validate(trainer, module, data)
    return [keeper.best_model_path]


def average_checkpoints(checkpoints: Sequence[str | Path]) -> dict[str, Tensor]:
    """Return the mean of the checkpoints' weights. Integers, such as counts, are the last ones."""
    states = [load_checkpoint(path)["state_dict"] for path in checkpoints]
    average = dict(states[-1])
    for name, value in average.items():
        if value.is_floating_point():
            mean = sum(state[name].double() for state in states) / len(states)
            average[name] = mean.to(value.dtype)
    return average


def _validate(trainer: Trainer, module: CTCModule, data: SpeechData) -> None:
    trainer.callbacks, trainer.loggers = [], []
    trainer.validate(module, data, verbose=False)
