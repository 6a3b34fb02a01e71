"""Best path decoding: the likeliest token of each frame, repeats merged, blanks dropped (Graves et al. 2006)."""

import math
from itertools import groupby

from torch import Tensor

from asr.decode.hypothesis import Hypothesis, Word
from asr.model import Emissions
from asr.text import BLANK, Tokenizer


class Greedy:
    """The decoder without parameters. Its score is the log-probability of the best path."""

    def __call__(self, emissions: Emissions, tokenizer: Tokenizer) -> list[Hypothesis]:
        """One hypothesis for each utterance of the emissions."""
        best, tokens = emissions.log_probs.detach().max(dim=-1)
        best, tokens, lengths = best.cpu(), tokens.cpu(), emissions.lengths.tolist()
        return [
            _hypothesis(best[i, :length], tokens[i, :length], tokenizer, emissions.seconds_per_frame)
            for i, length in enumerate(lengths)
        ]


def _hypothesis(best: Tensor, tokens: Tensor, tokenizer: Tokenizer, seconds: float) -> Hypothesis:
    scores = best.tolist()
    emitted: list[tuple[str, int, int, float]] = []  # character, first frame, frame behind the last, log-probability
    at = 0
    for token, run in groupby(tokens.tolist()):
        end = at + len(list(run))
        if token != BLANK:
            emitted.append((tokenizer.decode([token]), at, end, max(scores[at:end])))
        at = end
    words = []
    for is_space, group in groupby(emitted, key=lambda entry: entry[0] == " "):
        if is_space:
            continue
        letters = list(group)
        confidence = math.exp(sum(letter[3] for letter in letters) / len(letters))
        text = "".join(letter[0] for letter in letters)
        words.append(Word(text, letters[0][1] * seconds, letters[-1][2] * seconds, confidence))
    return Hypothesis(" ".join(word.text for word in words), math.fsum(scores), tuple(words))
