"""The best of a given list of words or phrases, by their exact likelihood under CTC: for commands."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from asr.decode import ctc_path as path
from asr.decode.ctc_path import TokenSpan, group_words
from asr.decode.forced_align import align_batch
from asr.decode.greedy import GreedyDecoder
from asr.decode.hypothesis import Hypothesis, Word
from asr.decode.timing import WordTimer
from asr.errors import ConfigError, TextError
from asr.nn.emissions import Emissions
from asr.nn.losses import ctc_loss
from asr.text import Tokenizer, normalize
from asr.validation import check_number

AT_ONCE = 1 << 25  # log-probabilities that one call of the loss reads


class PhraseDecoder:
    """Hears one of `phrases`: a list, or the path of a file with one on each line.

    Each phrase's likelihood is summed over all its alignments, all phrases in one batch. "None of them" is what the
    model would write freely (the best path), made less likely by `none_penalty` nats; where that is still likelier
    than every phrase, the text is empty. A penalty of infinity means that one of the phrases was certainly said.

    A word's confidence is the share of its phrase in the likelihoods of all phrases and of none.
    """

    def __init__(
        self, *, phrases: Sequence[str] | str | Path, none_penalty: float = math.inf
    ) -> None:
        """Raises ConfigError for a list that is empty, a file that cannot be read, a penalty that is no number."""
        if isinstance(phrases, str | Path):
            phrases = path.read_phrases(Path(phrases), "decoder.phrases")
        self.phrases = tuple(dict.fromkeys(filter(None, map(normalize, phrases))))
        if not self.phrases:
            raise ConfigError(
                "decoder.phrases is empty; give a list, or a file with a phrase on each line"
            )
        self.none_penalty = (
            none_penalty if none_penalty == math.inf else check_number("none_penalty", none_penalty)
        )
        self._greedy = GreedyDecoder()

    def __call__(self, emissions: Emissions, tokenizer: Tokenizer) -> list[Hypothesis]:
        """One hypothesis for each utterance; its score is the phrase's log-likelihood in nats.

        Raises ConfigError for a phrase with a character that the model does not have.
        """
        labels = [self._encoded(phrase, tokenizer) for phrase in self.phrases]
        scores = self.scores(emissions, labels)
        texts = [
            tokenizer.encode(hypothesis.text) for hypothesis in self._greedy(emissions, tokenizer)
        ]
        free = -ctc_loss(
            emissions.log_probs.detach().cpu(), emissions.lengths.cpu(), *_padded(texts)
        )
        none = free - self.none_penalty
        shares = torch.cat((scores, none[:, None]), dim=1).softmax(dim=1)
        values, best = scores.max(dim=1)
        spans = align_batch(
            emissions.log_probs, emissions.lengths, *_padded([labels[j] for j in best.tolist()])
        )
        found = []
        for i, j in enumerate(best.tolist()):
            if float(values[i]) <= float(none[i]) or values[i].isinf():
                found.append(Hypothesis("", float(free[i])))
                continue
            emitted = group_words(
                map(TokenSpan, labels[j], spans[i].starts.tolist(), spans[i].ends.tolist()),
                tokenizer,
            )
            starts, ends = (
                [letters[0].start for _, letters in emitted],
                [letters[-1].end for _, letters in emitted],
            )
            times = WordTimer.of(emissions)(starts, ends, int(emissions.lengths[i]))
            heard = tuple(
                Word(text, *at, float(shares[i, j]))
                for (text, _), at in zip(emitted, times, strict=True)
            )
            found.append(Hypothesis(self.phrases[j], float(values[i]), heard))
        return found

    @staticmethod
    def scores(emissions: Emissions, labels: Sequence[Sequence[int]]) -> Tensor:
        """Log-likelihood of each of N label sequences for each utterance, (B, N); -inf where one cannot fit."""
        log_probs = emissions.log_probs.detach().float().cpu()
        frames, tokens = log_probs.shape[1:]
        targets, sizes = _padded(labels)
        found = []
        step = max(1, AT_ONCE // max(1, frames * tokens))
        for row, length in zip(log_probs, emissions.lengths.cpu(), strict=True):
            parts = [
                -ctc_loss(row.expand(len(part), -1, -1), length.expand(len(part)), part, size)
                for part, size in zip(targets.split(step), sizes.split(step), strict=True)
            ]
            found.append(torch.cat(parts))
        return torch.stack(found)

    @staticmethod
    def _encoded(phrase: str, tokenizer: Tokenizer) -> list[int]:
        try:
            return tokenizer.encode(phrase)
        except TextError as error:
            raise ConfigError(f"decoder.phrases: {error}; the model cannot write it") from None


def _padded(sequences: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Label sequences as a tensor (N, L) with lengths (N,)."""
    rows = [torch.tensor(sequence, dtype=torch.int64) for sequence in sequences]
    return pad_sequence(rows, batch_first=True), torch.tensor([len(row) for row in rows])
