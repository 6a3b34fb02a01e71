"""A training from its first step to its last, and what there is to say when it ends before."""

import gc
import traceback
from pathlib import Path

import torch
from lightning import Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from asr.errors import ConfigError, PeerError, StorageError, TrainingError, WorkerError
from asr.evaluation.wer import Score
from asr.training.averaging import load_final_weights
from asr.training.data import SpeechData
from asr.training.module import CTCModule


def fit(
    trainer: Trainer, module: CTCModule, data: SpeechData, checkpoint: Path | None, folder: Path
) -> tuple[Score, list[str]]:
    """Train: the score of the last epoch, and the checkpoints that the module's weights are of in the end.

    Goes on from a checkpoint where one is given. Raises TrainingError for memory that runs out, PeerError for a
    process of the training that is gone, WorkerError for one that reads data, StorageError for data that cannot be
    fetched, KeyboardInterrupt, all with how to go on in `folder`; ConfigError for what the Trainer refuses only now.
    """
    gc.collect()
    gc.freeze()  # data workers share what is there by now, until a search for garbage writes to all of it
    try:
        # Lightning's checkpoints hold more than weights; only those that this program wrote are read
        trainer.fit(module, data, ckpt_path=checkpoint, weights_only=False)
        return module.score, load_final_weights(trainer, module, data)
    except SystemExit:  # how Lightning ends after Ctrl-C
        kept = (folder / "checkpoints" / "last.ckpt").is_file()
        then = (
            f"keeps what was learnt, resume=true dir={folder} goes on"
            if kept
            else "keeps nothing yet"
        )
        raise KeyboardInterrupt(f"interrupted; {folder} {then}") from None
    except (StorageError, WorkerError) as error:
        raise type(error)(
            f"{str(error).rstrip()}; resume=true dir={folder} goes on from the last epoch"
        ) from None
    except torch.OutOfMemoryError:
        raise TrainingError(
            f"the memory of {trainer.strategy.root_device} ran out in a batch of {module.batch_description}; lower "
            "data.batch_seconds (and raise trainer.accumulate_grad_batches instead), or data.max_seconds where one "
            "utterance is too long"
        ) from None
    except (
        RuntimeError,
        ValueError,
        TypeError,
        ArithmeticError,
        MisconfigurationException,
    ) as error:
        lost = isinstance(error, torch.distributed.DistError) or "onnection" in str(
            error
        )  # as NCCL or gloo say it
        if trainer.world_size > 1 and isinstance(error, RuntimeError) and lost:
            raise PeerError(
                "another process of this training has ended, what it said itself tells why; "
                f"resume=true dir={folder} goes on from the last epoch"
            ) from error
        if _raised_by_lightning(error):
            raise ConfigError(f"trainer: {str(error).strip()}") from error
        raise
    finally:
        gc.unfreeze()


def _raised_by_lightning(error: BaseException) -> bool:
    """Whether an error comes from Lightning's own lines, which look at some of the Trainer's settings only there."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__")).startswith("lightning.")
