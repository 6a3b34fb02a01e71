"""Compare two systems, or training runs.

`python -m asr.compare A B` compares two folders of `asr.evaluate`: the difference of their word
error rates with its interval, a paired test, speakers, and differing utterances. It writes a page.

`python -m asr.compare dir=outputs/an4-sweep` compares training runs: it prints a table of the
settings that differ and the word error rates, best run first, and writes `compare.csv` and a plot.
A sweep does this when it ends.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from omegaconf import DictConfig

from asr.config.app import asks_for_help, run
from asr.config.inputs import run_with_files, split_arguments
from asr.errors import AsrError


def compare(cfg: DictConfig) -> None:
    """Print, write, and plot the comparison of the runs in `dir`.

    Raises:
        ConfigError: If no run in the folder has finished.
    """
    from asr.evaluation.runs import compare_runs

    compare_runs(Path(cfg.dir))


def compare_folders(folders: Sequence[str], overrides: Sequence[str]) -> Iterator[AsrError]:
    """Print and write the comparison of two evaluations, and yield no errors.

    Raises:
        ConfigError: If there are not two folders with evaluations of the same data.
    """
    from asr.config.app import compose
    from asr.errors import ConfigError
    from asr.evaluation.systems import compare_systems

    cfg = compose("compare", overrides)
    if len(folders) != 2:
        raise ConfigError(f"pass two folders of asr.evaluate, or dir=FOLDER, got {folders}")
    first, second = map(Path, folders)
    page = Path(cfg.output) if cfg.output else second / "compare.html"
    compare_systems(first, second, page, cfg.examples)
    yield from ()


def main() -> None:
    """Run the command line."""
    folders, _ = split_arguments([a for a in sys.argv[1:] if not a.startswith("-")])
    if (folders or len(sys.argv) == 1) and not asks_for_help():
        run_with_files("asr.compare", str(__doc__), compare_folders)
    run("compare", compare, "A B | dir=FOLDER [key=value ...]")


if __name__ == "__main__":
    main()
