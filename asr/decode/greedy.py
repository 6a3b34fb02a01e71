"""Best path decoding: the likeliest token of each frame, repeats merged, blanks dropped (Graves et al. 2006)."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from asr.decode.ctc_path import group_words, token_spans, word_log_probs
from asr.decode.hotwords import HotwordBooster, read_hotwords
from asr.decode.hypothesis import Hypothesis, Word
from asr.decode.timing import WordTimer
from asr.nn.emissions import Emissions
from asr.text import Tokenizer


class GreedyDecoder:
    """The decoder without parameters. Its score is the log-probability of the best path.

    A word's confidence is the geometric mean of its letters' probabilities, as the model's calibration corrects it.
    `hotwords` are phrases to favour: "ann smith", "ann smith:2" with a weight in nats a letter, files of such lines.
    """

    def __init__(self, *, hotwords: Sequence[str] | str | Path | None = None) -> None:
        """Raises ConfigError for a hotword that is none, or whose file cannot be read."""
        self.hotwords = read_hotwords(hotwords) if hotwords else {}
        self._spotter: HotwordBooster | None = None

    def __call__(self, emissions: Emissions, tokenizer: Tokenizer) -> list[Hypothesis]:
        """One hypothesis for each utterance of the emissions."""
        log_probs, lengths = emissions.log_probs.detach(), emissions.lengths.cpu()
        if self.hotwords:
            if self._spotter is None or self._spotter.tokenizer != tokenizer:
                self._spotter = HotwordBooster(self.hotwords, tokenizer)
            log_probs = torch.from_numpy(
                self._spotter(log_probs.float().cpu().numpy(), lengths.numpy())
            )
        best, tokens = (found.cpu().numpy() for found in log_probs.max(dim=-1))
        return [
            hypothesis_from_path(tokens[i, :length], best[i, :length], tokenizer, emissions)
            for i, length in enumerate(lengths.tolist())
        ]


def hypothesis_from_path(
    path: np.ndarray, log_probs: np.ndarray, tokenizer: Tokenizer, emissions: Emissions
) -> Hypothesis:
    """What a path of tokens (U,), with the log-probability of each, says: words in time, with their confidence."""
    found = group_words(token_spans(path), tokenizer)
    starts, ends = (
        [letters[0].start for _, letters in found],
        [letters[-1].end for _, letters in found],
    )
    confidences = map(
        emissions.calibration, np.exp(word_log_probs(path, log_probs, tokenizer)).tolist()
    )
    times = WordTimer.of(emissions)(starts, ends, len(path))
    spoken = [
        Word(text, *at, confidence)
        for (text, _), at, confidence in zip(found, times, confidences, strict=True)
    ]
    return Hypothesis(
        " ".join(word.text for word in spoken), math.fsum(log_probs.tolist()), tuple(spoken)
    )
