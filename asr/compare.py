"""Compare training runs: `python -m asr.compare dir=outputs/an4-sweep`.

Prints a table of the settings that differ and the word error rates, best run first, and writes
`compare.csv` and a plot. A sweep does this when it ends.
"""

from pathlib import Path

from omegaconf import DictConfig

from asr.config.app import run


def compare(cfg: DictConfig) -> None:
    """Print, write, and plot the comparison of the runs in `dir`.

    Raises:
        ConfigError: If no run in the folder has finished.
    """
    from asr.evaluation.runs import compare_runs

    compare_runs(Path(cfg.dir))


def main() -> None:
    """Run the command line."""
    run("compare", compare)


if __name__ == "__main__":
    main()
