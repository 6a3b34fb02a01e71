"""Reduce the channels of a recording to one."""

from collections.abc import Callable
from typing import Literal

import numpy as np

from asr.errors import AudioError

Channel = Literal["mix"] | int
CANCELLATION = 0.5  # level of a mix relative to what one channel alone would give


def check_channel(channel: Channel) -> None:
    """Check a channel before any recording is read.

    Raises:
        ValueError: If it is neither "mix" nor a number from 1.
    """
    if channel != "mix" and not (isinstance(channel, int | np.integer) and channel >= 1):
        raise ValueError(f'channel must be "mix" or an integer >= 1, got {channel!r}')


def select_channel(
    samples: np.ndarray, channel: Channel, warn: Callable[[str], None]
) -> np.ndarray:
    """Return one channel (S,) of samples (S, channels), or the mean of all.

    If the channels cancel each other because one is inverted, the loudest is used instead.

    Args:
        samples: Samples of all channels.
        channel: "mix", or the number of a channel from 1.
        warn: Receives a warning if the mix cannot be used.

    Raises:
        AudioError: If there is no such channel.
    """
    count = samples.shape[1]
    if channel != "mix":
        if not 1 <= channel <= count:
            raise AudioError(f"no channel {channel}. Channels: {count}.")
        return np.ascontiguousarray(samples[:, channel - 1])
    if count == 1:
        return samples[:, 0]
    mix = samples.mean(axis=1)  # (S,)
    energies = np.einsum("sc,sc->c", samples, samples, dtype=np.float64)
    loudest = int(energies.argmax())
    energy = np.einsum("s,s->", mix, mix, dtype=np.float64)
    if not energy * count**2 < CANCELLATION**2 * energies[loudest]:  # also if it is NaN
        return mix
    warn(
        f"the channels cancel each other (opposite phase). Channel {loudest + 1} is used instead"
        " of the mix."
    )
    return np.ascontiguousarray(samples[:, loudest])
