"""Score a trained model: `python -m asr.evaluate checkpoint=model.safetensors data=an4`."""

import sys
from typing import Any

from omegaconf import DictConfig

from asr.config.app import run
from asr.config.build import instantiate, load_split, plain


def evaluate(cfg: DictConfig) -> dict[str, Any]:
    """Recognize a split of a corpus, write the report, and print its tables.

    Returns:
        The content of `summary.json`.

    Raises:
        ConfigError: If `dir` is the folder of a training.
        ModelError: If the checkpoint is not a model.
        AudioError: If no utterance can be read.
    """
    from asr.config.outputs import open_results
    from asr.data.filter import count_tags
    from asr.evaluation.evaluator import evaluate_corpus
    from asr.evaluation.plots import plot_reliability, save_figure
    from asr.evaluation.report_page import write_report
    from asr.evaluation.runs import flatten_settings
    from asr.inference.model import load_model
    from asr.inference.transcriber import Transcriber

    folder = open_results(cfg.dir)
    decoder = instantiate("decoder", cfg.decoder)
    model = load_model(cfg.checkpoint, device=cfg.device, engine=cfg.engine)
    transcriber = Transcriber(model, decoder)
    corpus = load_split(cfg.data, cfg.split, transcriber.model.tokenizer)
    evaluation = evaluate_corpus(transcriber, corpus)
    settings = flatten_settings(plain(cfg))
    evaluation.write(folder, settings)
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
    evaluation.show()
    for name, reason in evaluation.failures:
        print(f"{name} could not be read: {reason}", file=sys.stderr)
    if evaluation.tags:
        print(f"tags in references that are not scored: {count_tags(evaluation.tags)}")
    print(f"{evaluation.describe()}  report in {folder}")
    return evaluation.summary()


def main() -> None:
    """Run the command line."""
    run("evaluate", evaluate)


if __name__ == "__main__":
    main()
