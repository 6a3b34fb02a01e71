"""Augmentations of a training batch: joined clips and pauses, so that silence is not speech."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.random import Generator

from asr.audio import SAMPLE_RATE
from asr.audio.augment import Waveform, mean_power, scale_to_power, synthesize_noise
from asr.data.filter import Example
from asr.validation import check_integer, check_interval, check_number

Clip = tuple[Example, Waveform]  # the example has the labels of the waveform (S,)
BatchAugment = Callable[[list[Clip], Generator], list[Clip]]

WINDOW = SAMPLE_RATE // 20  # samples: 50 ms, about the shortest pause between words


class Join:
    """Join clips to recordings of several sentences.

    A batch is changed with some probability. It then has fewer and longer rows, with the same
    seconds of speech. Between two clips is a pause of digital silence, and each clip has another
    level.

    Args:
        separator: Labels between two transcripts, those of a space.
        clips: Bounds of the number of clips in a recording.
        max_seconds: Longest recording; longer clips are not joined.
        gap: Bounds of a pause in seconds.
        gain_db: Bounds of the change of a clip's level in dB.
    """

    def __init__(
        self,
        *,
        separator: Sequence[int],
        probability: float = 0.3,
        clips: tuple[int, int] = (2, 4),
        max_seconds: float = 30.0,
        gap: tuple[float, float] = (0.05, 0.8),
        gain_db: tuple[float, float] = (-6.0, 6.0),
    ) -> None:
        self.separator = tuple(separator)
        self.probability = check_number("probability", probability, ge=0, le=1)
        check_interval("clips", clips)
        self.clips = tuple(check_integer("clips", bound, ge=1) for bound in clips)
        self.max_seconds = check_number("max_seconds", max_seconds, gt=0)
        self.gap = check_interval("gap", gap)
        check_number("gap", self.gap[0], ge=0)
        self.gain_db = check_interval("gain_db", gain_db)

    def __call__(self, clips: list[Clip], rng: Generator) -> list[Clip]:
        """Return the clips of a batch in random order, joined in groups."""
        if not clips or rng.random() >= self.probability:
            return clips
        longest = max(len(waveform) for _, waveform in clips) / SAMPLE_RATE + self.gap[1]
        low, high = self.clips
        size = min(int(rng.integers(low, high + 1)), int(self.max_seconds / longest))
        if size < 2:
            return clips
        order = rng.permutation(len(clips))
        groups = (order[i : i + size] for i in range(0, len(order), size))
        return [self._join([clips[i] for i in group], rng) for group in groups]

    def _join(self, clips: Sequence[Clip], rng: Generator) -> Clip:
        """Return several clips as one, named like the first."""
        labels: list[int] = []
        parts: list[Waveform] = []
        for example, waveform in clips:
            if parts:
                seconds = rng.uniform(*self.gap)
                parts.append(np.zeros(round(seconds * SAMPLE_RATE), dtype=np.float32))
            if labels and example.labels:
                labels += self.separator
            labels += example.labels
            gain = 10 ** (rng.uniform(*self.gain_db) / 20)
            parts.append(waveform * np.float32(gain))
        text = " ".join(example.utterance.text for example, _ in clips)
        utterance = replace(clips[0][0].utterance, text=text)
        return Example(utterance, tuple(labels)), np.concatenate(parts)


class Pauses:
    """Add silence or noise before, inside, and after clips.

    A batch is changed with some probability. Its clips then become as long as the longest of them
    plus up to `seconds`, a quarter of that on average. So pauses replace padding. The room of a
    clip is divided among a few places: before it, after it, and inside, at the quietest samples of
    random stretches. Each clip also starts up to 40 ms later, so that no position relative to the
    encoder's frames is special.

    A third of the clips get digital silence. The others get noise at a level drawn from `level_db`,
    in dB relative to the mean power of the clip.
    """

    SILENT = 1 / 3  # share of the clips with digital silence
    SHIFT = 640  # bound of the samples before every clip: encoder frames are 40 ms apart
    EDGE = 0.3  # probability of a longer pause before a clip, and of one after it
    INSIDE = (1, 2)  # bounds of the number of pauses inside a clip
    STRETCH = (0.1, 1.0)  # bounds of the seconds in which a quiet sample is searched

    def __init__(
        self,
        *,
        probability: float = 0.8,
        seconds: float = 5.0,
        level_db: tuple[float, float] = (-60.0, 0.0),
    ) -> None:
        self.probability = check_number("probability", probability, ge=0, le=1)
        self.seconds = check_number("seconds", seconds, ge=0)
        self.level_db = check_interval("level_db", level_db)

    def __call__(self, clips: list[Clip], rng: Generator) -> list[Clip]:
        """Return the clips of a batch with pauses."""
        if not clips or rng.random() >= self.probability:
            return clips
        longest = max(len(waveform) for _, waveform in clips)
        limit = longest + int(self.seconds * SAMPLE_RATE * rng.random() ** 3)
        return [(example, self.extend(waveform, limit, rng)) for example, waveform in clips]

    def extend(self, waveform: Waveform, limit: int, rng: Generator) -> Waveform:
        """Return a waveform (S,) with pauses, of at most `limit` samples."""
        places = self._draw_places(waveform, rng)
        shares = rng.exponential(size=len(places))
        room = limit - len(waveform)
        shift = min(room, int(rng.integers(self.SHIFT)))
        sizes = (shares * (room - shift) / shares.sum()).astype(int)
        places, sizes = [0, *places], np.append(shift, sizes)
        noise = self._draw_noise(sizes.sum(), mean_power(waveform), rng)
        return np.insert(waveform, np.repeat(places, sizes), noise)

    def _draw_places(self, waveform: Waveform, rng: Generator) -> list[int]:
        """Return the samples, in order, before which a pause begins."""
        edges = [place for place in (0, len(waveform)) if rng.random() < self.EDGE]
        inside = [
            self._draw_quiet_sample(waveform, rng)
            for _ in range(rng.integers(*self.INSIDE, endpoint=True))
        ]
        return sorted(edges + inside)

    def _draw_quiet_sample(self, waveform: Waveform, rng: Generator) -> int:
        """Return the quietest sample of a random stretch in the middle 80 % of a clip."""
        margin = len(waveform) // 10
        size = int(rng.uniform(*self.STRETCH) * SAMPLE_RATE)
        last = max(margin, len(waveform) - margin - size)
        first = int(rng.integers(margin, last, endpoint=True))
        return first + quietest_sample(waveform[first : first + size])

    def _draw_noise(self, size: int, clip_power: float, rng: Generator) -> Waveform:
        """Return digital silence or noise (size,)."""
        if size == 0 or rng.random() < self.SILENT:
            return np.zeros(size, dtype=np.float32)
        level = 10 ** (rng.uniform(*self.level_db) / 10)
        return scale_to_power(synthesize_noise(size, rng), clip_power * level)


def quietest_sample(waveform: Waveform) -> int:
    """Return the sample in the middle half around which 50 ms have the least energy."""
    sums = np.cumsum(np.square(waveform, dtype=np.float64))
    energy = sums[WINDOW:] - sums[:-WINDOW]
    first, last = len(energy) // 4, 3 * len(energy) // 4
    if first == last:
        return len(waveform) // 2
    return first + int(energy[first:last].argmin()) + WINDOW // 2
