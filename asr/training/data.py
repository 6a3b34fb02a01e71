"""The data of a training run: selected utterances in, data loaders out."""

from collections.abc import Sequence
from typing import Any

import torch
from lightning import LightningDataModule

from asr.audio.augment import Augment
from asr.data.batch_augment import BatchAugment
from asr.data.dataset import OnError, SpeechDataset
from asr.data.filter import Selection
from asr.data.loader import Loader
from asr.data.sampler import BucketSampler
from asr.errors import TrainingError
from asr.nn.ctc import CTCModel
from asr.training.lightning_workarounds import training_position

CMVN_UTTERANCES = 200  # sample that corpus statistics are computed from


class SpeechData(LightningDataModule):
    """Data loaders of a run. Training data are shuffled and augmented, validation data are not.

    Args:
        batch_seconds: Audio in one batch, including padding.
        workers: Number of processes per loader that read audio.
    """

    def __init__(
        self,
        *,
        train: Selection,
        validation: Selection,
        batch_seconds: float,
        workers: int,
        seed: int,
        augment: Augment,
        batch_augments: Sequence[BatchAugment] = (),
        on_error: OnError,
    ) -> None:
        super().__init__()
        self.selections = {"train": train, "validation": validation}
        self.workers = workers
        self.samplers = {
            split: BucketSampler(
                [example.utterance.duration for example in selection.examples],
                batch_seconds=batch_seconds,
                seed=seed,
                shuffle=split == "train",
            )
            for split, selection in self.selections.items()
        }
        datasets = {
            "train": SpeechDataset(train.examples, augment, batch_augments, seed, on_error),
            "validation": SpeechDataset(validation.examples, on_error=on_error),
        }
        pin_memory = torch.cuda.is_available()
        self.loaders = {
            split: Loader(datasets[split], sampler, workers=workers, pin_memory=pin_memory)
            for split, sampler in self.samplers.items()
        }

    def setup(self, stage: str) -> None:
        """Split the data among the processes and start the validation workers.

        Workers that are forked later would keep the memory of a training step.
        """
        if stage != "fit":
            return
        for sampler in self.samplers.values():
            sampler.shard(self.trainer.global_rank, self.trainer.world_size)
        if self.workers:
            sampler = self.samplers["validation"]
            sampler.resume(0, len(sampler))  # start the workers without reading a batch
            iter(self.loaders["validation"])
            sampler.resume(0, 0)

    def train_dataloader(self) -> Loader:
        """Return the loader of training batches."""
        return self.loaders["train"]

    def val_dataloader(self) -> Loader:
        """Return the loader of validation batches."""
        return self.loaders["validation"]

    def state_dict(self) -> dict[str, Any]:
        """Return the position in training and a description of the data."""
        epoch, batches = training_position(self.trainer)
        return {"epoch": epoch, "batches": batches, "data": self._describe()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume at a position, and print a warning if the data have changed."""
        # Lightning reads the first batches before it sets the epoch of the sampler
        self.samplers["train"].resume(state_dict["epoch"], state_dict["batches"])
        old, new = state_dict["data"], self._describe()
        if old != new and self.trainer.is_global_zero:
            print(
                f"resume=true: an epoch had {old} and now has {new}, so it resumes inexactly"
            )

    def _describe(self) -> str:
        sampler = self.samplers["train"]
        count, seconds = len(sampler.durations), sampler.batch_seconds
        return f"{count:,} utterances in batches of {seconds:g} s"


def fit_cmvn(model: CTCModel, selection: Selection, seed: int, on_error: OnError) -> None:
    """Fit the statistics that the features need to a sample of utterances, not augmented.

    Raises:
        TrainingError: If no utterance of the sample can be read.
        AudioError: If one cannot be read and `on_error` is "raise".
    """
    if getattr(model.features, "normalize", None) not in ("corpus", "speech"):
        return
    generator = torch.Generator().manual_seed(seed)
    sample = torch.randperm(len(selection.examples), generator=generator)[:CMVN_UTTERANCES]
    dataset = SpeechDataset(selection.examples, on_error=on_error)
    batch = dataset[[(index, 0) for index in sample.tolist()]]
    if not len(batch):
        _, reason = batch.failures[0]
        raise TrainingError(
            f"no training utterance could be read. The first error: {reason}"
        )
    model.features.fit_cmvn(batch.waveforms, batch.lengths)
