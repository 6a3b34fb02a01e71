"""The recognizer: features, encoder, and a linear head that predicts tokens."""

from collections.abc import Iterable, Sequence
from dataclasses import astuple
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from numpy import ndarray
from torch import Tensor, nn

from asr.errors import ConfigError, ModelError
from asr.nn.checkpoint import read_checkpoint, write_checkpoint
from asr.nn.emissions import BoundaryOffsets, Calibration, Emissions
from asr.nn.interfaces import FeatureExtractor, FrameEncoder
from asr.nn.padding import num_frames, pad_batch
from asr.nn.registry import Settings, build_module
from asr.text import BLANK, Tokenizer


def extend_tokens(texts: Iterable[str], *, model: str | None) -> Tokenizer:
    """Return the tokens of a trained model, followed by other characters of transcripts.

    Raises:
        ConfigError: If there is no model.
        ModelError: If `model` is not the path of a trained model.
    """
    if model is None:
        raise ConfigError("tokenizer=init takes the tokens of a model. Pass init=PATH")
    header, _ = read_checkpoint(Path(model))
    return Tokenizer(tuple(header["tokens"])).extended(texts)


class CTCModel(nn.Module):
    """A recognizer that maps waveforms to emissions. `architecture` has the settings to rebuild it.

    If the encoder has intermediate layers, the head also predicts emissions after each of them. A
    linear map of their probabilities is added to the input of the next layer. This makes the tokens
    depend on each other (self-conditioned CTC, Nozaki and Komatsu 2021, arXiv 2104.02724).
    """

    def __init__(
        self, *, features: Settings, encoder: Settings, tokenizer: Tokenizer
    ) -> None:
        """Build the features and the encoder from settings, which have the arguments of a class.

        The class is an import path in `_target_` or a registered name in "class".

        Raises:
            ValueError: If a class does not exist or rejects its arguments.
        """
        super().__init__()
        self.tokenizer = tokenizer
        self.scores: dict[str, float] = {}
        self.architecture: dict[str, Any] = {"tokens": list(tokenizer.tokens)}
        self.features: FeatureExtractor = self._build("features", features)
        n_mels = self.features.n_mels
        self.encoder: FrameEncoder = self._build("encoder", encoder, n_mels=n_mels)
        dim = self.encoder.output_dim
        num_tokens = len(tokenizer)
        self.head = nn.Linear(dim, num_tokens)
        has_feedback = bool(getattr(self.encoder, "intermediate", ()))
        self.feedback: Any = nn.Linear(num_tokens, dim) if has_feedback else None
        self.calibration_params = nn.Buffer(torch.tensor(astuple(Calibration())))
        self.boundary_params = nn.Buffer(torch.tensor(astuple(BoundaryOffsets())))

    def _build(self, part: str, settings: Settings, **arguments: Any) -> Any:
        """Build a part of the model and record its settings."""
        try:
            module, self.architecture[part] = build_module(settings, **arguments)
        except (TypeError, ValueError) as error:  # names an argument of the class
            raise ValueError(f"{part}.{error}") from None
        return module

    @property
    def seconds_per_frame(self) -> float:
        """Seconds between two frames of the emissions."""
        return self.features.seconds_per_frame * self.encoder.subsampling_factor

    @property
    def calibration(self) -> Calibration:
        """Calibration of the confidence of greedily decoded words, fitted by validation."""
        return Calibration(*self.calibration_params.tolist())

    @calibration.setter
    def calibration(self, value: Calibration) -> None:
        self.calibration_params.copy_(torch.tensor(astuple(value)))

    @property
    def boundary_offsets(self) -> BoundaryOffsets:
        """Offsets of words beyond their tokens on the best path, fitted by validation."""
        return BoundaryOffsets(*self.boundary_params.tolist())

    @boundary_offsets.setter
    def boundary_offsets(self, value: BoundaryOffsets) -> None:
        self.boundary_params.copy_(torch.tensor(astuple(value)))

    @property
    def frame_samples(self) -> int:
        """Samples that one feature frame reads."""
        return self.features.n_fft

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self.head.weight.device

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Emissions:
        """Map waveforms (B, S) at 16 kHz with lengths (B,) in samples to emissions (B, U, V)."""
        return self.forward_features(*self.features(waveforms, lengths))

    def forward_features(self, features: Tensor, lengths: Tensor) -> Emissions:
        """Map features (B, T, F) with lengths (B,) to emissions (B, U, V), always in float32."""
        intermediate: list[Tensor] = []

        def hook(encoded: Tensor) -> Tensor:
            intermediate.append(self._log_probs(encoded))
            return self.feedback(intermediate[-1].exp())

        hooks = [hook] if self.feedback else []
        encoded, lengths = self.encoder(features, lengths, *hooks)  # (B, U, D), (B,)
        return Emissions(
            self._log_probs(encoded),
            lengths,
            self.seconds_per_frame,
            self.calibration,
            self.boundary_offsets,
            tuple(intermediate),
        )

    def _log_probs(self, encoded: Tensor) -> Tensor:
        return self.head(encoded).float().log_softmax(dim=-1)  # (B, U, V)

    @torch.inference_mode()
    def compute_emissions(self, waveforms: Sequence[ndarray]) -> Emissions:
        """Put the model into evaluation mode and return the emissions (B, U, V) of a batch.

        Waveforms (S,) are at 16 kHz.
        """
        self.eval()
        padded, lengths = pad_batch([torch.from_numpy(waveform) for waveform in waveforms])
        return self(padded.to(self.device), lengths.to(self.device))

    def num_frames(self, samples: int) -> int:
        """Return the number of frames U of the emissions for a number of samples."""
        return int(self.output_lengths(torch.tensor(samples)))

    def output_lengths(self, samples: Tensor) -> Tensor:
        """Return the number of frames U (B,) of the emissions for numbers of samples (B,)."""
        frames = num_frames(samples, self.features.n_fft, self.features.hop_length)
        return self.encoder.output_lengths(frames)

    @torch.no_grad()
    def init_from(self, other: "CTCModel") -> None:
        """Copy the weights of a trained model of the same architecture.

        The tokens may differ: the head keeps its initial weights for tokens that `other` lacks.

        Raises:
            ModelError: If the architectures differ. The message names the first different weight.
        """
        own = self.state_dict()
        trained = other.state_dict()
        token_axes = {"head.weight": 0, "head.bias": 0}
        if self.feedback:
            token_axes["feedback.weight"] = 1
        here, there = (
            {name: tuple(weights[name].shape) for name in weights.keys() - token_axes}
            for weights in (own, trained)
        )
        if differences := here.items() ^ there.items():
            name = min(differences)[0]
            raise ModelError(
                f"another architecture: {name} is {there.get(name, 'missing')} there "
                f"and {here.get(name, 'missing')} here"
            )
        tokens = [t for t in self.tokenizer.tokens if t in other.tokenizer.tokens]
        own_tokens = [BLANK, *map(self.tokenizer.index, tokens)]
        trained_tokens = [BLANK, *map(other.tokenizer.index, tokens)]
        for name, axis in token_axes.items():
            rows = trained[name].transpose(0, axis)[trained_tokens]
            trained[name] = own[name]
            trained[name].transpose(0, axis)[own_tokens] = rows
        self.load_state_dict(trained)

    def save(self, path: str | Path, *, scores: dict[str, float] | None = None) -> None:
        """Write the model and its validation scores to one file.

        Raises:
            ModelError: If the file cannot be written.
        """
        header = {"scores": scores or self.scores, **self.architecture}
        weights = {name: weight.cpu().numpy() for name, weight in self.state_dict().items()}
        write_checkpoint(Path(path), header, weights)

    @classmethod
    def load(cls, path: str | Path, *, device: str = "cpu") -> "CTCModel":
        """Load a trained model in evaluation mode.

        Raises:
            ModelError: If the file is not a model or names a class that is not registered.
            ConfigError: If the device is not available.
        """
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError):  # AssertionError: torch without CUDA
            message = f"device {device!r} is not available. Use device=cpu."
            raise ConfigError(message) from None
        header, weights = read_checkpoint(Path(path))
        try:
            model = cls(
                features={"class": None, **header["features"]},  # never import `_target_`
                encoder={"class": None, **header["encoder"]},
                tokenizer=Tokenizer(tuple(header["tokens"])),
            )
            model.load_state_dict({k: torch.from_numpy(w) for k, w in weights.items()})
        except (KeyError, TypeError, AttributeError, RuntimeError, ValueError) as error:
            reason = shorten(str(error), 200)
            message = f"{path}: its architecture cannot be rebuilt ({reason})"
            raise ModelError(message) from None
        model.scores = header.get("scores", {})
        return model.to(device).eval()
