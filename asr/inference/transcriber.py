"""Transcribe recordings with a trained model and a decoder."""

from pathlib import Path

import torch

from asr.audio import Source
from asr.data.dataset import Batch
from asr.decode import Decoder, GreedyDecoder, Hypothesis
from asr.inference.longform import compute_emissions
from asr.nn.ctc import CTCModel


class Transcriber:
    """A model, put into evaluation mode, and a decoder, greedy by default."""

    def __init__(self, model: CTCModel, decoder: Decoder | None = None) -> None:
        self.model = model.eval()
        self.decoder = decoder or GreedyDecoder()

    @classmethod
    def load(
        cls, path: str | Path, *, decoder: Decoder | None = None, device: str = "cpu"
    ) -> "Transcriber":
        """Load a model from its file.

        Raises:
            ModelError: If the file is not a model.
        """
        return cls(CTCModel.load(path, device=device), decoder)

    @torch.inference_mode()
    def transcribe(self, source: Source) -> Hypothesis:
        """Return the words of a recording of any length, a path or the content of a file.

        Raises:
            AudioError: If the recording cannot be read.
        """
        return self.decoder(compute_emissions(self.model, source), self.model.tokenizer)[0]

    @torch.inference_mode()
    def transcribe_batch(self, batch: Batch) -> list[Hypothesis]:
        """Return the hypothesis of each utterance in a batch."""
        if not len(batch):
            return []
        device = self.model.device
        emissions = self.model(batch.waveforms.to(device), batch.lengths.to(device))
        return self.decoder(emissions, self.model.tokenizer)
