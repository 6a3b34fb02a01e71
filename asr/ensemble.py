"""Several models that hear as one: what one of them mishears, the others seldom mishear alike."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from asr.calibration import Calibration
from asr.clock import Reach
from asr.errors import ConfigError, ModelError
from asr.model import CTCModel, Emissions


class Ensemble(nn.Module):
    """Models of the same tokens and frames, used as a CTCModel is: the mean of their log-probabilities, normalised.

    That is a product of experts (Hinton 2002): a token must be likely to all of them, so that a frame in which they do
    not agree is a blank. Calibration and reach are the means of the members'.
    """

    def __init__(self, members: Sequence[CTCModel]) -> None:
        """Raises ConfigError where the members have other tokens, or other frames, than the first."""
        super().__init__()
        self.members = nn.ModuleList(members)
        first = members[0]
        for number, member in enumerate(members[1:], 2):
            if member.tokenizer != first.tokenizer:
                raise ConfigError(f"checkpoint: model {number} has other tokens than the first; they must be the same")
            if (member.seconds_per_frame, member.features.n_fft) != (first.seconds_per_frame, first.features.n_fft):
                raise ConfigError(f"checkpoint: model {number} has other frames than the first; they must be the same")
        self.tokenizer, self.features = first.tokenizer, first.features
        self.seconds_per_frame, self.frames = first.seconds_per_frame, first.frames
        count = len(members)
        slopes, offsets = zip(*((m.calibration.slope, m.calibration.offset) for m in members), strict=True)
        self.calibration = Calibration(sum(slopes) / count, sum(offsets) / count)
        leads, tails = zip(*((m.reach.lead, m.reach.tail) for m in members), strict=True)
        self.reach = Reach(sum(leads) / count, sum(tails) / count)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Emissions:
        """Waveforms (B, S) at 16 kHz and their lengths (B,) in samples to emissions (B, U, V)."""
        said = [member(waveforms, lengths) for member in self.members]
        log_probs = torch.stack([one.log_probs for one in said]).mean(0).log_softmax(-1)
        return replace(said[0], log_probs=log_probs, calibration=self.calibration, reach=self.reach, intermediate=())


Model = CTCModel | Ensemble


def load(path: str | Path | Sequence[str | Path], *, device: str | torch.device = "cpu") -> Model:
    """Read a trained model, or several as one, ready to transcribe.

    Raises ModelError where a file is not one, ConfigError where they do not fit together or the device is not to be
    had.
    """
    paths = [path] if isinstance(path, str | Path) else list(path)
    if not paths:
        raise ModelError("checkpoint names no model; train one first (python -m asr.train)")
    members = [CTCModel.load(one, device=device) for one in paths]
    return members[0] if len(members) == 1 else Ensemble(members).eval()
