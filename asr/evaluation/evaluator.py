"""Recognition and scoring of a corpus."""

import time
from collections.abc import Sequence

from asr.data.dataset import OnError, SpeechDataset
from asr.data.filter import keep_all
from asr.data.loader import Loader
from asr.data.manifest import Utterance
from asr.data.sampler import BucketSampler
from asr.errors import AudioError
from asr.evaluation.report import Evaluation, Result
from asr.evaluation.wer import score_utterance
from asr.inference.transcriber import Transcriber
from asr.text import Tokenizer


def load_batches(
    utterances: Sequence[Utterance],
    tokenizer: Tokenizer,
    *,
    batch_seconds: float = 60.0,
    workers: int = 0,
    on_error: OnError = "skip",
) -> Loader:
    """Return batches of all utterances, with utterances of similar length in each batch."""
    examples = keep_all(utterances, tokenizer).examples
    durations = [utterance.duration for utterance in utterances]
    sampler = BucketSampler(durations, batch_seconds=batch_seconds, shuffle=False)
    return Loader(SpeechDataset(examples, on_error=on_error), sampler, workers=workers)


def evaluate_corpus(transcriber: Transcriber, batches: Loader) -> Evaluation:
    """Recognize the utterances of a corpus and score them against their references.

    Raises:
        AudioError: If no utterance can be read.
    """
    results: list[Result] = []
    failures: list[tuple[str, str]] = []
    start = time.monotonic()
    for batch in batches:
        failures += batch.failures
        hypotheses = transcriber.transcribe_batch(batch)
        for utterance, hypothesis in zip(batch.utterances, hypotheses, strict=True):
            scored = score_utterance(utterance.text, hypothesis.text)
            results.append(Result(utterance, hypothesis, scored))
    if not results:
        reason = failures[0][1]
        raise AudioError(
            f"none of the {len(failures)} utterances could be read; first: {reason}"
        )
    return Evaluation(results, time.monotonic() - start, failures)
