"""Beam search of whole batches on the device of the emissions, without language model and lexicon.

In torch, since torchaudio's search for GPUs writes beyond its shared memory for beams above 6 (pytorch/audio#3754) and
takes a program down with it on Hopper and later.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from asr.decode.ctc_path import frames_to_decode
from asr.decode.forced_align import best_path
from asr.decode.greedy import hypothesis_from_path
from asr.decode.hypothesis import Hypothesis
from asr.nn.emissions import Emissions
from asr.text import BLANK, Tokenizer
from asr.validation import check_integer, check_number

WIDEST = 2000  # prefixes: each is compared with each, in every frame
MIXER = -7046029254386353131  # an odd number whose products, modulo 2^64, tell prefixes apart


class CudaBeamDecoder:
    """`beam_size` prefixes are kept from frame to frame, each going on with every token.

    Frames whose blank is likelier than `skip_blank` are left out, but one between equal tokens; 1 leaves out none. With
    `nbest` above 1 a hypothesis carries the next best ones as its alternatives. A score is the log-probability of the
    text in nats over the alignments that the search held. Words have the times of the text's likeliest path, and a
    confidence as Greedy's, from the probabilities of their letters on that path.
    """

    def __init__(self, *, beam_size: int = 10, nbest: int = 1, skip_blank: float = 0.95) -> None:
        """Raises ConfigError for a number out of range."""
        self.beam_size = check_integer("beam_size", beam_size, ge=1, le=WIDEST)
        self.nbest = check_integer("nbest", nbest, ge=1, le=beam_size)
        self.skip_blank = check_number("skip_blank", skip_blank, gt=0, le=1)

    def __call__(self, emissions: Emissions, tokenizer: Tokenizer) -> list[Hypothesis]:
        """The best hypothesis of each utterance."""
        log_probs = emissions.log_probs.detach().float()
        rows = [
            row[:n]
            for row, n in zip(log_probs.cpu().numpy(), emissions.lengths.tolist(), strict=True)
        ]
        frames = [frames_to_decode(row, self.skip_blank) for row in rows]
        skipped = [
            float(np.delete(row[:, BLANK], chosen).sum())
            for row, chosen in zip(rows, frames, strict=True)
        ]
        found = search(_picked(log_probs, frames), self.beam_size)
        return [
            self._hypothesis(prefixes, left_out, row, tokenizer, emissions)
            for prefixes, left_out, row in zip(found, skipped, rows, strict=True)
        ]

    def _hypothesis(
        self,
        prefixes: list[tuple[np.ndarray, float]],
        left_out: float,
        log_probs: np.ndarray,
        tokenizer: Tokenizer,
        emissions: Emissions,
    ) -> Hypothesis:
        """The best of the texts that were found for emissions (U, V), the others as its alternatives.

        `left_out` is the log-probability of the blanks that the search was not shown.
        """
        texts: dict[str, tuple[np.ndarray, float]] = {}
        for (
            labels,
            score,
        ) in (
            prefixes
        ):  # spaces at the ends and twice, and pieces put together otherwise, are one text
            text = " ".join(tokenizer.decode(labels.tolist()).split())
            likeliest, so_far = texts.get(text, (labels, -math.inf))
            texts[text] = likeliest, float(np.logaddexp(so_far, score))
        ranked = sorted(texts.values(), key=lambda entry: -entry[1])[: self.nbest]
        hypotheses = []
        for labels, score in ranked:
            path = best_path(log_probs, labels)
            said = hypothesis_from_path(
                path, np.take_along_axis(log_probs, path[:, None], 1)[:, 0], tokenizer, emissions
            )
            hypotheses.append(replace(said, score=score + left_out))
        best, *others = hypotheses
        return replace(best, alternatives=tuple(others))


def search(log_probs: Tensor, beam_size: int) -> list[list[tuple[np.ndarray, float]]]:
    """The likeliest prefixes of emissions (B, U, V), best first: labels (L,) with their log-probability in nats.

    Prefix search (Graves et al. 2006; in this form Hannun et al. 2014, arXiv 1408.2873): of each prefix, the sum over
    its alignments that end in a blank, and over those that end in its last label. A row ends in frames of sure blanks.
    """
    tokens, shape = log_probs.shape[2], (len(log_probs), beam_size)
    impossible = log_probs.new_full(shape, -math.inf)
    blank, label = impossible.clone(), impossible
    blank[:, 0] = 0.0  # nothing was said yet
    scores = blank
    last, name, parent = (
        torch.full(shape, value, device=log_probs.device) for value in (BLANK, 0, -1)
    )
    steps = []
    for frame in log_probs.unbind(1):
        of_last = frame.gather(1, last)
        stay_blank, stay_label = scores + frame[:, BLANK, None], label + of_last
        longer = scores[..., None] + frame[:, None]  # (B, prefix, token)
        longer.scatter_(
            2, last[..., None], (blank + of_last)[..., None]
        )  # the same label again: behind a blank only
        # what a prefix becomes may be in the beam already, as what another one stays
        onto = last[:, None].expand(-1, beam_size, -1)  # (B, prefix, who is in the beam)
        same = (name[..., None] == parent[:, None]) & (scores > -math.inf)[:, None]
        reached = longer.gather(2, onto).masked_fill(~same, -math.inf)
        stay_label = torch.logaddexp(stay_label, reached.amax(1))
        longer.scatter_add_(2, onto, torch.where(same, -math.inf, 0.0))
        longer[..., BLANK] = torch.logaddexp(stay_blank, stay_label)
        scores, chosen = longer.flatten(1).topk(beam_size)
        came, token = chosen // tokens, chosen % tokens
        stays, name_before = token == BLANK, name.gather(1, came)
        blank = torch.where(stays, stay_blank.gather(1, came), impossible)
        label = torch.where(stays, stay_label.gather(1, came), scores)
        last = torch.where(stays, last.gather(1, came), token)
        parent = torch.where(stays, parent.gather(1, came), name_before)
        name = torch.where(stays, name_before, (name_before + token) * MIXER)
        steps.append(torch.stack((came, token)))
    way = torch.stack(steps).cpu().numpy() if steps else np.zeros((0, 2, *shape), dtype=np.int64)
    return list(_prefixes(way, scores.cpu().numpy()))


def _prefixes(way: np.ndarray, scores: np.ndarray) -> Iterator[list[tuple[np.ndarray, float]]]:
    """Of a search's steps (U, which prefix and which token, B, beam) the labels of what it ends with, row by row."""
    labels = np.empty((len(way), *scores.shape), dtype=np.int64)
    at = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    for step in reversed(range(len(way))):
        came, token = way[step]
        labels[step] = np.take_along_axis(token, at, 1)
        at = np.take_along_axis(came, at, 1)
    for row, score in zip(labels.transpose(1, 2, 0), scores.tolist(), strict=True):
        yield [
            (path[path != BLANK], one)
            for path, one in zip(row, score, strict=True)
            if one > -math.inf
        ]


def _picked(log_probs: Tensor, frames: list[np.ndarray]) -> Tensor:
    """Those frames of each row of emissions (B, U, V), and behind them frames of sure blanks."""
    sure = torch.full_like(log_probs[:1, :1], -math.inf)
    sure[..., BLANK] = 0.0
    index = pad_sequence(
        [torch.from_numpy(chosen) for chosen in frames], True, padding_value=-1
    ).to(log_probs.device)
    picked = log_probs.gather(1, index.clamp_min(0)[..., None].expand(-1, -1, log_probs.shape[2]))
    return torch.where(index[..., None] < 0, sure, picked)
