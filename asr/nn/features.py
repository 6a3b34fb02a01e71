"""Log-mel features, computed in the model and on its device."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from asr.audio import SAMPLE_RATE
from asr.nn import padding as ln
from asr.validation import check_integer, check_number

LOG_FLOOR = 1e-8  # added to mel energies: digital silence becomes -18.4 nats, below the noise of any microphone
MIN_STD = 0.5  # nats: a band that varies less holds no speech (telephone speech above 4 kHz) and is not blown up
Normalization = Literal["utterance", "corpus", "none"]


def mel_edges(n_mels: int) -> np.ndarray:
    """Foot, top and foot of neighbouring filters in Hz, (F + 2,), equally far apart on Slaney's mel scale.

    The scale is linear below 1 kHz, logarithmic above (Slaney, Auditory Toolbox, 1998).
    """
    corner, mels_at_corner = 1000.0, 15.0
    step = np.log(6.4) / 27  # 27 mels from 1 to 6.4 kHz
    highest = mels_at_corner + np.log(SAMPLE_RATE / 2 / corner) / step
    mels = np.linspace(0.0, highest, n_mels + 2)
    linear, logarithmic = (
        mels * corner / mels_at_corner,
        corner * np.exp((mels - mels_at_corner) * step),
    )
    return np.where(mels < mels_at_corner, linear, logarithmic)


def mel_filterbank(n_mels: int, n_fft: int) -> np.ndarray:
    """Triangles over the bins of a spectrum, (n_fft // 2 + 1, F) of float32, on the mel scale, each of area 1.

    Worked out in float64: at the foot of a filter float32 is off by 2e-4.
    """
    edges = mel_edges(n_mels)
    frequencies = np.linspace(0.0, SAMPLE_RATE / 2, n_fft // 2 + 1)[:, None]
    rising = (frequencies - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequencies) / (edges[2:] - edges[1:-1])
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return (triangles * 2 / (edges[2:] - edges[:-2])).astype(np.float32)


class LogMel(nn.Module):
    """Natural logarithm of mel filter bank energies, normalised over each utterance's own frames.

    Windows (Hann, 25 ms, every 10 ms) never reach over an end of the recording, so that a frame depends on its own
    samples only: T = 1 + (S - n_fft) // hop. The filters are librosa's (Slaney's scale and area norm), the spectrogram
    is librosa's with center=False.

    `normalize`: "utterance" brings each band of each utterance to mean 0 and deviation 1, which takes microphone and
    room out, but from a clip of one word also much of the word; "corpus" uses the statistics that `fit` put into the
    buffers `cmvn_mean` and `cmvn_std` (F,); "none" leaves the logarithms.

    `top_db`: where it is given, energies are taken relative to the utterance's loudest frame, and what lies so many dB
    below it sinks into a common floor. Loudness and a microphone's own noise are gone then, whatever is normalised, and
    what tells one vowel from another is left. None keeps the energies as they are.
    """

    window: Tensor
    filterbank: Tensor
    cmvn_mean: Tensor
    cmvn_std: Tensor

    def __init__(
        self,
        *,
        n_mels: int = 80,
        window_ms: float = 25.0,
        hop_ms: float = 10.0,
        n_fft: int = 512,
        normalize: Normalization = "utterance",
        top_db: float | None = None,
    ) -> None:
        super().__init__()
        self.n_mels = check_integer("n_mels", n_mels, ge=1)
        self.n_fft = check_integer("n_fft", n_fft, ge=2)
        per_ms = SAMPLE_RATE / 1000
        self.hop_length = round(check_number("hop_ms", hop_ms, ge=1 / per_ms) * per_ms)
        length = round(
            check_number("window_ms", window_ms, ge=1 / per_ms, le=n_fft / per_ms) * per_ms
        )
        self.normalize = normalize
        self.top_db = check_number("top_db", top_db, gt=0) if top_db is not None else None
        self.register_buffer("window", torch.hann_window(length), persistent=False)
        self.register_buffer(
            "filterbank", torch.from_numpy(mel_filterbank(n_mels, n_fft)), persistent=False
        )
        self.register_buffer("cmvn_mean", torch.zeros(n_mels))
        self.register_buffer("cmvn_std", torch.ones(n_mels))

    @property
    def seconds_per_frame(self) -> float:
        """Seconds between the starts of two frames."""
        return self.hop_length / SAMPLE_RATE

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Waveforms (B, S) of -1..1 and their lengths (B,) to features (B, T, F) and lengths (B,); padding is 0."""
        energies, lengths = self.mel_energies(waveforms, lengths)
        return self.apply_cmvn(self.log_energies(energies, lengths), lengths), lengths

    def mel_energies(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Mel energies (B, T, F) before logarithm and normalisation, and lengths (B,)."""
        missing = self.n_fft - waveforms.shape[1]
        if (
            missing > 0
        ):  # not one window in the whole batch: one frame of padding, of which no row's length speaks
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
            )
            power = spectrum.real.square() + spectrum.imag.square()
            return power.transpose(1, 2) @ self.filterbank, ln.num_frames(
                lengths, self.n_fft, self.hop_length
            )

    def log_energies(self, energies: Tensor, lengths: Tensor) -> Tensor:
        """Mel energies (B, T, F), lengths (B,) to their natural logarithms above a floor, (B, T, F)."""
        if self.top_db is None:
            return (energies + LOG_FLOOR).log()
        loudest = ln.mask_padding(energies, lengths).mean(-1).amax(-1)[:, None, None]
        return (energies / loudest.clamp_min(LOG_FLOOR) + 10 ** (-self.top_db / 10)).log()

    def apply_cmvn(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Features (B, T, F) with each band's mean and deviation taken out, padding at 0."""
        x = ln.mask_padding(x, lengths)
        if self.normalize == "none":
            return x
        if self.normalize == "corpus":
            return ln.mask_padding((x - self.cmvn_mean) / self.cmvn_std, lengths)
        # from the first frame on: a band that hardly changes (silence, telephone speech above 4 kHz) would otherwise
        # keep the rounding of its sum, which depends on the padding, a thousandfold
        x = ln.mask_padding(x - x[:, :1], lengths)
        count = lengths.clamp_min(1)[:, None, None]
        mean = x.sum(1, keepdim=True) / count
        centred = ln.mask_padding(x - mean, lengths)
        deviation = (centred.square().sum(1, keepdim=True) / count).sqrt()
        return centred / deviation.clamp_min(MIN_STD)

    @torch.no_grad()
    def fit_cmvn(self, waveforms: Tensor, lengths: Tensor) -> None:
        """Set the corpus statistics from waveforms (B, S) that stand for the corpus."""
        energies, lengths = self.mel_energies(waveforms, lengths)
        x = self.log_energies(energies, lengths)[ln.length_to_mask(lengths, energies.shape[1])]
        self.cmvn_mean.copy_(x.mean(0))
        self.cmvn_std.copy_(x.std(0, correction=0).clamp_min(MIN_STD))
