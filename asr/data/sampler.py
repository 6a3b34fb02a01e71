"""Batches by seconds of audio, from utterances of like length, in a random order that the seed fixes."""

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from asr.errors import ConfigError
from asr.validation import check_number


class BucketSampler(Sampler[list[tuple[int, int]]]):
    """Batches of (index, epoch), each of at most `batch_seconds` with its padding; a longer utterance goes alone.

    Utterances are put in the order of their lengths, blurred by `blur` (a share of the length) so that neighbours
    differ from epoch to epoch, cut into batches in that order, and the batches are shuffled; the very first is the
    largest, so that memory that does not suffice runs out at once. Without `shuffle` the order is that of the lengths,
    longest first, and nothing is random.

    Several processes that train together share an epoch: see `split`.
    """

    def __init__(
        self,
        durations: Sequence[float],
        *,
        batch_seconds: float,
        seed: int = 0,
        shuffle: bool = True,
        blur: float = 0.04,
    ) -> None:
        if not len(durations):
            raise ConfigError("there is no utterance to make batches of")
        self.durations = np.asarray(durations, dtype=np.float64)
        self.batch_seconds = check_number("batch_seconds", batch_seconds, gt=0)
        self.seed = seed
        self.shuffle = shuffle
        self.blur = blur if shuffle else 0.0
        self.epoch = 0
        self.passed = (0, 0)  # epoch, and how many of its batches are not given again
        self.rank, self.world = 0, 1
        self.cuts = self._cuts()

    def set_epoch(self, epoch: int) -> None:
        """Fix which order the next pass has; Lightning calls it before each one."""
        self.epoch = epoch

    def resume(self, epoch: int, batches: int) -> None:
        """Begin with an epoch that an interrupted run has begun, behind the batches it has had of it."""
        self.epoch, self.passed = epoch, (epoch, batches)

    def shard(self, rank: int, world: int) -> None:
        """Give from now on the share of process `rank` of `world`: as many batches as each other one, of like cost.

        Batches are dealt out in the order of lengths, one for each process at a time; where they do not come out even,
        the largest are halved. Raises ConfigError where there are fewer utterances than processes.
        """
        if len(self.durations) < world:
            raise ConfigError(
                f"{len(self.durations)} utterances cannot be shared by {world} processes"
            )
        bounds = [0, *self._cuts(), len(self.durations)]
        while (len(bounds) - 1) % world:
            sizes = np.diff(bounds)
            largest = int(sizes.argmax())
            bounds.insert(largest + 1, bounds[largest] + int(sizes[largest]) // 2)
        self.rank, self.world, self.cuts = rank, world, bounds[1:-1]

    def batches(self, epoch: int) -> list[np.ndarray]:
        """The batches of an epoch, each an array of indices; every utterance once, over all processes."""
        rng = np.random.default_rng((self.seed, epoch))
        key = self.durations * (1 + self.blur * rng.uniform(-1, 1, len(self.durations)))
        every = np.split(np.argsort(-key, kind="stable"), self.cuts)
        batches = every[self.rank :: self.world]
        if not self.shuffle:
            return batches
        order = rng.permutation(len(batches)).tolist()
        if epoch == 0:
            costs = [float(self.durations[batch].max()) * len(batch) for batch in every]
            largest = (
                int(np.argmax(costs)) // self.world
            )  # in the order of all processes, which stay at like cost
            order.insert(0, order.pop(order.index(largest)))
        return [batches[i] for i in order]

    def _cuts(self) -> list[int]:
        """Where batches end in the order of lengths, the same in every epoch, so that epochs are equally long.

        A blurred key moves the utterance at any place of that order by at most the blur, so the longest utterance
        behind a place is at most (1 + blur) / (1 - blur) times as long as the one that stands there unblurred.
        """
        slack = (1 + self.blur) / (1 - self.blur)
        longest_first = np.sort(self.durations * slack)[::-1]
        cuts: list[int] = []
        at = 0
        while True:
            at += max(1, int(self.batch_seconds / longest_first[at]))
            if at >= len(longest_first):
                return cuts
            cuts.append(at)

    def padding(self, epoch: int = 0) -> float:
        """Share of an epoch's audio that is padding."""
        batches = self.batches(epoch)
        padded = sum(float(self.durations[batch].max()) * len(batch) for batch in batches)
        return 1 - sum(float(self.durations[batch].sum()) for batch in batches) / padded

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch = self.epoch
        first = self.passed[1] if epoch == self.passed[0] else 0
        for batch in self.batches(epoch)[first:]:
            yield [(int(index), epoch) for index in batch]

    def __len__(self) -> int:
        return (len(self.cuts) + 1) // self.world
