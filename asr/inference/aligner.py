"""Align recordings with their known texts by a trained model."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asr import audio
from asr.data.sampler import BucketSampler
from asr.decode.forced_align import Alignment, align_batch
from asr.decode.timing import WordTimer
from asr.errors import AsrError, AudioError, TextError
from asr.inference import longform
from asr.inference.model import AcousticModel
from asr.inference.timeline import AlignmentRequest, TimedSpan, TimedWord, Timeline
from asr.nn.ctc import CTCModel
from asr.text import BLANK, split_written_words

POOL_SECONDS = 1200.0  # length of the recordings that are sorted into batches together
BATCH_SECONDS = 2 * longform.WINDOW  # so that a batch of several has none above a window


@dataclass
class _Job:
    """A request with its result, or with what is needed to compute it.

    Attributes:
        words: (word, written form) pairs as in `TimedWord`.
        labels: Labels (L,) of the text.
        seconds: Length of the recording or segment.
    """

    request: AlignmentRequest
    words: Sequence[tuple[str, str]] = ()
    labels: Tensor = field(default_factory=Tensor)
    seconds: float = 0.0
    result: Timeline | AsrError | None = None


class Aligner:
    """A model, put into evaluation mode, that finds the times of known texts.

    The score of a word is the exponential of the mean log-probability of its characters over the
    frames that emit them. The score of a text also covers the frames in which only the best path
    has a character, so speech that is missing from the text lowers it. A word or a text fits if its
    score is at least `min_score`.
    """

    def __init__(self, model: AcousticModel, *, min_score: float = 0.15) -> None:
        self.model = model
        self.min_score = min_score

    @classmethod
    def load(
        cls, path: str | Path, *, min_score: float = 0.15, device: str = "cpu"
    ) -> "Aligner":
        """Load a model from its file.

        Raises:
            ModelError: If the file is not a model.
        """
        return cls(CTCModel.load(path, device=device), min_score=min_score)

    def align(self, requests: Iterable[AlignmentRequest]) -> Iterator[Timeline | AsrError]:
        """Yield a timeline or an error for each request, in order.

        The error is an AudioError for an unreadable recording, and a TextError for a text that has
        no words, a character without a token, or more characters than fit into the frames. Long
        recordings are computed in windows, shorter ones in batches of similar length.
        """
        pool: list[_Job] = []
        seconds = 0.0
        for request in requests:
            try:
                pool.append(self._prepare(request))
            except AsrError as error:
                pool.append(_Job(request, result=error))
            seconds += pool[-1].seconds
            if seconds >= POOL_SECONDS:
                yield from self._align_pool(pool)
                pool, seconds = [], 0.0
        yield from self._align_pool(pool)

    def _prepare(self, request: AlignmentRequest) -> _Job:
        words = [
            (word, written if i == 0 else "")
            for written, group in split_written_words(request.text)
            for i, word in enumerate(group)
        ]
        text = " ".join(word for word, _ in words)
        if not text:
            raise TextError(f"{request.name}: its text has no words to align")
        tokenizer = self.model.tokenizer
        if unknown := tokenizer.unknown(text):
            characters = " ".join(map(repr, unknown))
            raise TextError(
                f"{request.name}: its text has {characters}, for which the model has no token; "
                "spell it out"
            )
        seconds = request.duration
        if seconds is None:
            seconds = audio.info(request.source).duration - request.offset
        return _Job(request, words, torch.tensor(tokenizer.encode(text)), seconds)

    def _align_pool(self, pool: Sequence[_Job]) -> list[Timeline | AsrError]:
        """Return the results of a pool in order."""
        jobs = [job for job in pool if job.result is None]
        if jobs:
            durations = [job.seconds for job in jobs]
            sampler = BucketSampler(durations, batch_seconds=BATCH_SECONDS, shuffle=False)
            for batch in sampler.batches(0):
                self._align_batch([jobs[i] for i in batch])
        return [job.result for job in pool if job.result is not None]

    @torch.inference_mode()
    def _align_batch(self, jobs: Sequence[_Job]) -> None:
        """Set the results of one job of any length, or of several no longer than a window."""
        waveforms = []
        for job in jobs:
            request = job.request
            segment: Any = {
                "offset": request.offset,
                "duration": request.duration,
                "channel": request.channel,
            }
            try:
                if len(jobs) > 1:
                    waveforms.append(audio.load(request.source, **segment))
                else:
                    emissions = longform.compute_emissions(
                        self.model, request.source, **segment
                    )
            except AudioError as error:
                job.result = error
        jobs = [job for job in jobs if job.result is None]
        if not jobs:
            return
        if waveforms:
            emissions = self.model.compute_emissions(waveforms)
        alignments = align_batch(emissions, [job.labels.numpy() for job in jobs])
        timer = WordTimer.of(emissions)
        results = zip(jobs, emissions.rows(), alignments, strict=True)
        for job, log_probs, alignment in results:
            job.result = self._timeline(job, log_probs, alignment, timer)

    def _timeline(
        self, job: _Job, log_probs: np.ndarray, alignment: Alignment, timer: WordTimer
    ) -> Timeline | AsrError:
        """Return the timeline of a text from emissions (U, V) and its alignment."""
        request, frames = job.request, len(log_probs)
        if math.isinf(alignment.score):
            return TextError(
                f"{request.name}: {len(job.labels)} characters do not fit into its "
                f"{job.seconds:.2f} s ({frames} frames); check that this is its text"
            )
        words = tuple(self._words(job, alignment, timer, frames))
        text = " ".join(word.text for word in words)
        score = _text_score(log_probs, alignment)
        end = request.offset + job.seconds
        fits = score >= self.min_score
        channel = None if request.channel == "mix" else request.channel
        return Timeline(text, request.offset, end, score, fits, words, channel)

    def _words(
        self, job: _Job, alignment: Alignment, timer: WordTimer, frames: int
    ) -> Iterator[TimedWord]:
        """Yield the words with the times and scores of their characters."""
        tokenizer, offset = self.model.tokenizer, job.request.offset
        labels = job.labels.numpy()  # (L,)
        spaces = np.flatnonzero(labels == tokenizer.index(" "))
        firsts, stops = np.append(0, spaces + 1), np.append(spaces, len(labels))
        starts = alignment.starts * timer.seconds_per_frame  # (L,)
        ends = alignment.ends * timer.seconds_per_frame  # (L,)
        bounds = timer(alignment.starts[firsts], alignment.ends[stops - 1], frames)
        starts[firsts], ends[stops - 1] = np.array(bounds).T
        characters = tuple(
            map(
                TimedSpan,
                [tokenizer.decode([label]) for label in labels],
                (offset + starts).tolist(),
                (offset + ends).clip(max=offset + job.seconds).tolist(),
                np.exp(alignment.log_probs).tolist(),
            )
        )
        durations = alignment.ends - alignment.starts
        for (word, written), first, stop in zip(job.words, firsts, stops, strict=True):
            span = slice(first, stop)
            score = _mean_probability(alignment.log_probs[span], durations[span])
            spans, fits = characters[span], score >= self.min_score
            yield TimedWord(
                word, spans[0].start, spans[-1].end, score, written, fits, spans
            )


def _text_score(log_probs: np.ndarray, alignment: Alignment) -> float:
    """Return the score of a text between 0 and 1 from emissions (U, V) and its alignment.

    It is a mean over the frames in which the text or the best path has a character.
    """
    steps = np.zeros(len(log_probs) + 1, dtype=np.int64)
    steps[alignment.starts] += 1
    steps[alignment.ends] -= 1
    outside_text = steps.cumsum()[:-1] == 0  # (U,)
    missing = outside_text & (log_probs.argmax(axis=1) != BLANK)  # (U,)
    blanks = log_probs[missing, BLANK]
    durations = alignment.ends - alignment.starts
    return _mean_probability(
        np.append(alignment.log_probs, blanks), np.append(durations, np.ones(len(blanks)))
    )


def _mean_probability(log_probs: np.ndarray, frames: np.ndarray) -> float:
    return math.exp(float((log_probs * frames).sum() / frames.sum()))
