"""The data of a run: manifests in, loaders out."""

import torch
from lightning import LightningDataModule

from asr.audio.augment import Augment
from asr.data.dataset import OnError, SpeechDataset
from asr.data.filter import Selection
from asr.data.loader import Loader
from asr.data.sampler import BucketSampler


class SpeechData(LightningDataModule):
    """Loaders for selections of utterances: training in a random order and augmented, validation plain.

    `batch_seconds` is the audio in one batch with its padding, `workers` the processes that read and decode.
    """

    def __init__(
        self,
        *,
        train: Selection,
        validation: Selection,
        batch_seconds: float,
        workers: int = 0,
        seed: int = 0,
        augment: Augment | None = None,
        on_error: OnError = "skip",
    ) -> None:
        super().__init__()
        self.selections = {"train": train, "validation": validation}
        self.workers = workers
        self.seed = seed
        self.augment = augment
        self.on_error = on_error
        self._validation: Loader | None = None
        self.samplers = {
            name: BucketSampler(
                [example.utterance.duration for example in selection.examples],
                batch_seconds=batch_seconds,
                seed=seed,
                shuffle=name == "train",
            )
            for name, selection in self.selections.items()
        }

    def setup(self, stage: str) -> None:
        """Start validation's processes. Forked in mid-training they would hold what a step takes, until the end."""
        if self._validation is None:
            self._validation, sampler = (
                self._loader("validation", None),
                self.samplers["validation"],
            )
            if self.workers:
                sampler.resume(0, len(sampler))  # they have nothing to do yet
                iter(self._validation)  # the loader keeps it, and them
                sampler.resume(0, 0)

    def train_dataloader(self) -> Loader:
        return self._loader("train", self.augment)

    def val_dataloader(self) -> Loader:
        assert self._validation is not None
        return self._validation

    def state_dict(self) -> dict[str, float]:
        """Where training is: the epoch, and how many of its batches this process has had; and of what it is made."""
        assert self.trainer is not None
        loop = self.trainer.fit_loop
        epoch = loop.epoch_progress.current
        begun = (
            epoch.processed == epoch.completed
        )  # else it is over, and what is kept is where the next one begins
        batches = loop.epoch_loop.batch_progress.current.processed if begun else 0
        return {"epoch": epoch.processed, "batches": batches, **self._made_of()}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Go on from there; Lightning asks for the first batches before it says which epoch it is."""
        self.samplers["train"].resume(int(state_dict["epoch"]), int(state_dict["batches"]))
        now = self._made_of()
        then = {name: state_dict.get(name, now[name]) for name in now}
        if then != now and self.trainer is not None and self.trainer.is_global_zero:
            had, has = (
                f"{of['utterances']:,} utterances in batches of {of['batch_seconds']:g} s"
                for of in (then, now)
            )
            print(
                f"resume=true: an epoch had {had} and has {has}; an interrupted one is not gone on with exactly"
            )

    def _made_of(self) -> dict[str, float]:
        sampler = self.samplers["train"]
        return {"utterances": len(sampler.durations), "batch_seconds": sampler.batch_seconds}

    def _loader(self, part: str, augment: Augment | None) -> Loader:
        if self.trainer is not None:
            self.samplers[part].shard(self.trainer.global_rank, self.trainer.world_size)
        dataset = SpeechDataset(
            self.selections[part].examples, augment=augment, seed=self.seed, on_error=self.on_error
        )
        pin = torch.cuda.is_available()
        return Loader(dataset, self.samplers[part], workers=self.workers, pin_memory=pin)
