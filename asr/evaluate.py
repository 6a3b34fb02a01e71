"""Score a trained model: `python -m asr.evaluate checkpoint=model.safetensors data=an4 [key=value ...]`."""

import sys
import time
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from asr.config import app as cli
from asr.data.dataset import SpeechDataset
from asr.data.filter import keep_all
from asr.data.loader import Loader
from asr.data.manifest import read_manifests
from asr.data.sampler import BucketSampler
from asr.errors import AudioError, ConfigError
from asr.evaluation.plots import plot_reliability, save_figure
from asr.evaluation.report import Evaluation, Result
from asr.evaluation.wer import score_utterance
from asr.inference.transcriber import Transcriber


def evaluate(cfg: DictConfig) -> dict[str, Any]:
    """Recognise a split of a corpus, write the report's files, print its tables; returns what `summary.json` holds."""
    if cfg.split not in ("train", "validation", "test"):
        raise ConfigError(f"split is {cfg.split!r}; it must be train, validation or test")
    transcriber = Transcriber.load(
        cfg.checkpoint, decoder=cli.instantiate("decoder", cfg.decoder), device=cfg.device
    )
    cli.make_corpus(cfg.data)
    evaluation = recognise(
        transcriber,
        keep_all(
            read_manifests(cfg.data[cfg.split], limit=cfg.data.limit), transcriber.model.tokenizer
        ).examples,
        batch_seconds=cfg.data.batch_seconds,
        workers=cfg.data.workers,
        on_error=cfg.data.on_error,
    )
    folder = Path(cfg.dir)
    evaluation.write(folder)
    evaluation.show(sys.stdout)
    save_figure(plot_reliability(evaluation.reliability), folder / "reliability.png")
    score, words, (low, high) = evaluation.score, evaluation.score.words, evaluation.interval
    for name, reason in evaluation.failures:
        print(f"could not be read: {name}: {reason}", file=sys.stderr)
    print(
        f"WER {score.wer:.2%} ({low:.2%} to {high:.2%})  CER {score.cer:.2%}  "
        f"({words.substitutions} substitutions, {words.deletions} deletions, {words.insertions} insertions "
        f"in {words.length} words)  {score.exact} of {score.utterances} utterances exactly right  "
        f"calibration error {evaluation.reliability.error:.3f}  RTF {evaluation.rtf:.4f}  report in {folder}"
    )
    return evaluation.summary()


def recognise(
    transcriber: Transcriber,
    examples: Any,
    *,
    batch_seconds: float,
    workers: int = 0,
    on_error: Any = "skip",
) -> Evaluation:
    """Hypotheses for examples, in batches of like length, compared with their references; timed without the start."""
    sampler = BucketSampler(
        [e.utterance.duration for e in examples], batch_seconds=batch_seconds, shuffle=False
    )
    results: list[Result] = []
    failures: list[tuple[str, str]] = []
    began = time.monotonic()
    for batch in Loader(SpeechDataset(examples, on_error=on_error), sampler, workers=workers):
        failures += batch.failures
        for utterance, hypothesis in zip(
            batch.utterances, transcriber.transcribe_batch(batch), strict=True
        ):
            results.append(
                Result(utterance, hypothesis, score_utterance(utterance.text, hypothesis.text))
            )
    if not results:
        raise AudioError(
            f"not one of {len(failures)} utterances could be read; the first: {failures[0][1]}"
        )
    return Evaluation(results, time.monotonic() - began, failures)


def main() -> None:
    """Entry point."""
    cli.run("evaluate", evaluate)


if __name__ == "__main__":
    main()
