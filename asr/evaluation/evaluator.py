"""Recognition and scoring of a corpus."""

import time
from collections.abc import Sequence

from asr.data.dataset import OnError, SpeechDataset
from asr.data.filter import Example
from asr.data.loader import Loader
from asr.data.sampler import BucketSampler
from asr.errors import AudioError
from asr.evaluation.report import Evaluation, Result
from asr.evaluation.wer import score_utterance
from asr.inference.transcriber import Transcriber


def evaluate_examples(
    transcriber: Transcriber,
    examples: Sequence[Example],
    *,
    batch_seconds: float,
    workers: int = 0,
    on_error: OnError = "skip",
) -> Evaluation:
    """Recognize examples in batches of similar length and score them against their references.

    Raises:
        AudioError: If no utterance can be read.
    """
    durations = [example.utterance.duration for example in examples]
    sampler = BucketSampler(durations, batch_seconds=batch_seconds, shuffle=False)
    dataset = SpeechDataset(examples, on_error=on_error)
    results: list[Result] = []
    failures: list[tuple[str, str]] = []
    start = time.monotonic()
    for batch in Loader(dataset, sampler, workers=workers):
        failures += batch.failures
        hypotheses = transcriber.transcribe_batch(batch)
        for utterance, hypothesis in zip(batch.utterances, hypotheses, strict=True):
            scored = score_utterance(utterance.text, hypothesis.text)
            results.append(Result(utterance, hypothesis, scored))
    if not results:
        reason = failures[0][1]
        raise AudioError(f"none of the {len(failures)} utterances could be read; first: {reason}")
    return Evaluation(results, time.monotonic() - start, failures)
