"""The final weights of a run."""

from types import SimpleNamespace

import pytest
import torch

from asr.training.averaging import average_checkpoints, load_final_weights
from asr.training.lightning_workarounds import Checkpoints


@pytest.fixture
def checkpoints(tmp_path):
    """Return three checkpoints with a weight and a count of 1, 2, and 6. The second is the best."""
    paths = [str(tmp_path / f"best-epoch={i}.ckpt") for i in range(3)]
    for i, (path, value) in enumerate(zip(paths, (1, 2, 6), strict=True)):
        state = {"weight": torch.full((2,), float(value)), "count": torch.tensor(value)}
        torch.save({"state_dict": state, "score": f"of checkpoint {i}"}, path)
    return paths


class Module(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(2))
        self.register_buffer("count", torch.tensor(0))
        self.score, self.validated = None, True


def finished_trainer(checkpoints, *, scores, average_score, mode="min"):
    """Return a trainer whose checkpoints and whose average of checkpoints have the given scores."""
    keeper = Checkpoints(average=len(scores), monitor="val/wer", mode=mode)
    keeper.best_k_models = dict(zip(checkpoints, map(torch.tensor, scores), strict=False))
    choose = min if mode == "min" else max
    best = choose(keeper.best_k_models, key=keeper.best_k_models.get, default="")
    keeper.best_model_path, keeper.best_model_score = best, keeper.best_k_models.get(best)

    def validate(module, data, verbose):
        assert not trainer.callbacks
        assert not trainer.loggers
        module.score = "by validation"
        trainer.callback_metrics["val/wer"] = torch.tensor(average_score)

    trainer = SimpleNamespace(
        checkpoint_callback=keeper,
        is_global_zero=True,
        callbacks=[keeper],
        loggers=["csv"],
        callback_metrics={},
        strategy=SimpleNamespace(broadcast=lambda value: value),
        validate=validate,
    )
    return trainer


@pytest.mark.parametrize(
    ("mode", "average_score"), [("min", 0.19), ("min", 0.4), ("max", 0.41), ("max", 0.2)]
)
def test_the_final_model_is_the_average_unless_all_members_score_better(
    checkpoints, capsys, mode, average_score
):
    module = Module()
    trainer = finished_trainer(
        checkpoints, scores=[0.3, 0.2, 0.4], average_score=average_score, mode=mode
    )
    assert load_final_weights(trainer, module, None) == checkpoints
    assert module.weight.tolist() == [3.0, 3.0]
    assert module.count == 6
    assert module.score == "by validation"
    line = f"val/wer {average_score:.4f} with the average of the 3 best checkpoints, 0."
    assert line in capsys.readouterr().out


@pytest.mark.parametrize(
    ("scores", "mode", "average_score", "best"),
    [
        ([0.3, 0.2, 0.4], "min", 0.41, 1),
        ([0.3, 0.2], "min", 0.5, 1),
        ([0.3, 0.2], "max", 0.1, 0),
    ],
)
def test_the_final_model_is_the_best_checkpoint_if_the_average_is_worse_than_all(
    checkpoints, scores, mode, average_score, best
):
    module = Module()
    trainer = finished_trainer(
        checkpoints, scores=scores, average_score=average_score, mode=mode
    )
    assert load_final_weights(trainer, module, None) == [checkpoints[best]]
    assert module.weight.tolist() == [best + 1.0] * 2
    assert module.score == f"of checkpoint {best}"


def test_a_single_checkpoint_is_not_validated_again(checkpoints):
    trainer, module = (
        finished_trainer(checkpoints, scores=[0.3], average_score=0.0),
        Module(),
    )
    assert load_final_weights(trainer, module, None) == [checkpoints[0]]
    assert module.weight.tolist() == [1.0, 1.0]
    assert trainer.loggers == ["csv"]


def test_without_checkpoints_the_weights_stay_and_are_validated():
    module = Module()
    trainer = finished_trainer([], scores=[0.3], average_score=0.0)
    assert load_final_weights(trainer, module, None) == []
    trainer.checkpoint_callback = None
    assert load_final_weights(trainer, module, None) == []
    assert module.weight.tolist() == [0.0, 0.0]
    assert module.score is None
    module.validated = False
    assert load_final_weights(trainer, module, None) == []
    assert module.score == "by validation"


def test_the_average_has_the_precision_of_the_weights(checkpoints):
    average = average_checkpoints(checkpoints[:2])
    assert average["weight"].dtype == torch.float32
    assert average["weight"].tolist() == [1.5, 1.5]
    assert average["count"] == 2


def test_the_number_of_checkpoints_to_average_must_be_positive():
    with pytest.raises(ValueError, match=r"average must be >= 1, got 0"):
        Checkpoints(average=0)
