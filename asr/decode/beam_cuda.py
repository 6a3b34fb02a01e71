"""Beam search over whole batches on the device of the emissions, without language model or lexicon.

It is written in torch, because torchaudio's search for GPUs writes beyond its shared memory with
beams above 6 (pytorch/audio#3754), which crashes the program on Hopper and later GPUs.
"""

import math
from dataclasses import replace

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from asr.decode.ctc_path import frames_to_decode
from asr.decode.greedy import hypothesis_from_labels
from asr.decode.hypothesis import Hypothesis
from asr.nn.emissions import Emissions
from asr.text import BLANK, Tokenizer
from asr.validation import check_integer, check_number

MAX_BEAM_SIZE = 2000  # the cost of a frame grows with the square
HASH_FACTOR = -7046029254386353131  # odd; products modulo 2^64 distinguish prefixes

# labels (L,) of each prefix and its log-probability in nats
Beam = list[tuple[ndarray, float]]


class CudaBeamDecoder:
    """Prefix beam search for GPUs. It also runs on the CPU.

    The score of a text is its log-probability in nats over the alignments in the beam. Words have
    the times of the most likely path of the text, and the confidence that GreedyDecoder gives them
    on this path.

    Args:
        beam_size: Prefixes to keep from frame to frame. Every token extends each prefix.
        nbest: Hypotheses to return; the best one carries the others as `alternatives`.
        skip_blank: Skip frames with P(blank) > `skip_blank`, except one between repeated tokens.
            1 disables skipping.
    """

    def __init__(
        self, *, beam_size: int = 10, nbest: int = 1, skip_blank: float = 0.95
    ) -> None:
        """Check the settings.

        Raises:
            ValueError: If a number is out of range.
        """
        self.beam_size = check_integer("beam_size", beam_size, ge=1, le=MAX_BEAM_SIZE)
        self.nbest = check_integer("nbest", nbest, ge=1, le=beam_size)
        self.skip_blank = check_number("skip_blank", skip_blank, gt=0, le=1)

    def __call__(self, emissions: Emissions, tokenizer: Tokenizer) -> list[Hypothesis]:
        """Return the best hypothesis of each utterance."""
        rows = emissions.rows()
        frames = [frames_to_decode(row, self.skip_blank) for row in rows]
        log_probs = torch.as_tensor(emissions.log_probs).detach().float()
        if torch.cuda.is_available():
            log_probs = log_probs.cuda()
        log_probs = _select_frames(log_probs, frames)
        beams = search(log_probs, self.beam_size)
        results = []
        for beam, row, decoded in zip(beams, rows, frames, strict=True):
            skipped = float(np.delete(row[:, BLANK], decoded).sum())
            hypotheses = []
            for labels, score in _merge_texts(beam, tokenizer)[: self.nbest]:
                hypothesis = hypothesis_from_labels(labels, row, tokenizer, emissions)
                hypotheses.append(replace(hypothesis, score=score + skipped))
            best, *others = hypotheses
            results.append(replace(best, alternatives=tuple(others)))
        return results


def _merge_texts(beam: Beam, tokenizer: Tokenizer) -> Beam:
    """Return the best prefix of each text with the summed score of the text, best first.

    Prefixes that differ only in outer and double spaces or in their word pieces are one text.
    """
    texts: dict[str, tuple[ndarray, float]] = {}
    for labels, score in beam:
        text = " ".join(tokenizer.decode(labels.tolist()).split())
        best_labels, total = texts.get(text, (labels, -math.inf))
        texts[text] = best_labels, float(np.logaddexp(total, score))
    return sorted(texts.values(), key=lambda entry: -entry[1])


def search(log_probs: Tensor, beam_size: int) -> list[Beam]:
    """Return the most likely prefixes of each row of emissions (B, U, V), best first.

    Prefix search (Graves et al. 2006; in this form Hannun et al. 2014, arXiv 1408.2873): each
    prefix has the sum over its alignments that end in a blank, and over those that end in its last
    label. Rows are padded with certain blanks.
    """
    batch, _, tokens = log_probs.shape
    shape = batch, beam_size
    impossible = log_probs.new_full(shape, -math.inf)
    # (B, beam): scores of the alignments that end in a blank, in the last label, and of all
    label = impossible
    blank = impossible.clone()
    blank[:, 0] = 0.0  # the empty prefix
    scores = blank
    # (B, beam): last label, hash of the prefix, hash without its last label
    last, key, parent_key = (log_probs.new_full(shape, v).long() for v in (BLANK, 0, -1))
    history = []
    for frame in log_probs.unbind(1):  # (B, V)
        last_score = frame.gather(1, last)
        stay_blank = scores + frame[:, BLANK, None]
        stay_label = label + last_score
        extended = scores[..., None] + frame[:, None]  # (B, beam, V)
        # a repeated label extends only the alignments that end in a blank
        extended.scatter_(2, last[..., None], (blank + last_score)[..., None])
        # an extension may equal a prefix of the beam: move its score there
        targets = last[:, None].expand(-1, beam_size, -1)  # (B, beam, beam): source, target
        same = (key[..., None] == parent_key[:, None]) & (scores > -math.inf)[:, None]
        moved = extended.gather(2, targets).masked_fill(~same, -math.inf)
        stay_label = torch.logaddexp(stay_label, moved.amax(1))
        extended.scatter_add_(2, targets, torch.where(same, -math.inf, 0.0))
        extended[..., BLANK] = torch.logaddexp(stay_blank, stay_label)
        scores, index = extended.flatten(1).topk(beam_size)
        source = index // tokens
        token = index % tokens
        stays = token == BLANK
        source_key = key.gather(1, source)
        blank = torch.where(stays, stay_blank.gather(1, source), impossible)
        label = torch.where(stays, stay_label.gather(1, source), scores)
        last = torch.where(stays, last.gather(1, source), token)
        parent_key = torch.where(stays, parent_key.gather(1, source), source_key)
        key = torch.where(stays, source_key, (source_key + token) * HASH_FACTOR)
        history.append(torch.stack((source, token)))
    return _backtrack(torch.stack(history).cpu(), scores.cpu())


def _backtrack(steps: Tensor, scores: Tensor) -> list[Beam]:
    """Return the prefixes of each row, from (source, token) of each step (U, 2, B, beam)."""
    index = torch.arange(scores.shape[1]).expand_as(scores)  # (B, beam)
    labels = []
    for source, token in steps.flip(0):
        labels.append(token.gather(1, index))
        index = source.gather(1, index)
    paths = torch.stack(labels[::-1], dim=2).numpy()  # (B, beam, U)
    beams = []
    for row, row_scores in zip(paths, scores.tolist(), strict=True):
        beam = zip(row, row_scores, strict=True)
        beams.append(
            [(path[path != BLANK], score) for path, score in beam if score > -math.inf]
        )
    return beams


def _select_frames(log_probs: Tensor, frames: list[ndarray]) -> Tensor:
    """Return the given frames of each row of emissions (B, U, V) and at least one certain blank."""
    batch, size, tokens = log_probs.shape
    certain = log_probs.new_full((batch, 1, tokens), -math.inf)
    certain[..., BLANK] = 0.0
    rows = [torch.from_numpy(np.append(row, size)) for row in frames]
    index = pad_sequence(rows, True, padding_value=size).to(log_probs.device)  # (B, K)
    padded = torch.cat((log_probs, certain), dim=1)  # (B, U + 1, V)
    return padded.gather(1, index[..., None].expand(-1, -1, tokens))
