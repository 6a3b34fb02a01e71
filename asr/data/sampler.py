"""Batches of utterances of similar length, limited by seconds of audio."""

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from asr.errors import ConfigError
from asr.validation import check_number

JITTER = 0.04  # relative change of a duration that shuffling allows


class BucketSampler(Sampler[list[tuple[int, int]]]):
    """Batches as lists of (index, epoch) pairs, with each utterance once per epoch.

    A batch has at most `batch_seconds` of audio including padding, before augmentation joins clips
    and adds pauses. A longer utterance is a batch of its own.

    With `shuffle`, each epoch multiplies every duration by a random factor in 1 ± `JITTER`, sorts
    the utterances, cuts the order into batches, and shuffles the batches. Utterances therefore
    meet other neighbors in each epoch. Seed and epoch determine the order. The first batch of
    epoch 0 is the largest, so that most trainings that need too much memory fail at once.

    Without `shuffle` the longest utterances come first, and the order is always the same.

    Processes that train together call `shard`.

    Raises:
        ValueError: If `batch_seconds` is not positive.
    """

    def __init__(
        self,
        durations: Sequence[float],
        *,
        batch_seconds: float,
        seed: int = 0,
        shuffle: bool = True,
    ) -> None:
        self.durations = np.asarray(durations, dtype=np.float64)
        self.batch_seconds = check_number("batch_seconds", batch_seconds, gt=0)
        self.seed = seed
        self.shuffle = shuffle
        self.jitter = JITTER if shuffle else 0.0
        self.epoch = 0
        self.resume_point = (0, 0)  # epoch, batches of it that are already done
        self.rank, self.world = 0, 1
        self.boundaries = self._find_boundaries()

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next pass. Lightning calls this before each pass."""
        self.epoch = epoch

    def resume(self, epoch: int, batches: int) -> None:
        """Continue an interrupted epoch after the batches that are already done."""
        self.epoch, self.resume_point = epoch, (epoch, batches)

    def shard(self, rank: int, world: int) -> None:
        """Yield only the share of process `rank` of `world` from now on.

        All processes get the same number of batches, and batches of similar size in each step.
        The largest batches are halved until their number is a multiple of `world`.

        Raises:
            ConfigError: If there are fewer utterances than processes.
        """
        count = len(self.durations)
        if count < world:
            raise ConfigError(
                f"{count} utterances cannot be split among {world} processes; use fewer processes"
            )
        boundaries = [0, *self._find_boundaries(), count]
        while (len(boundaries) - 1) % world:
            sizes = np.diff(boundaries)
            largest = int(sizes.argmax())
            boundaries.insert(largest + 1, boundaries[largest] + int(sizes[largest]) // 2)
        self.rank, self.world, self.boundaries = rank, world, boundaries[1:-1]

    def batches(self, epoch: int) -> list[np.ndarray]:
        """Return the batches of this process in an epoch, each an array of indices."""
        rng = np.random.default_rng((self.seed, epoch))
        keys = self.durations * (1 + self.jitter * rng.uniform(-1, 1, len(self.durations)))
        all_batches = np.split(np.argsort(-keys, kind="stable"), self.boundaries)
        batches = all_batches[self.rank :: self.world]
        if not self.shuffle:
            return batches
        order = rng.permutation(len(batches)).tolist()
        if epoch == 0:
            sizes = [
                self.durations[batch].max(initial=0.0) * len(batch) for batch in all_batches
            ]
            largest = np.argmax(sizes) // self.world  # the same step in all processes
            order.insert(0, order.pop(order.index(largest)))
        return [batches[i] for i in order]

    def _find_boundaries(self) -> list[int]:
        """Return the positions that divide the order by length into batches.

        The boundaries do not depend on the epoch, so all epochs have the same number of batches.
        Jitter lets an utterance at or after position i be longer than the i-th longest one, at
        most by the factor (1 + jitter) / (1 - jitter).
        """
        slack = (1 + self.jitter) / (1 - self.jitter)
        longest_first = np.sort(self.durations * slack)[::-1]
        starts, position = [], 0
        while position < len(longest_first):
            starts.append(position)
            position += max(1, int(self.batch_seconds / longest_first[position]))
        return starts[1:]

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch = self.epoch
        done = self.resume_point[1] if epoch == self.resume_point[0] else 0
        for batch in self.batches(epoch)[done:]:
            yield [(int(index), epoch) for index in batch]

    def __len__(self) -> int:
        return (len(self.boundaries) + 1) // self.world
