"""Compare fine-tuning with training from nothing: python benchmarks/finetuning.py MODEL.

    python benchmarks/finetuning.py outputs/english/model.safetensors --root data \
        --tables data/asterisk_prompts/index.tsv [key=value ...]

The corpora are the voices of `--tables` that are not in the training of MODEL, FSDD, AN4, and
Speech Commands. The last three are tested on speakers who are in none of the trainings. A voice is
divided into test (20 %), validation (5 %), and training by the hash of the files' names. No text of
its test is in its training. Columns: WER with its 95 % interval after training on 1, 5, 10, and 30
minutes. If a corpus has less, all of it is used, and the cell says how much that is.

"from nothing" uses the experiment of the corpus (small_corpus for a voice) for `--steps` steps. The
other row starts from MODEL with experiment=small_corpus for `--tuning-steps` steps. key=value are
further settings of both trainings. Finished cells in `--folder` are not trained again.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from held_out import HeldOutSet, choose_first, read_training, read_unknown
from scoring import Row, describe_wer, to_markdown
from training_cells import Cell, finish, score, take_seconds, total_seconds

from asr.config.reporting import report_user_errors
from asr.data.manifest import Utterance, read_manifest
from asr.errors import ConfigError

PUBLISHED = {"fsdd": "FSDD", "an4": "AN4", "speechcommands": "Speech Commands"}
TEST, VALIDATION = 0.2, 0.05  # shares of a voice
MAX_VALIDATION = 120  # clips
START = ["experiment=small_corpus", "data=folder"]
TUNING = [*START, "optimizer.lr=5e-4"]
SCRATCH, TUNED = "from nothing", "init=MODEL"


class Corpus(NamedTuple):
    """The splits of a corpus and the settings that train a model on it from nothing."""

    name: str
    title: str
    train: list[Utterance]
    validation: list[Utterance]
    test: list[Utterance]
    settings: list[str]


def main() -> None:
    """Print the table."""
    call = partial(run, *parse())
    sys.exit(report_user_errors("benchmarks/finetuning.py", call))


def parse(
    arguments: Sequence[str] | None = None,
) -> tuple[argparse.Namespace, list[str]]:
    """Return the options of the command line, and the settings of `asr.train`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="model file, or english for the packaged one")
    parser.add_argument("--root", type=Path, default=Path("data"))
    parser.add_argument("--tables", nargs="*", type=Path, default=[])
    parser.add_argument("--corpora", nargs="*", choices=PUBLISHED, default=[*PUBLISHED])
    parser.add_argument("--minutes", nargs="+", type=float, default=[1, 5, 10, 30])
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--tuning-steps", type=int, default=600)
    parser.add_argument("--folder", type=Path, default=Path("outputs/finetuning"))
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_known_args(arguments)


def run(options: argparse.Namespace, overrides: Sequence[str]) -> None:
    """Train all cells, print the table, and write the JSON file.

    Raises:
        AsrError: If an option is wrong, data is missing, or a training fails.
    """
    if options.steps < 1 or options.tuning_steps < 1 or min(options.minutes) <= 0:
        raise ConfigError("--steps, --tuning-steps, and --minutes must be positive")
    options.minutes.sort()
    corpora = read_corpora(options.root, options.tables, options.corpora)
    rows = [row for c in corpora for row in measure(c, options, overrides)]
    print(make_table(rows, options.minutes))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def read_corpora(root: Path, tables: Sequence[Path], names: Sequence[str]) -> list[Corpus]:
    """Return the corpora whose data is in ROOT, and the voices of the tables.

    Raises:
        ManifestError: If a manifest is missing.
        ConfigError: If all voices of a table are in training.
    """
    trained = {u.speaker for u in read_training(root, ("train", "validation"))}
    voices = [split_voice(read_unknown(root, table, trained)) for table in tables]
    return [*voices, *(read_published(root, name, trained) for name in names)]


def read_published(root: Path, name: str, trained: set[str]) -> Corpus:
    """Return a corpus with its own splits."""
    splits = {
        split: read_manifest(root / f"manifests/{name}/{split}.jsonl")
        for split in ("train", "validation", "test")
    }
    splits["validation"] = choose_first(splits["validation"], MAX_VALIDATION)
    known = any(speaker.startswith(f"{name}-") for speaker in trained)
    title = f"{PUBLISHED[name]} ({'in' if known else 'not in'} training)"
    return Corpus(name, title, **splits, settings=[f"experiment={name}"])


def split_voice(voice: HeldOutSet) -> Corpus:
    """Divide a voice into the splits. No text is in both test and another split."""
    remaining = choose_first(voice.utterances, None)
    splits = []
    for share in (TEST, VALIDATION):
        chosen = take_seconds(remaining, share * total_seconds(voice.utterances))
        texts = {utterance.text for utterance in chosen}
        remaining = [u for u in remaining if u not in chosen and u.text not in texts]
        splits.append(chosen)
    test, validation = splits
    name = "-".join(voice.name.replace(",", "").split())
    title = f"{voice.name} (not in training)"
    return Corpus(name, title, remaining, validation, test, START)


def measure(
    corpus: Corpus, options: argparse.Namespace, overrides: Sequence[str]
) -> Iterator[Row]:
    """Yield the scores of the unchanged model, then those of each training on a corpus."""
    general = [f"data.root={options.root}", *overrides]
    names = {"corpus": corpus.title, "start": TUNED}
    yield {**names, "minutes": 0.0, **score(options.model, corpus.test)}
    starts = {
        SCRATCH: ("nothing", options.steps, corpus.settings),
        TUNED: ("init", options.tuning_steps, [*TUNING, f"init={options.model}"]),
    }
    for start, (name, steps, settings) in starts.items():
        for minutes in amounts(options.minutes, total_seconds(corpus.train) / 60):
            cell = Cell(
                folder=options.folder / corpus.name / f"{name}-{minutes:g}",
                train=take_seconds(corpus.train, 60 * minutes),
                validation=corpus.validation,
                test=corpus.test,
                settings=[*settings, *general],
                steps=steps,
            )
            names = {"corpus": corpus.title, "start": start, "minutes": minutes}
            yield {**names, **finish(cell)}


def make_table(rows: Sequence[Row], minutes: Sequence[float]) -> str:
    """Return the table in Markdown, with a row for each corpus and start."""
    columns = [0.0, *minutes]
    cells = {
        (row["corpus"], row["start"]): [""] * len(columns)
        for row in sorted(rows, key=lambda row: (row["corpus"], row["start"]))
    }
    for row in rows:
        amount = row["minutes"]
        column = sum(wanted < amount for wanted in columns[:-1])
        note = "" if amount in columns else f", all {amount:g} min"
        cells[row["corpus"], row["start"]][column] = describe_wer(row) + note
    headings = ["Corpus", "Start", *(f"{amount:g} min" for amount in columns)]
    return to_markdown(headings, [[*names, *values] for names, values in cells.items()])


def amounts(minutes: Sequence[float], available: float) -> list[float]:
    """Return the minutes that a corpus has, and all of it instead of the first larger amount."""
    enough = [amount for amount in minutes if amount <= available]
    if len(enough) < len(minutes):
        enough.append(math.ceil(10 * available) / 10)
    return enough


if __name__ == "__main__":
    main()
