"""The recogniser: features, encoder and a linear head that emits log-probabilities of tokens; and its file."""

import importlib
import json
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from asr.errors import ConfigError, ModelError
from asr.files import atomic_write
from asr.nn import padding as ln
from asr.nn.emissions import BoundaryOffsets, Calibration, Emissions
from asr.text import BLANK, Tokenizer

FORMAT = "asr-ctc-1"


class CTCModel(nn.Module):
    """Waveforms to emissions. `architecture` keeps what built it, so that its file can build it again.

    Where the encoder has intermediate layers, the head works out emissions behind each, and their probabilities,
    through a linear map, go back in: layers above know what was heard so far, so that the tokens of CTC depend on each
    other (self-conditioned CTC, Nozaki and Komatsu 2021, arXiv 2104.02724).
    """

    def __init__(
        self, *, features: Mapping[str, Any], encoder: Mapping[str, Any], tokenizer: Tokenizer
    ) -> None:
        """Build the parts from their settings, each a mapping with the class as `_target_` and its arguments.

        Raises ConfigError where a class or one of its arguments does not exist.
        """
        super().__init__()
        self.tokenizer = tokenizer
        self.calibration_params: Tensor
        self.boundary_params: Tensor
        self.features: Any
        self.encoder: Any
        self.features = _build(features)
        self.encoder = _build({**encoder, "n_mels": self.features.n_mels})
        self.head = nn.Linear(self.encoder.output_dim, len(tokenizer))
        asked = bool(getattr(self.encoder, "intermediate", ()))
        self.feedback = nn.Linear(len(tokenizer), self.encoder.output_dim) if asked else None
        self.register_buffer(
            "calibration_params", torch.tensor([1.0, 1.0, 0.0])
        )  # a, b and offset of a Calibration
        self.register_buffer("boundary_params", torch.zeros(2))  # lead and tail of a Reach
        self.architecture: dict[str, Any] = {
            "features": dict(features),
            "encoder": dict(encoder),
            "tokens": list(tokenizer.tokens),
        }
        self.scores: dict[str, float] = {}

    @property
    def seconds_per_frame(self) -> float:
        """Seconds between two frames of the emissions."""
        return self.features.seconds_per_frame * self.encoder.subsampling_factor

    @property
    def calibration(self) -> Calibration:
        """Of the confidence of greedily decoded words, as the validation of training found it."""
        return Calibration(*self.calibration_params.tolist())

    @calibration.setter
    def calibration(self, found: Calibration) -> None:
        self.calibration_params.copy_(torch.tensor([found.a, found.b, found.offset]))

    @property
    def boundary_offsets(self) -> BoundaryOffsets:
        """Of words beyond the tokens on the best path, as the validation of training found it."""
        return BoundaryOffsets(*self.boundary_params.tolist())

    @boundary_offsets.setter
    def boundary_offsets(self, found: BoundaryOffsets) -> None:
        self.boundary_params.copy_(torch.tensor([found.lead, found.tail]))

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.head.weight.device

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Emissions:
        """Waveforms (B, S) at 16 kHz and their lengths (B,) in samples to emissions (B, U, V)."""
        return self.forward_features(*self.features(waveforms, lengths))

    def forward_features(self, features: Tensor, lengths: Tensor) -> Emissions:
        """Features (B, T, F) and their lengths (B,) to emissions (B, U, V), in float32 whatever the autocast."""
        intermediate: list[Tensor] = []

        def heard(feedback: nn.Linear, encoded: Tensor) -> Tensor:
            intermediate.append(self._log_probs(encoded))
            return feedback(intermediate[-1].exp())

        asked = [partial(heard, self.feedback)] if self.feedback is not None else []
        encoded, lengths = self.encoder(features, lengths, *asked)
        log_probs = self._log_probs(encoded)
        return Emissions(
            log_probs,
            lengths,
            self.seconds_per_frame,
            self.calibration,
            self.boundary_offsets,
            tuple(intermediate),
        )

    def _log_probs(self, encoded: Tensor) -> Tensor:
        return self.head(encoded).float().log_softmax(dim=-1)

    def output_lengths(self, samples: Tensor) -> Tensor:
        """U, the frames that a number of samples becomes; (B,) to (B,)."""
        return self.encoder.output_lengths(
            ln.num_frames(samples, self.features.n_fft, self.features.hop_length)
        )

    @torch.no_grad()
    def init_from(self, other: "CTCModel") -> None:
        """Begin with the weights of a trained model of the same architecture, whose alphabet may be another.

        Of the head the rows of the tokens that both have are taken; new ones keep their own beginning.
        Raises ModelError, naming the first weight that does not fit, for another architecture.
        """
        mine, theirs = self.state_dict(), other.state_dict()
        heads = {"head.weight": 0, "head.bias": 0} | (
            {"feedback.weight": 1} if self.feedback else {}
        )  # tokens' axis
        for name in sorted((mine.keys() | theirs.keys()) - heads.keys()):
            shapes = [
                tuple(state[name].shape) if name in state else "missing" for state in (theirs, mine)
            ]
            if shapes[0] != shapes[1]:
                raise ModelError(
                    f"another architecture: {name} is {shapes[0]} there and {shapes[1]} here"
                )
        shared = [token for token in self.tokenizer.tokens if token in other.tokenizer.tokens]
        here, there = (
            [BLANK, *map(tokenizer.index, shared)]
            for tokenizer in (self.tokenizer, other.tokenizer)
        )
        for name, axis in heads.items():
            mine[name].transpose(0, axis)[here] = theirs[name].transpose(0, axis)[there]
        self.load_state_dict({**theirs, **{name: mine[name] for name in heads}})

    def save(self, path: str | Path, *, scores: Mapping[str, float] | None = None) -> None:
        """Write weights, architecture, tokens and the scores it reached to one safetensors file, whole or not at all.

        Raises ModelError where it cannot be written, such as on a full disk.
        """
        path = Path(path)
        header = {
            "format": FORMAT,
            "version": version("asr"),
            "scores": dict(scores or self.scores),
            **self.architecture,
        }
        weights = {
            name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()
        }
        try:
            with atomic_write(path) as partial:
                save_file(
                    weights, partial, metadata={"asr": json.dumps(header, ensure_ascii=False)}
                )
        except SafetensorError as error:
            raise ModelError(f"{path}: cannot be written ({error})") from None

    @classmethod
    def load(cls, path: str | Path, *, device: str | torch.device = "cpu") -> "CTCModel":
        """Read a trained model, ready to transcribe.

        Raises ModelError where the file is not one, ConfigError where the device is not to be had.
        """
        path, device = Path(path), _usable(device)
        if not path.is_file():
            raise ModelError(f"{path}: no such model; train one first (python -m asr.train)")
        try:
            with safe_open(path, framework="pt") as file:
                header = json.loads((file.metadata() or {}).get("asr", "{}"))
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a mapping
        except (SafetensorError, OSError, ValueError) as error:
            raise ModelError(
                f"{path}: not a trained model ({error}); a run writes one as model.safetensors"
            ) from None
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise ModelError(
                f"{path}: a safetensors file, but not a model of this program (format {FORMAT})"
            )
        try:
            with torch.device(device):
                model = cls(
                    features=header["features"],
                    encoder=header["encoder"],
                    tokenizer=Tokenizer(tuple(header["tokens"])),
                )
            for name in (
                "calibration_params",
                "boundary_params",
            ):  # of a model from before there were such
                weights.setdefault(name, model.state_dict()[name])
            if (
                len(weights["calibration_params"]) == 2
            ):  # slope and offset, as before there were a and b
                weights["calibration_params"] = weights["calibration_params"][[0, 0, 1]]
            model.load_state_dict(weights)
        except (KeyError, TypeError, AttributeError, RuntimeError, ConfigError) as error:
            reason = shorten(str(error), 200)
            raise ModelError(
                f"{path}: its weights do not fit its architecture ({reason})"
            ) from None
        model.scores = header.get("scores", {})
        return model.to(device).eval()


def _usable(device: str | torch.device) -> torch.device:
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError):  # the latter from a torch without CUDA
        raise ConfigError(
            f"device is {str(device)!r}, which this machine or its torch has not; take cpu"
        ) from None


def _build(settings: Mapping[str, Any]) -> nn.Module:
    """The module that `_target_` names. Hydra's instantiate in small: a model must load without Hydra."""
    arguments = dict(settings)
    target = str(arguments.pop("_target_", ""))
    package, _, name = target.rpartition(".")
    try:
        cls = getattr(importlib.import_module(package), name)
    except (ImportError, AttributeError, ValueError):
        raise ConfigError(f"_target_: there is no class {target!r}") from None
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise ConfigError(f"_target_: {target} is not a torch module")
    try:
        return cls(**arguments)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{target}: {error}") from None
