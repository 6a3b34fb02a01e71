"""Batches of waveforms and labels, read and decoded in worker processes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from asr import audio
from asr.audio.augment import Augment
from asr.audio.remote import read_ranges
from asr.data.batch_augment import BatchAugment, Clip
from asr.data.filter import Example
from asr.data.manifest import Utterance
from asr.errors import AudioError

OnError = Literal["skip", "raise"]


@dataclass(frozen=True)
class Batch:
    """Waveforms and labels of several utterances, padded with zeros.

    A batch has no utterances if none of its recordings could be read.

    Attributes:
        waveforms: Samples (B, S).
        lengths: Valid samples of each waveform (B,).
        targets: Labels (B, L).
        target_lengths: Valid labels of each utterance (B,).
        frames_needed: Least number of encoder frames U that can emit the labels (B,).
        utterances: The utterances, in the order of the rows.
        failures: (utterance, reason) of each recording that could not be read.
    """

    waveforms: Tensor
    lengths: Tensor
    targets: Tensor
    target_lengths: Tensor
    frames_needed: Tensor
    utterances: tuple[Utterance, ...]
    failures: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.utterances)

    def to(self, device: torch.device | str) -> "Batch":
        """Return the batch with its tensors on a device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """Return the batch in page-locked memory, from which a GPU copies asynchronously."""
        return self._map(Tensor.pin_memory)

    def __reduce__(self) -> tuple[Any, ...]:
        """Send only the waveforms through shared memory when a worker returns the batch.

        The receiver opens a connection for each tensor in shared memory, which delays the
        training step. Small tensors are quicker inside the message.
        """
        small = (self.lengths, self.targets, self.target_lengths, self.frames_needed)
        arrays = [tensor.numpy() for tensor in small]
        return _rebuild_batch, (self.waveforms, arrays, self.utterances, self.failures)

    def _map(self, function: Callable[[Tensor], Tensor]) -> "Batch":
        fields = vars(self).items()
        tensors: Any = {name: function(x) for name, x in fields if isinstance(x, Tensor)}
        return replace(self, **tensors)


def _rebuild_batch(waveforms: Tensor, arrays: list[np.ndarray], *others: Any) -> Batch:
    tensors: Any = map(torch.from_numpy, arrays)
    return Batch(waveforms, *tensors, *others)


@dataclass(eq=False)
class SpeechDataset(Dataset[Batch]):
    """Examples that are read a batch at a time.

    An item is a list of (index, epoch) pairs, as `BucketSampler` yields them.

    Attributes:
        augment: Changes each waveform. Its random generator depends only on seed, epoch, and
            index, so the number of workers does not change the results.
        batch_augments: Change the clips of a batch, one after the other. Their random generator
            depends only on seed, epoch, and first index.
        on_error: "skip" lists an unreadable recording in the batch's failures, "raise" raises
            its AudioError.
    """

    examples: Sequence[Example]
    augment: Augment | None = None
    batch_augments: Sequence[BatchAugment] = ()
    seed: int = 0
    on_error: OnError = "skip"

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, items: list[tuple[int, int]]) -> Batch:
        clips: list[Clip] = []
        failures = []
        sources = read_ranges([self.examples[index].utterance.audio for index, _ in items])
        for (index, epoch), source in zip(items, sources, strict=True):
            example = self.examples[index]
            utterance = example.utterance
            try:
                if isinstance(source, AudioError):
                    raise source
                waveform = audio.load(
                    source,
                    offset=utterance.offset,
                    duration=utterance.duration,
                    channel=utterance.channel,
                    name=str(utterance.audio),
                )
            except AudioError as error:
                if self.on_error == "raise":
                    raise
                failures.append((utterance.name, str(error)))
                continue
            if self.augment is not None:
                rng = np.random.default_rng((self.seed, epoch, index))
                waveform = self.augment(waveform, rng)
            clips.append((example, waveform))
        if clips and self.batch_augments:
            index, epoch = items[0]
            rng = np.random.default_rng(
                (self.seed, epoch, index, 1)
            )  # 1: not that of a clip
            for augment in self.batch_augments:
                clips = augment(clips, rng)
        return collate(clips, failures)


def collate(clips: Sequence[Clip], failures: Sequence[tuple[str, str]] = ()) -> Batch:
    """Return a batch of examples and their waveforms (S,)."""
    examples = [example for example, _ in clips]
    waveforms = [waveform for _, waveform in clips]
    labels = [example.labels for example in examples]
    frames_needed = [example.frames_needed for example in examples]
    return Batch(
        *_pad(waveforms, torch.float32),  # (B, S), (B,)
        *_pad(labels, torch.int64),  # (B, L), (B,)
        torch.tensor(frames_needed, dtype=torch.int64),
        tuple(example.utterance for example in examples),
        tuple(failures),
    )


def _pad(rows: Sequence[Any], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return rows (N,) as one tensor (B, N) padded with zeros, and their lengths (B,)."""
    lengths = [len(row) for row in rows]
    padded = torch.zeros(len(rows), max(lengths, default=0), dtype=dtype)
    for target, row in zip(padded, rows, strict=True):
        target[: len(row)] = torch.as_tensor(row, dtype=dtype)
    return padded, torch.tensor(lengths, dtype=torch.int64)
