"""Score a trained model: `python -m asr.evaluate checkpoint=model.safetensors data=an4`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from asr.config.app import run
from asr.config.build import instantiate, load_split, plain

if TYPE_CHECKING:
    from asr.evaluation.report import Evaluation


def evaluate(cfg: DictConfig) -> dict[str, Any]:
    """Recognize a split of a corpus, write the report, and print its tables.

    Returns:
        The content of `summary.json`.

    Raises:
        ModelError: If the checkpoint is not a model.
        AudioError: If no utterance can be read.
    """
    from asr.data.filter import count_tags
    from asr.evaluation.evaluator import evaluate_corpus
    from asr.evaluation.plots import plot_reliability, save_figure
    from asr.evaluation.report_page import write_report
    from asr.evaluation.runs import flatten_settings
    from asr.inference.model import load_model
    from asr.inference.transcriber import Transcriber

    decoder = instantiate("decoder", cfg.decoder)
    model = load_model(cfg.checkpoint, device=cfg.device, engine=cfg.engine)
    transcriber = Transcriber(model, decoder)
    corpus = load_split(cfg.data, cfg.split, transcriber.model.tokenizer)
    evaluation = evaluate_corpus(transcriber, corpus)
    folder = Path(cfg.dir)
    settings = flatten_settings(plain(cfg))
    evaluation.write(folder, settings)
    evaluation.show(sys.stdout)
    save_figure(plot_reliability(evaluation.reliability), folder / "reliability.png")
    if cfg.report:
        write_report(
            folder / "report.html",
            evaluation,
            model,
            title=f"{cfg.data.name}, {cfg.split}",
            settings=settings,
            examples=cfg.examples,
        )
    for name, reason in evaluation.failures:
        print(f"{name} could not be read: {reason}", file=sys.stderr)
    if evaluation.tags:
        print(f"tags in references that are not scored: {count_tags(evaluation.tags)}")
    print(f"{_describe(evaluation)}  report in {folder}")
    return evaluation.summary()


def _describe(evaluation: "Evaluation") -> str:
    """Return the scores of an evaluation in one line."""
    score, words = evaluation.score, evaluation.score.words
    low, high = evaluation.interval
    return (
        f"WER {score.wer:.2%} ({low:.2%} to {high:.2%})  CER {score.cer:.2%}  "
        f"({words.substitutions} substitutions, {words.deletions} deletions, "
        f"{words.insertions} insertions in {words.length} words)  "
        f"{score.exact} of {score.utterances} utterances correct  "
        f"calibration error {evaluation.reliability.error:.3f}  RTF {evaluation.rtf:.4f}"
    )


def main() -> None:
    """Run the command line."""
    run("evaluate", evaluate)


if __name__ == "__main__":
    main()
