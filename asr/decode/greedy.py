"""Best path decoding: the most likely token of each frame, with repeats merged and blanks dropped.

Graves et al. 2006, section 3.2.
"""

import math

import numpy as np
from numpy import ndarray

from asr.decode.ctc_path import word_log_probs, word_spans
from asr.decode.forced_align import best_path
from asr.decode.hotwords import HotwordBooster, Hotwords, read_hotwords
from asr.decode.hypothesis import Hypothesis
from asr.decode.timing import WordTimer
from asr.nn.emissions import Emissions
from asr.text import Tokenizer


class GreedyDecoder:
    """Decoder without search. The score is the log-probability of the best path in nats.

    The confidence of a word is the geometric mean of the probabilities of its letters, corrected by
    the calibration of the model.

    Args:
        hotwords: Phrases to boost: a list, or one, of "ann smith", "ann smith:2" with a weight in
            nats per letter, and text files of such lines.
    """

    def __init__(self, *, hotwords: Hotwords | None = None) -> None:
        """Read the hotwords.

        Raises:
            ConfigError: If a file of hotwords cannot be read.
            ValueError: If an entry is not a phrase with an optional weight above 0.
        """
        self.hotwords = read_hotwords(hotwords) if hotwords else {}
        self._booster: HotwordBooster | None = None

    def __call__(self, emissions: Emissions, tokenizer: Tokenizer) -> list[Hypothesis]:
        """Return the hypothesis of each utterance.

        Raises:
            ConfigError: If the model cannot write a hotword.
        """
        rows = emissions.rows()
        if self.hotwords:
            if self._booster is None or self._booster.tokenizer != tokenizer:
                self._booster = HotwordBooster(self.hotwords, tokenizer)
            rows = [self._booster(row) for row in rows]
        paths = [(row.argmax(axis=-1), row.max(axis=-1)) for row in rows]
        return [hypothesis_from_path(*path, tokenizer, emissions) for path in paths]


def hypothesis_from_path(
    path: ndarray, log_probs: ndarray, tokenizer: Tokenizer, emissions: Emissions
) -> Hypothesis:
    """Return the text of a path with the times and the confidence of its words.

    Args:
        path: Tokens (U,).
        log_probs: Log-probability of each token of the path (U,).
        tokenizer: Vocabulary of the path.
        emissions: Source of the frame rate, the boundary offsets, and the calibration.
    """
    (spans,) = word_spans(path[None], tokenizer)
    probabilities = np.exp(word_log_probs(path, log_probs, tokenizer)).tolist()
    confidences = map(emissions.calibration, probabilities)
    words = WordTimer.of(emissions).time_words(spans, confidences, len(path))
    return Hypothesis(
        " ".join(word.text for word in words), math.fsum(log_probs.tolist()), words
    )


def hypothesis_from_labels(
    labels: ndarray, log_probs: ndarray, tokenizer: Tokenizer, emissions: Emissions
) -> Hypothesis:
    """Return the hypothesis of the most likely path that spells labels (L,).

    The labels must fit into the frames of `log_probs` (U, V), a row of the emissions.
    """
    path = best_path(log_probs, labels)
    path_log_probs = log_probs[np.arange(len(path)), path]
    return hypothesis_from_path(path, path_log_probs, tokenizer, emissions)
