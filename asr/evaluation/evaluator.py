"""Recognition and scoring of a corpus."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from asr import audio
from asr.audio.vad import estimate_snr
from asr.data.dataset import OnError, SpeechDataset
from asr.data.filter import keep_all
from asr.data.loader import Loader
from asr.data.manifest import Utterance
from asr.data.sampler import BucketSampler
from asr.errors import AudioError
from asr.evaluation.report import Evaluation, Result
from asr.evaluation.wer import score_utterance
from asr.inference import longform
from asr.inference.model import AcousticModel
from asr.inference.transcriber import Transcriber
from asr.nn.emissions import Emissions
from asr.text import Tokenizer


@dataclass(frozen=True)
class Corpus:
    """Utterances to score.

    Attributes:
        long: Utterances longer than a window. Each is computed alone, in windows.
        batches: Batches of the other utterances.
        on_error: "skip" adds an unreadable recording to `failures`, "raise" raises its AudioError.
        failures: (utterance, reason) of the recordings that could not be read.
        snr: Signal-to-noise ratio in dB of each computed utterance, of its first window if it is
            long. None if it is too short.
    """

    long: Sequence[Utterance]
    batches: Loader
    on_error: OnError = "skip"
    failures: list[tuple[str, str]] = field(default_factory=list)
    snr: dict[Utterance, float | None] = field(default_factory=dict)

    def compute_emissions(
        self, model: AcousticModel
    ) -> Iterator[tuple[Sequence[Utterance], Emissions]]:
        """Yield the readable utterances and their emissions (B, U, V), the longest first."""
        for utterance in self.long:
            try:
                self.snr[utterance] = estimate_snr(load_beginning(utterance))
                emissions = longform.compute_emissions(
                    model,
                    utterance.audio,
                    offset=utterance.offset,
                    duration=utterance.duration,
                    channel=utterance.channel,
                )
            except AudioError as error:
                if self.on_error == "raise":
                    raise
                self.failures.append((utterance.name, str(error)))
            else:
                yield (utterance,), emissions
        for batch in self.batches:
            self.failures.extend(batch.failures)
            if len(batch):
                rows = zip(batch.waveforms.numpy(), batch.lengths.tolist(), strict=True)
                waveforms = [waveform[:length] for waveform, length in rows]
                self.snr.update(
                    zip(batch.utterances, map(estimate_snr, waveforms), strict=True)
                )
                yield batch.utterances, model.compute_emissions(waveforms)


def load_beginning(utterance: Utterance) -> np.ndarray:
    """Return the waveform (S,) of the first window of an utterance.

    Raises:
        AudioError: If it cannot be read.
    """
    return audio.load(
        utterance.audio,
        offset=utterance.offset,
        duration=min(utterance.duration, longform.WINDOW),
        channel=utterance.channel,
        name=utterance.name,
    )


def load_corpus(
    utterances: Sequence[Utterance],
    tokenizer: Tokenizer,
    *,
    batch_seconds: float = 60.0,
    workers: int = 0,
    on_error: OnError = "skip",
) -> Corpus:
    """Return all utterances in batches of similar length, except those longer than a window."""
    longest_first = sorted(utterances, key=lambda utterance: -utterance.duration)
    long = [u for u in longest_first if u.duration > longform.WINDOW]
    examples = keep_all(longest_first[len(long) :], tokenizer).examples
    durations = [example.utterance.duration for example in examples]
    sampler = BucketSampler(durations, batch_seconds=batch_seconds, shuffle=False)
    dataset = SpeechDataset(examples, on_error=on_error)
    return Corpus(long, Loader(dataset, sampler, workers=workers), on_error)


def evaluate_corpus(transcriber: Transcriber, corpus: Corpus) -> Evaluation:
    """Recognize the utterances of a corpus and score them against their references.

    Raises:
        AudioError: If no utterance can be read.
    """
    results: list[Result] = []
    start = time.monotonic()
    for utterances, emissions in corpus.compute_emissions(transcriber.model):
        hypotheses = transcriber.decode(emissions)
        for utterance, hypothesis in zip(utterances, hypotheses, strict=True):
            scored = score_utterance(utterance.text, hypothesis.text)
            snr = corpus.snr.get(utterance)
            results.append(Result(utterance, hypothesis, scored, snr))
    failures = corpus.failures
    if not results:
        reason = failures[0][1]
        raise AudioError(
            f"none of the {len(failures)} utterances could be read; first: {reason}"
        )
    return Evaluation(results, time.monotonic() - start, failures)
