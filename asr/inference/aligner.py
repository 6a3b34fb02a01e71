"""A trained model and texts that are known: recordings in, timelines out."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from asr import audio
from asr.data.sampler import BucketSampler
from asr.decode.forced_align import Alignment, align_batch
from asr.decode.timing import WordTimer
from asr.errors import AsrError, AudioError, TextError
from asr.inference import longform
from asr.inference.timeline import AlignmentRequest, TimedSpan, TimedWord, Timeline
from asr.nn import padding as ln
from asr.nn.ctc import CTCModel
from asr.text import BLANK, split_written_words

POOL = 1200.0  # seconds of recordings that are put into batches, and that wait for each other
BATCH = (
    2 * longform.WINDOW
)  # seconds: whoever shares a batch of this size is no longer than a window


@dataclass(frozen=True)
class _Job:
    recording: AlignmentRequest
    written: tuple[tuple[str, list[str]], ...]
    labels: Tensor
    seconds: float

    @property
    def text(self) -> str:
        return " ".join(word for _, words in self.written for word in words)


class Aligner:
    """Puts texts on the time axis with a model (put into evaluation mode), many recordings in a batch.

    A word's score is exp of the mean log-probability over the frames that emit its characters. The text's score is the
    same over the frames in which either the text or the model's own best path has a character, so that speech that is
    not in the text counts too. What scores below `min_score` does not fit.
    """

    def __init__(self, model: CTCModel, *, min_score: float = 0.15) -> None:
        self.model = model.eval()
        self.min_score = min_score

    @classmethod
    def load(cls, path: str | Path, *, min_score: float = 0.15, device: str = "cpu") -> "Aligner":
        """Read the model from its file. Raises ModelError where it is not one."""
        return cls(CTCModel.load(path, device=device), min_score=min_score)

    def align(self, recordings: Iterable[AlignmentRequest]) -> Iterator[Timeline | AsrError]:
        """A timeline for each recording, in order; where there is none, the error that says why.

        That is AudioError for what cannot be read, TextError for a text without words, with a character that the model
        lacks, or with more characters than the audio has frames for. Audio longer than a window is worked out in
        windows, what is shorter in batches of like length.
        """
        pool: list[_Job | AsrError] = []
        waiting = 0.0
        for recording in recordings:
            try:
                job = self._job(recording)
            except AsrError as error:
                pool.append(error)
                continue
            pool.append(job)
            waiting += job.seconds
            if waiting >= POOL:
                yield from self._aligned(pool)
                pool, waiting = [], 0.0
        yield from self._aligned(pool)

    def _job(self, recording: AlignmentRequest) -> _Job:
        written = tuple(split_written_words(recording.text))
        text = " ".join(word for _, words in written for word in words)
        if not text:
            raise TextError(
                f"{recording.name}: its text has no words, so that there is nothing to align"
            )
        unknown = self.model.tokenizer.unknown(text)
        if unknown:
            listed = " ".join(map(repr, unknown))
            raise TextError(
                f"{recording.name}: its text has {listed}, for which the model has no token; write it out"
            )
        seconds = recording.duration
        if seconds is None:
            seconds = audio.info(recording.source).duration - recording.offset
        return _Job(recording, written, torch.tensor(self.model.tokenizer.encode(text)), seconds)

    def _aligned(self, pool: Sequence[_Job | AsrError]) -> Iterator[Timeline | AsrError]:
        jobs = {i: entry for i, entry in enumerate(pool) if isinstance(entry, _Job)}
        found: dict[int, Timeline | AsrError] = {
            i: entry for i, entry in enumerate(pool) if isinstance(entry, AsrError)
        }
        if jobs:
            places, seconds = list(jobs), [job.seconds for job in jobs.values()]
            for batch in BucketSampler(seconds, batch_seconds=BATCH, shuffle=False).batches(0):
                found |= self._batch({places[k]: jobs[places[k]] for k in batch.tolist()})
        return (found[i] for i in range(len(pool)))

    @torch.inference_mode()
    def _batch(self, jobs: Mapping[int, _Job]) -> dict[int, Timeline | AsrError]:
        """What becomes of recordings that are no longer than a window each, or of one that may be."""
        found: dict[int, Timeline | AsrError] = {}
        if len(jobs) == 1:
            ((only, job),) = jobs.items()
            try:
                emissions = longform.compute_emissions(
                    self.model,
                    job.recording.source,
                    offset=job.recording.offset,
                    duration=job.recording.duration,
                )
            except AudioError as error:
                return {only: error}
            read = [only]
        else:
            waveforms = {}
            for i, job in jobs.items():
                try:
                    samples = audio.load(
                        job.recording.source,
                        offset=job.recording.offset,
                        duration=job.recording.duration,
                    )
                except AudioError as error:
                    found[i] = error
                else:
                    waveforms[i] = torch.from_numpy(samples)
            if not waveforms:
                return found
            emissions = longform.compute_batch_emissions(self.model, list(waveforms.values()))
            read = list(waveforms)
        labels = ln.pad_batch([jobs[i].labels for i in read])
        for row, (i, alignment) in enumerate(
            zip(read, align_batch(emissions.log_probs, emissions.lengths, *labels), strict=True)
        ):
            found[i] = self._timeline(
                jobs[i], emissions.row(row).cpu().numpy(), alignment, WordTimer.of(emissions)
            )
        return found

    def _timeline(
        self, job: _Job, log_probs: np.ndarray, alignment: Alignment, clock: WordTimer
    ) -> Timeline | AsrError:
        recording, tokenizer = job.recording, self.model.tokenizer
        if math.isinf(alignment.score):
            return TextError(
                f"{recording.name}: {len(job.labels)} characters do not fit into its {job.seconds:.2f} s "
                f"({len(log_probs)} frames); is this its text?"
            )
        last = recording.offset + job.seconds
        begin, end = (
            alignment.starts * clock.seconds_per_frame,
            alignment.ends * clock.seconds_per_frame,
        )
        spaces = np.flatnonzero(job.labels.numpy() == tokenizer.index(" "))
        firsts, lasts = (
            np.append(0, spaces + 1),
            np.append(spaces - 1, len(begin) - 1),
        )  # labels of each word
        times = clock(alignment.starts[firsts], alignment.ends[lasts], len(log_probs))
        begin[firsts], end[lasts] = np.array(times).T
        starts, ends = (
            (recording.offset + begin).tolist(),
            (recording.offset + end).clip(max=last).tolist(),
        )
        frames = alignment.ends - alignment.starts
        scores = np.exp(alignment.log_probs).tolist()
        words = []
        at = 0
        for piece, inside in job.written:
            for number, word in enumerate(inside):
                tokens = [tokenizer.decode([label]) for label in tokenizer.encode(word)]
                behind = at + len(tokens)
                characters = tuple(
                    map(TimedSpan, tokens, starts[at:behind], ends[at:behind], scores[at:behind])
                )
                score = _mean(alignment.log_probs[at:behind], frames[at:behind])
                written = piece if number == 0 else ""
                fits = score >= self.min_score
                words.append(
                    TimedWord(word, starts[at], ends[behind - 1], score, written, fits, characters)
                )
                at = behind + 1  # over the space
        score = _score(log_probs, alignment)
        return Timeline(
            job.text, recording.offset, last, score, score >= self.min_score, tuple(words)
        )


def _score(log_probs: np.ndarray, alignment: Alignment) -> float:
    """How well a text fits, from 0 to 1: over the frames (U, V) where it or the best path has a character."""
    steps = np.zeros(len(log_probs) + 1, dtype=np.int64)
    steps[alignment.starts] += 1
    steps[alignment.ends] -= 1
    left_out = log_probs[(steps.cumsum()[:-1] == 0) & (log_probs.argmax(axis=1) != BLANK), BLANK]
    frames = alignment.ends - alignment.starts
    return _mean(
        np.append(alignment.log_probs, left_out), np.append(frames, np.ones(len(left_out)))
    )


def _mean(log_probs: np.ndarray, frames: np.ndarray) -> float:
    return math.exp(float((log_probs * frames).sum() / frames.sum()))
