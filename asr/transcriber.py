"""A trained model and a decoder together: recordings in, hypotheses out."""

from collections.abc import Callable
from pathlib import Path

import torch

from asr import audio
from asr.audio import Source
from asr.data.dataset import Batch
from asr.decode import Greedy, Hypothesis
from asr.model import CTCModel, Emissions
from asr.text import Tokenizer

Decoder = Callable[[Emissions, Tokenizer], list[Hypothesis]]


class Transcriber:
    """Transcribes files and batches with a model (put into evaluation mode) and a decoder, greedy unless given."""

    def __init__(self, model: CTCModel, decoder: Decoder | None = None) -> None:
        self.model = model.eval()
        self.decoder = decoder or Greedy()

    @classmethod
    def load(cls, path: str | Path, *, decoder: Decoder | None = None, device: str = "cpu") -> "Transcriber":
        """Read the model from its file. Raises ModelError where it is not one."""
        return cls(CTCModel.load(path, device=device), decoder)

    def transcribe(self, source: Source) -> Hypothesis:
        """The words of one recording (a path, or the file's bytes), with times in seconds and confidence.

        Raises AudioError where it cannot be read.
        """
        waveform = torch.from_numpy(audio.read(source))[None]
        return self._decode(waveform, torch.tensor([waveform.shape[1]]))[0]

    def transcribe_batch(self, batch: Batch) -> list[Hypothesis]:
        """A hypothesis for each utterance of a batch."""
        return self._decode(batch.waveforms, batch.lengths) if len(batch) else []

    @torch.inference_mode()
    def _decode(self, waveforms: torch.Tensor, lengths: torch.Tensor) -> list[Hypothesis]:
        device = self.model.device
        return self.decoder(self.model(waveforms.to(device), lengths.to(device)), self.model.tokenizer)
