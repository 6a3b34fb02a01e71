"""The best of a given list of words or phrases, by their exact likelihood under CTC: for commands."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from asr.decode.align import align
from asr.decode.greedy import Greedy
from asr.decode.hypothesis import Hypothesis, Word
from asr.errors import ConfigError, TextError
from asr.loss import ctc_loss
from asr.model import Emissions
from asr.text import Tokenizer, normalise

AT_ONCE = 1 << 25  # log-probabilities that one call of the loss reads


class Closed:
    """Hears one of `phrases`: a list, or the path of a file with one on each line.

    Each phrase's likelihood is summed over all its alignments, all phrases in one batch. "None of them" is what the
    model would write freely (the best path), made less likely by `none_penalty` nats; where that is still likelier
    than every phrase, the text is empty. A penalty of infinity means that one of the phrases was certainly said.

    A word's confidence is the share of its phrase in the likelihoods of all phrases and of none.
    """

    def __init__(self, *, phrases: Sequence[str] | str | Path, none_penalty: float = math.inf) -> None:
        """Raises ConfigError where the list is empty or its file cannot be read."""
        if isinstance(phrases, str | Path):
            phrases = _lines(Path(phrases))
        self.phrases = tuple(dict.fromkeys(filter(None, map(normalise, phrases))))
        if not self.phrases:
            raise ConfigError("decoder.phrases is empty; give a list, or a file with a phrase on each line")
        self.none_penalty = none_penalty
        self._greedy = Greedy()

    def __call__(self, emissions: Emissions, tokenizer: Tokenizer) -> list[Hypothesis]:
        """One hypothesis for each utterance; its score is the phrase's log-likelihood in nats.

        Raises ConfigError for a phrase with a character that the model does not have.
        """
        labels = [self._encoded(phrase, tokenizer) for phrase in self.phrases]
        scores = self.scores(emissions, labels)
        free = self._free(emissions, tokenizer)
        none = free - self.none_penalty
        shares = torch.cat((scores, none[:, None]), dim=1).softmax(dim=1)
        best = scores.argmax(dim=1)
        return [
            _hypothesis(emissions, i, self.phrases[j], labels[j], float(scores[i, j]), float(shares[i, j]))
            if float(scores[i, j]) > float(none[i])
            else Hypothesis("", float(free[i]))
            for i, j in enumerate(best.tolist())
        ]

    @staticmethod
    def scores(emissions: Emissions, labels: Sequence[Sequence[int]]) -> Tensor:
        """Log-likelihood of each of N label sequences for each utterance, (B, N); -inf where one cannot fit."""
        log_probs = emissions.log_probs.detach().float().cpu()
        frames, tokens = log_probs.shape[1:]
        sizes = torch.tensor([len(sequence) for sequence in labels])
        targets = torch.nn.utils.rnn.pad_sequence([torch.tensor(sequence) for sequence in labels], batch_first=True)
        found = []
        step = max(1, AT_ONCE // max(1, frames * tokens))
        for row, length in zip(log_probs, emissions.lengths.cpu(), strict=True):
            parts = [
                -ctc_loss(row.expand(len(part), -1, -1), length.expand(len(part)), part, size)
                for part, size in zip(targets.split(step), sizes.split(step), strict=True)
            ]
            found.append(torch.cat(parts))
        return torch.stack(found)

    def _free(self, emissions: Emissions, tokenizer: Tokenizer) -> Tensor:
        """Log-likelihood of each utterance's best path's text, (B,)."""
        texts = [tokenizer.encode(hypothesis.text) for hypothesis in self._greedy(emissions, tokenizer)]
        return self.scores(emissions, texts).diagonal()

    @staticmethod
    def _encoded(phrase: str, tokenizer: Tokenizer) -> list[int]:
        try:
            return tokenizer.encode(phrase)
        except TextError as error:
            raise ConfigError(f"decoder.phrases: {error}; the model cannot write it") from None


def _hypothesis(
    emissions: Emissions, row: int, phrase: str, labels: Sequence[int], score: float, confidence: float
) -> Hypothesis:
    frames = int(emissions.lengths[row])
    target = torch.tensor([labels])
    (spans,) = align(emissions.log_probs[row : row + 1], torch.tensor([frames]), target, torch.tensor([len(labels)]))
    words, at = [], 0
    for word in phrase.split():
        end = at + len(word)
        start, stop = (float(frame) * emissions.seconds_per_frame for frame in (spans.starts[at], spans.ends[end - 1]))
        words.append(Word(word, start, stop, confidence))
        at = end + 1  # the space
    return Hypothesis(phrase, score, tuple(words))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"decoder.phrases: {path}: {getattr(error, 'strerror', None) or 'not a text in UTF-8'}"
        ) from None
