"""Transcribe recordings with a trained model and a decoder."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from asr.audio import Channel, Recording, Source
from asr.decode.greedy import GreedyDecoder
from asr.decode.hypothesis import Decoder, Hypothesis
from asr.inference.longform import compute_emissions
from asr.inference.model import AcousticModel, Engine, load_model
from asr.nn.emissions import Emissions


class Transcriber:
    """A model in evaluation mode and a decoder, greedy by default."""

    def __init__(self, model: AcousticModel, decoder: Decoder | None = None) -> None:
        self.model = model
        self.decoder = decoder or GreedyDecoder()

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        decoder: Decoder | None = None,
        device: str = "cpu",
        engine: Engine = "auto",
    ) -> "Transcriber":
        """Load a model from its file as `load_model` does.

        Raises:
            ModelError: If the file is not a model.
            ConfigError: If the device is not available or the engine is not installed.
        """
        return cls(load_model(path, device=device, engine=engine), decoder)

    def transcribe(self, source: Source, *, channel: Channel = "mix") -> Hypothesis:
        """Return the words of a recording of any length, a path or the content of a file.

        A recording that is cut off is transcribed up to that point, with a warning.

        Raises:
            AudioError: If the recording cannot be read or has no such channel.
        """
        with Recording(source, on_truncated="warn") as recording:
            return self._transcribe(recording, channel)

    def transcribe_channels(self, source: Source) -> Iterator[Hypothesis]:
        """Yield the words of each channel of a recording.

        Raises:
            AudioError: If the recording cannot be read.
        """
        with Recording(source, on_truncated="warn") as recording:
            for channel in range(1, recording.info.channels + 1):
                yield replace(self._transcribe(recording, channel), channel=channel)

    def _transcribe(self, recording: Recording, channel: Channel) -> Hypothesis:
        emissions = compute_emissions(self.model, recording, channel=channel)
        return self.decode(emissions)[0]

    def decode(self, emissions: Emissions) -> list[Hypothesis]:
        """Return the hypothesis of each utterance from emissions (B, U, V)."""
        return self.decoder(emissions, self.model.tokenizer)
