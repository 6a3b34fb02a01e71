"""Decoding into one of a list of words or phrases, by their exact CTC likelihood: for commands."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from asr.decode.greedy import GreedyDecoder, hypothesis_from_labels
from asr.decode.hypothesis import Hypothesis
from asr.decode.word_lists import check_spelling, read_lines, unique_phrases
from asr.nn.emissions import Emissions
from asr.nn.losses import ctc_loss
from asr.nn.padding import pad_batch
from asr.text import Tokenizer
from asr.validation import check_number

MAX_VALUES = 1 << 25  # log-probabilities in one call of the loss


class PhraseDecoder:
    """Decoder that returns one of a list of phrases, or an empty text.

    The score of a phrase is its log-likelihood in nats, summed over all alignments. The likelihood
    of another text is that of the greedy text, less `none_penalty` nats. If it exceeds that of all
    phrases, the text is empty. The confidence of each word is the share of its phrase in the sum of
    these likelihoods.

    Args:
        phrases: A list, or the path of a file with one phrase per line.
        none_penalty: Nats. The default, infinity, always returns a phrase that fits.
    """

    needs_whole_recording = True  # a pause inside a phrase does not divide it

    def __init__(
        self, *, phrases: Sequence[str] | str | Path, none_penalty: float = math.inf
    ) -> None:
        """Read and normalize the phrases.

        Raises:
            ConfigError: If the file cannot be read.
            ValueError: If there are no phrases, or if the penalty is not a number >= 0.
        """
        if isinstance(phrases, str | Path):
            phrases = read_lines(Path(phrases), "phrases")
        self.phrases = tuple(unique_phrases(phrases))
        if not self.phrases:
            raise ValueError(
                "phrases must not be empty. Pass a list or a file with one per line"
            )
        if none_penalty != math.inf:
            check_number("none_penalty", none_penalty, ge=0)
        self.none_penalty = none_penalty
        self._greedy = GreedyDecoder()

    def __call__(self, emissions: Emissions, tokenizer: Tokenizer) -> list[Hypothesis]:
        """Return the hypothesis of each utterance.

        Raises:
            ConfigError: If the model cannot write a phrase.
        """
        check_spelling("phrases", self.phrases, tokenizer)
        log_probs = torch.as_tensor(emissions.log_probs).detach().float().cpu()
        lengths = torch.as_tensor(emissions.lengths).cpu()
        emissions = replace(emissions, log_probs=log_probs, lengths=lengths)
        labels = [tokenizer.encode(phrase) for phrase in self.phrases]
        scores = _log_likelihoods(emissions, labels)  # (B, N)
        greedy = [tokenizer.encode(h.text) for h in self._greedy(emissions, tokenizer)]
        free = -ctc_loss(log_probs, lengths, *_pad(greedy))  # (B,)
        other = free - self.none_penalty
        shares = torch.cat((scores, other[:, None]), dim=1).softmax(dim=1)
        best, index = scores.max(dim=1)
        fits = (best > other) & best.isfinite()
        hypotheses = []
        for i, j in enumerate(index.tolist()):
            if not fits[i]:
                hypotheses.append(Hypothesis("", float(free[i])))
                continue
            row = emissions.row(i).numpy()  # (U, V)
            phrase = np.array(labels[j])  # (L,)
            hypothesis = hypothesis_from_labels(phrase, row, tokenizer, emissions)
            share = float(shares[i, j])
            words = tuple(word._replace(confidence=share) for word in hypothesis.words)
            hypotheses.append(Hypothesis(self.phrases[j], float(best[i]), words))
        return hypotheses


def _log_likelihoods(emissions: Emissions, labels: Sequence[Sequence[int]]) -> Tensor:
    """Return the log-likelihoods (B, N) of N label sequences. -inf means that one does not fit."""
    targets, sizes = _pad(labels)
    step = max(1, MAX_VALUES // max(1, emissions.log_probs[0].numel()))
    parts = []
    for part, size in zip(targets.split(step), sizes.split(step), strict=True):
        count = len(size)
        losses = [
            ctc_loss(row.expand(count, -1, -1), length.expand(count), part, size)
            for row, length in zip(emissions.log_probs, emissions.lengths, strict=True)
        ]
        parts.append(torch.stack(losses))
    return -torch.cat(parts, dim=1)


def _pad(sequences: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Return label sequences as a tensor (N, L) with lengths (N,)."""
    return pad_batch([torch.tensor(labels).long() for labels in sequences])
