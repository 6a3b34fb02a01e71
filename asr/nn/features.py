"""Log-mel features, computed inside the model and on its device."""

import torch
from torch import Tensor, nn

from asr.audio import SAMPLE_RATE
from asr.nn.mel import (
    LOG_FLOOR,
    MIN_STD,
    NORMALIZATIONS,
    PRIOR_FRAMES,
    SPEECH_DB,
    mel_filterbank,
)
from asr.nn.padding import Padded, length_to_mask, mask_padding, num_frames
from asr.validation import Count, check_arguments, check_number


class LogMel(nn.Module):
    """Normalized log-mel features: the natural logarithm of mel filter bank energies.

    Frames (Hann window, 25 ms, every 10 ms) lie completely inside the recording:
    T = 1 + (S - n_fft) // hop_length. So no frame depends on padding. Filters and energies equal
    librosa's (Slaney's scale and area norm, center=False).

    Args:
        normalize: "corpus" subtracts a mean from each band and divides by a standard deviation, the
            buffers `cmvn_mean` and `cmvn_std` (F,), which `fit_cmvn` sets. "utterance" uses those
            of the utterance. That removes voice, microphone, and room, but also much of a short
            word, and it depends on silence. "speech" is between them: statistics of the speech of
            the utterance, with those of the corpus as a prior. "none" keeps the logarithms.
        top_db: If set, energies are relative to the loudest frame of the utterance, with a floor
            at `top_db` below it. That removes loudness and microphone noise.
    """

    @check_arguments
    def __init__(
        self,
        *,
        n_mels: Count = 80,
        window_ms: float = 25.0,
        hop_ms: float = 10.0,
        n_fft: Count = 512,
        normalize: str = "utterance",
        top_db: float | None = None,
    ) -> None:
        super().__init__()
        self.n_mels = n_mels
        self.n_fft = n_fft
        per_ms = SAMPLE_RATE / 1000
        check_number("hop_ms", hop_ms, ge=1 / per_ms)
        check_number("window_ms", window_ms, ge=1 / per_ms, le=n_fft / per_ms)
        if top_db is not None:
            check_number("top_db", top_db, gt=0)
        if normalize not in NORMALIZATIONS:
            names = ", ".join(NORMALIZATIONS)
            raise ValueError(f"normalize must be one of {names}, got {normalize!r}")
        self.normalize = normalize
        self.top_db = top_db
        self.floor = LOG_FLOOR if top_db is None else 10 ** (-top_db / 10)
        self.hop_length = round(hop_ms * per_ms)
        self.seconds_per_frame = self.hop_length / SAMPLE_RATE
        window = torch.hann_window(round(window_ms * per_ms))
        filterbank = torch.from_numpy(mel_filterbank(n_mels, n_fft))
        self.window = nn.Buffer(window, persistent=False)
        self.filterbank = nn.Buffer(filterbank, persistent=False)
        self.cmvn_mean = nn.Buffer(torch.zeros(n_mels))
        self.cmvn_std = nn.Buffer(torch.ones(n_mels))

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Padded:
        """Map waveforms (B, S) in -1..1 with lengths (B,) to features (B, T, F) with lengths (B,).

        Padding becomes 0.
        """
        x, lengths = self.log_mel(waveforms, lengths)
        return self.apply_cmvn(x, lengths), lengths

    def mel_energies(self, waveforms: Tensor, lengths: Tensor) -> Padded:
        """Return mel energies (B, T, F) before logarithm and normalization, and lengths (B,)."""
        missing = self.n_fft - waveforms.shape[1]
        if missing > 0:  # too short for a frame: return one frame, which counts as padding
            waveforms = nn.functional.pad(waveforms, (0, missing))
        with torch.autocast(waveforms.device.type, enabled=False):
            spectrum = torch.stft(
                waveforms.float(),
                self.n_fft,
                self.hop_length,
                len(self.window),
                self.window,
                center=False,
                return_complex=True,
            )  # (B, n_fft // 2 + 1, T)
            power = spectrum.real.square() + spectrum.imag.square()
            energies = power.transpose(1, 2) @ self.filterbank  # (B, T, F)
        return energies, num_frames(lengths, self.n_fft, self.hop_length)

    def log_mel(self, waveforms: Tensor, lengths: Tensor) -> Padded:
        """Return natural logarithms (B, T, F) of energies above a floor, and lengths (B,)."""
        x, lengths = self.mel_energies(waveforms, lengths)
        if self.top_db is not None:
            loudest = mask_padding(x, lengths).mean(-1).amax(-1)  # (B,)
            x = x / loudest.clamp_min(LOG_FLOOR)[:, None, None]
        return (x + self.floor).log(), lengths

    def apply_cmvn(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Normalize the mean and standard deviation of each band of `x` (B, T, F)."""
        x = mask_padding(x, lengths)
        if self.normalize == "none":
            return x
        if self.normalize == "corpus":
            return mask_padding((x - self.cmvn_mean) / self.cmvn_std, lengths)
        if self.normalize == "speech":
            weights, prior = self.speech_weights(x, lengths), PRIOR_FRAMES
            x = x - self.cmvn_mean
        else:
            # Subtracting the first frame limits rounding errors. Otherwise those of the sum, which
            # depend on the padding, would grow a thousandfold in bands that hardly vary.
            weights, prior = length_to_mask(lengths, x.shape[1])[..., None].to(x), 0
            x = x - x[:, :1]
        count = (weights.sum(1, keepdim=True) + prior).clamp_min(1)  # (B, 1, 1)
        x = x - (weights * x).sum(1, keepdim=True) / count
        squares = (weights * x.square()).sum(1, keepdim=True)  # (B, 1, F)
        variance = (squares + prior * self.cmvn_std.square()) / count
        return mask_padding(x / variance.sqrt().clamp_min(MIN_STD), lengths)

    def speech_weights(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return weights (B, T, 1) from 0 to 1 that are 0 in silence, from logarithms (B, T, F).

        The weight falls linearly between two levels below the loudest frame of the utterance.
        """
        energies = mask_padding(x.exp() - self.floor, lengths).mean(-1, keepdim=True)
        loudest = energies.amax(1, keepdim=True).clamp_min(LOG_FLOOR)
        below = -10 * (energies / loudest).clamp_min(LOG_FLOOR).log10()  # dB
        full, none = SPEECH_DB
        return mask_padding((none - below) / (none - full), lengths).clamp(0, 1)

    @torch.no_grad()
    def fit_cmvn(self, waveforms: Tensor, lengths: Tensor) -> None:
        """Set the corpus statistics from a sample of its waveforms (B, S) with lengths (B,).

        With "speech", only speech counts, and the deviation is measured from the mean of each
        utterance.
        """
        x, lengths = self.log_mel(waveforms, lengths)
        speech = self.normalize == "speech"
        mask = length_to_mask(lengths, x.shape[1])[..., None].to(x)
        weights = self.speech_weights(x, lengths) if speech else mask
        total = weights.sum().clamp_min(1)  # a sample may be silent
        self.cmvn_mean.copy_((weights * x).sum((0, 1)) / total)
        x = x - self.cmvn_mean
        if speech:
            count = weights.sum(1, keepdim=True) + PRIOR_FRAMES
            x = x - (weights * x).sum(1, keepdim=True) / count
        variance = (weights * x.square()).sum((0, 1)) / total
        self.cmvn_std.copy_(variance.sqrt().clamp_min(MIN_STD))
