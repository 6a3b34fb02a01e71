"""pocketsphinx, a peer of this recognizer: pip install pocketsphinx."""

import importlib

import numpy as np
from numpy import ndarray

from asr.audio import SAMPLE_RATE


class Sphinx:
    """pocketsphinx with the acoustic and language model of its package, which uses one thread."""

    def __init__(self) -> None:
        """Load the models with the default settings.

        Raises:
            ImportError: If pocketsphinx is not installed.
        """
        module = importlib.import_module("pocketsphinx")
        self.decoder = module.Decoder(samprate=SAMPLE_RATE, loglevel="FATAL")

    def transcribe(self, samples: ndarray) -> str:
        """Return the text of samples (S,), decoded as one utterance."""
        self.decoder.start_utt()
        pcm = (32767 * samples.clip(-1, 1)).astype(np.int16).tobytes()
        self.decoder.process_raw(pcm, full_utt=True)
        self.decoder.end_utt()
        hypothesis = self.decoder.hyp()  # None without words
        return hypothesis.hypstr if hypothesis else ""
