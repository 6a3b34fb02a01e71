"""Run a training from its first step to its last, and explain how it can fail."""

import gc
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer

from asr.errors import ConfigError, PeerError, StorageError, TrainingError, WorkerError
from asr.training.averaging import load_final_weights
from asr.training.data import SpeechData
from asr.training.lightning_workarounds import raised_by_lightning
from asr.training.module import CTCModule
from asr.training.run_folder import latest_checkpoint
from asr.training.tracking import raised_by_tracker


def fit(
    trainer: Trainer,
    module: CTCModule,
    data: SpeechData,
    checkpoint: Path | None,
    folder: Path,
) -> dict[str, Any]:
    """Train, resuming from a checkpoint if given, and load the final weights into the module.

    Returns:
        The validation scores of the last epoch, and the checkpoints of the final weights.

    Raises:
        TrainingError: If memory runs out or no utterance can be read.
        PeerError: If another process of the training has ended.
        WorkerError: If a process that reads data has ended.
        StorageError: If data cannot be downloaded, or an experiment tracker fails.
        ConfigError: If Lightning rejects a setting of the Trainer.
        KeyboardInterrupt: On Ctrl-C or SIGTERM. The message explains how to resume in `folder`.
    """
    gc.collect()
    gc.freeze()  # data workers share these objects only until a garbage collection writes to them
    try:
        # a checkpoint holds more than weights; the folder has only checkpoints of this program
        trainer.fit(module, data, ckpt_path=checkpoint, weights_only=False)
        keeper, final = trainer.checkpoint_callback, module.score
        checkpoints = load_final_weights(trainer, module, data)  # changes the score
        if keeper is None or keeper.monitor is None:
            final = module.score  # the last weights may have been validated only now
        return {
            "final_val_wer": final.wer,
            "final_val_cer": final.cer,
            "best_checkpoints": checkpoints,
        }
    except (SystemExit, KeyboardInterrupt):  # Lightning exits after Ctrl-C
        if latest_checkpoint(folder).is_file():
            raise KeyboardInterrupt(f"interrupted. {_resume_hint(folder)}") from None
        raise KeyboardInterrupt(f"interrupted; {folder} has no checkpoint yet") from None
    except Exception as error:
        explained = _explain(error, trainer, module, folder)
        if explained is None:
            raise
        raise explained from error
    finally:
        gc.unfreeze()


def _explain(
    error: Exception, trainer: Trainer, module: CTCModule, folder: Path
) -> Exception | None:
    """Return an error that states the cause and the fix, or None if they are unknown."""
    if isinstance(error, StorageError | WorkerError):
        return type(error)(f"{str(error).rstrip()}. {_resume_hint(folder)}")
    if raised_by_tracker(error):
        return StorageError(f"logger: {str(error).rstrip('.')}. {_resume_hint(folder)}")
    if isinstance(error, torch.OutOfMemoryError):
        return TrainingError(
            f"{trainer.strategy.root_device} ran out of memory in a batch of "
            f"{module.batch_description}. Lower data.batch_seconds and raise "
            "trainer.accumulate_grad_batches, or lower data.max_seconds if an utterance is too long"
        )
    is_network_error = isinstance(error, RuntimeError) and (
        isinstance(error, torch.distributed.DistError)
        or "onnection" in str(error)  # of NCCL or gloo
    )
    if is_network_error and trainer.world_size > 1:
        cause = (
            "another process of this training has ended; its own message gives the reason"
        )
        return PeerError(f"{cause}. {_resume_hint(folder)}")
    if raised_by_lightning(error):
        return ConfigError(f"trainer: {str(error).strip()}")
    return None


def _resume_hint(folder: Path) -> str:
    return f"Continue from the last checkpoint with resume=true dir={folder}"
