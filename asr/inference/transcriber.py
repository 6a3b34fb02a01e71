"""A trained model and a decoder together: recordings in, hypotheses out."""

from collections.abc import Callable
from pathlib import Path

import torch

from asr.audio import Source
from asr.data.dataset import Batch
from asr.decode import GreedyDecoder, Hypothesis
from asr.inference.longform import compute_emissions
from asr.nn.ctc import CTCModel
from asr.nn.emissions import Emissions
from asr.text import Tokenizer

Decoder = Callable[[Emissions, Tokenizer], list[Hypothesis]]


class Transcriber:
    """Transcribes files and batches with a model (put into evaluation mode) and a decoder, greedy unless given."""

    def __init__(self, model: CTCModel, decoder: Decoder | None = None) -> None:
        self.model = model.eval()
        self.decoder = decoder or GreedyDecoder()

    @classmethod
    def load(
        cls, path: str | Path, *, decoder: Decoder | None = None, device: str = "cpu"
    ) -> "Transcriber":
        """Read the model from its file. Raises ModelError where it is not one."""
        return cls(CTCModel.load(path, device=device), decoder)

    @torch.inference_mode()
    def transcribe(self, source: Source) -> Hypothesis:
        """The words of one recording (a path, or the file's bytes), with times in seconds and confidence.

        It may be of any length: `asr.inference.longform` tells how. Raises AudioError where it cannot be read.
        """
        return self.decoder(compute_emissions(self.model, source), self.model.tokenizer)[0]

    @torch.inference_mode()
    def transcribe_batch(self, batch: Batch) -> list[Hypothesis]:
        """A hypothesis for each utterance of a batch."""
        if not len(batch):
            return []
        device = self.model.device
        return self.decoder(
            self.model(batch.waveforms.to(device), batch.lengths.to(device)), self.model.tokenizer
        )
