"""The weights that a run ends with."""

from types import SimpleNamespace

import pytest
import torch

from asr.errors import ConfigError
from asr.training.averaging import average_checkpoints, load_final_weights
from asr.training.callbacks import Checkpoints


@pytest.fixture
def checkpoints(tmp_path):
    """Three, of a weight of 1, 2 and 6 and a count of as much; the second one is the best."""
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


def ended(checkpoints, *, scores, mean, mode="min"):
    """A trainer whose checkpoints had those scores, and by whose validation the mean of their weights has its own."""
    keeper = Checkpoints(average=len(scores), monitor="val/wer", mode=mode)
    keeper.best_k_models = dict(zip(checkpoints, map(torch.tensor, scores), strict=False))
    best = (min if mode == "min" else max)(
        keeper.best_k_models, key=keeper.best_k_models.get, default=""
    )
    keeper.best_model_path, keeper.best_model_score = best, keeper.best_k_models.get(best)

    def validate(module, data, verbose):
        assert not trainer.callbacks
        assert not trainer.loggers
        module.score = "by validation"
        trainer.callback_metrics["val/wer"] = torch.tensor(mean)

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
    ("mode", "mean"), [("min", 0.19), ("min", 0.4), ("max", 0.41), ("max", 0.2)]
)
def test_the_mean_of_the_best_is_the_model_unless_validation_finds_it_worse_than_each(
    checkpoints, capsys, mode, mean
):
    module = Module()
    found = load_final_weights(
        ended(checkpoints, scores=[0.3, 0.2, 0.4], mean=mean, mode=mode), module, None
    )
    assert found == checkpoints
    assert module.weight.tolist() == [3.0, 3.0]
    assert module.count == 6
    assert module.score == "by validation"
    assert (
        f"val/wer {mean:.4f} with the mean of the 3 best checkpoints, those of 0."
        in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("scores", "mode", "mean", "best"),
    [([0.3, 0.2, 0.4], "min", 0.41, 1), ([0.3, 0.2], "min", 0.5, 1), ([0.3, 0.2], "max", 0.1, 0)],
)
def test_where_it_does_the_best_one_is(checkpoints, scores, mode, mean, best):
    module = Module()
    assert load_final_weights(
        ended(checkpoints, scores=scores, mean=mean, mode=mode), module, None
    ) == [checkpoints[best]]
    assert module.weight.tolist() == [best + 1.0] * 2
    assert module.score == f"of checkpoint {best}"


def test_a_single_one_is_not_validated_again(checkpoints):
    trainer, module = ended(checkpoints, scores=[0.3], mean=0.0), Module()
    assert load_final_weights(trainer, module, None) == [checkpoints[0]]
    assert module.weight.tolist() == [1.0, 1.0]
    assert trainer.loggers == ["csv"]


def test_without_checkpoints_the_weights_stay():
    module = Module()
    trainer = ended([], scores=[0.3], mean=0.0)
    assert load_final_weights(trainer, module, None) == []
    trainer.checkpoint_callback = None
    assert load_final_weights(trainer, module, None) == []
    assert module.weight.tolist() == [0.0, 0.0]
    assert module.score is None
    module.validated = False
    assert load_final_weights(trainer, module, None) == []
    assert module.score == "by validation"


def test_a_mean_is_taken_in_the_precision_of_the_weights(checkpoints):
    mean = average_checkpoints(checkpoints[:2])
    assert mean["weight"].dtype == torch.float32
    assert mean["weight"].tolist() == [1.5, 1.5]
    assert mean["count"] == 2


def test_no_checkpoint_at_all_is_no_number_to_average():
    with pytest.raises(
        ConfigError, match=r"callbacks\.checkpoints\.average is 0; it must be at least 1"
    ):
        Checkpoints(average=0)
