"""Adapt a model to your own recordings: `python -m asr.adapt recordings/`.

The argument is a folder with a text file beside each recording, or a table with the columns audio
and text. A tenth of the recordings is held out, the model learns from the others, and the word
error rate on the held-out ones is printed before and after with its interval. outputs/adapted/NAME
keeps the model with instructions.

  dir=DIR                      folder of the result (outputs/adapted/NAME)
  init=PATH                    model to adapt (english)
  resume=true                  continue an interrupted run
  data.recipe.validation=0.2   share of the recordings to hold out (0.1)
  data.recipe.channel=1        channel of the recordings (the mean of all)
  data.recipe.encoding=cp1252  encoding of the texts (UTF-8 or UTF-16)
  tokenizer=english            drop letters that the model lacks, instead of learning them (init)
  seed=1                       random numbers (0)

The hours of speech choose these unless you set them:

  freeze=2                     lower layers that keep their weights
  trainer.max_epochs=20        passes over the recordings
  optimizer.lr=4e-4            learning rate
  data.batch_seconds=30        seconds of speech per step

All other settings of asr.train work, too; conf/adapt.yaml has the defaults.
"""

from collections.abc import Iterator, Sequence

from asr.config.inputs import run_with_files
from asr.errors import AsrError


def adapt(sources: Sequence[str], overrides: Sequence[str]) -> Iterator[AsrError]:
    """Prepare recordings, train on them, and print scores before and after. Yield no errors.

    Args:
        sources: The folder or the table.
        overrides: Settings as key=value.

    Raises:
        AsrError: If the settings or the recordings do not allow an adaptation.
    """
    from asr.config.app import compose
    from asr.config.environment import set_threads
    from asr.config.inherit import inherit_architecture
    from asr.config.recordings import describe_source, prepare_recordings

    cfg = compose("adapt", [*describe_source(sources), *overrides])
    set_threads(cfg)  # before torch starts
    from asr.config.adaptation import MODEL, apply_plan, hold_run, score
    from asr.config.adaptation_report import report
    from asr.config.checks import check_objects
    from asr.train import train

    inherit_architecture(cfg, overrides)
    check_objects(cfg)
    with hold_run(cfg):
        prepare_recordings(cfg)
        apply_plan(cfg, overrides)
        score(cfg, cfg.init, "before")
        train(cfg)
        score(cfg, f"{cfg.dir}/{MODEL}", "after")
        report(cfg)
    yield from ()


def main() -> None:
    """Run the command line."""
    run_with_files("asr.adapt", str(__doc__), adapt, "FOLDER|TABLE [key=value ...]")


if __name__ == "__main__":
    main()
