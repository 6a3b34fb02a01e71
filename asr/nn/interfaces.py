"""Interfaces of the parts of a CTCModel. A class of your own must also be an nn.Module."""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from asr.nn.padding import Padded


class FeatureExtractor(Protocol):
    """Interface of classes that map waveforms (B, S) to features (B, T, F), such as LogMel."""

    n_mels: int  # F
    n_fft: int  # samples per frame
    hop_length: int  # samples between the starts of two frames
    seconds_per_frame: float

    def __call__(self, waveforms: Tensor, lengths: Tensor) -> Padded:
        """Map waveforms and their lengths (B,) to features and their lengths (B,)."""

    def fit_cmvn(self, waveforms: Tensor, lengths: Tensor) -> None:
        """Set corpus statistics from a sample of waveforms (B, S) with lengths (B,)."""


class FrameEncoder(Protocol):
    """Interface of classes that map features (B, T, F) to (B, U, D), such as Encoder.

    The constructor takes `n_mels`, which is F. An encoder with a nonempty attribute `intermediate`
    also takes a hook (see Encoder).
    """

    output_dim: int  # D
    subsampling_factor: int  # feature frames per encoder frame

    def __call__(
        self, x: Tensor, lengths: Tensor, *hook: Callable[[Tensor], Tensor]
    ) -> Padded:
        """Map features and their lengths (B,) to encoder frames and their lengths (B,)."""

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Return U (B,) for each T (B,)."""
