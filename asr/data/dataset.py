"""Batches of waveforms and labels, read and decoded where they are asked for: in worker processes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from asr import audio
from asr.audio import remote as storage
from asr.audio.augment import Augment
from asr.data.filter import Example
from asr.data.manifest import Utterance
from asr.errors import AudioError

OnError = Literal["skip", "raise"]


@dataclass(frozen=True)
class Batch:
    """Waveforms (B, S) with lengths (B,), labels (B, L) with lengths (B,), and whose they are.

    `frames_needed` (B,) is the least U that can emit the labels. `failures` holds (utterance, reason) of those that
    could not be read; a batch may be left with none at all.
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

    def to(self, device: torch.device | str, non_blocking: bool = True) -> "Batch":
        """The batch with its tensors on a device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """The batch in page-locked memory, from which a GPU copies without waiting."""
        return self._map(lambda tensor: tensor.pin_memory())

    def __reduce__(self) -> tuple[Any, ...]:
        """From a worker the waveforms come through shared memory, and what is small with the message itself.

        Each tensor of shared memory is asked for by a connection of its own, which the step of training waits for.
        """
        small = (self.lengths, self.targets, self.target_lengths, self.frames_needed)
        return _received, (
            self.waveforms,
            [tensor.numpy() for tensor in small],
            self.utterances,
            self.failures,
        )

    def _map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        return replace(
            self,
            waveforms=change(self.waveforms),
            lengths=change(self.lengths),
            targets=change(self.targets),
            target_lengths=change(self.target_lengths),
            frames_needed=change(self.frames_needed),
        )


def _received(waveforms: Tensor, small: list[np.ndarray], utterances: Any, failures: Any) -> Batch:
    lengths, targets, target_lengths, frames_needed = map(torch.from_numpy, small)
    return Batch(waveforms, lengths, targets, target_lengths, frames_needed, utterances, failures)


class SpeechDataset(Dataset[Batch]):
    """Examples by the batch: an item is a list of (index, epoch), as the sampler gives it.

    `augment` changes waveforms, with a generator that depends on seed, epoch and utterance alone, so that the numbers
    are the same whatever the number of workers. `on_error` says what an unreadable file does: "skip" puts it among the
    batch's failures, "raise" raises its AudioError.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        *,
        augment: Augment | None = None,
        seed: int = 0,
        on_error: OnError = "skip",
    ) -> None:
        self.examples = examples
        self.augment = augment
        self.seed = seed
        self.on_error = on_error

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, items: list[tuple[int, int]]) -> Batch:
        read, waveforms, failures = [], [], []
        sources = storage.read_ranges([self.examples[index].utterance.audio for index, _ in items])
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
                    name=str(utterance.audio),
                )
            except AudioError as error:
                if self.on_error == "raise":
                    raise
                failures.append((utterance.name, str(error)))
                continue
            if self.augment is not None:
                waveform = self.augment(waveform, np.random.default_rng((self.seed, epoch, index)))
            read.append(example)
            waveforms.append(waveform)
        return collate(read, waveforms, failures)


def collate(
    examples: Sequence[Example],
    waveforms: Sequence[np.ndarray],
    failures: Sequence[tuple[str, str]] = (),
) -> Batch:
    """Pad waveforms and labels with zeros to the longest."""
    lengths = torch.tensor([len(w) for w in waveforms], dtype=torch.int64)
    padded = torch.zeros(len(waveforms), max((len(w) for w in waveforms), default=0))
    for row, waveform in zip(padded, waveforms, strict=True):
        row[: len(waveform)] = torch.from_numpy(waveform)
    target_lengths = torch.tensor([len(e.labels) for e in examples], dtype=torch.int64)
    targets = torch.zeros(
        len(examples), max((len(e.labels) for e in examples), default=0), dtype=torch.int64
    )
    for row, example in zip(targets, examples, strict=True):
        row[: len(example.labels)] = torch.tensor(example.labels, dtype=torch.int64)
    frames_needed = torch.tensor([e.frames_needed for e in examples], dtype=torch.int64)
    utterances = tuple(e.utterance for e in examples)
    return Batch(
        padded, lengths, targets, target_lengths, frames_needed, utterances, tuple(failures)
    )
