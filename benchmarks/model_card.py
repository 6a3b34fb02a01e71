"""Print the figures of a model card: python benchmarks/model_card.py MODEL --root data.

    python benchmarks/model_card.py outputs/english/model.safetensors --decoder greedy english \
        --tables data/asterisk_prompts/index.tsv data/art4apps_words/index.tsv --json card.json
    pip install pocketsphinx
    python benchmarks/model_card.py --peer pocketsphinx

The sets are the test manifests of `recipes.english`, `an4`, `speechocean762`, `speechcommands`, and
`fsdd` in ROOT, and the speakers of `--tables` that are not in the training manifest. Missing sets
are left out with a message. The training data is that of ROOT, and the facts of the training are
those of the summary.json beside MODEL. The tables show

    WER with its 95 % interval, CER, share of utterances without an error, expected calibration
    error of the confidences, and real-time factor (RTF) for each set and decoder
    WER by accent, age, and gender where the corpus publishes them, and by length
    WER with white noise and with the band of a telephone

Intervals draw speakers if there are at least ten, else utterances. The network runs once for all
decoders. The RTF of a decoder includes the network and reading. That of a peer is CPU time alone.

pocketsphinx is installed separately. Its texts are kept in `--cache`, so that an interrupted run
continues.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from held_out import HeldOutSet, read_sets, read_training
from scoring import (
    CONDITIONS,
    Row,
    build_decoders,
    describe_wer,
    score_decoders,
    score_pocketsphinx,
    scores,
    to_markdown,
)

from asr.config.reporting import report_user_errors
from asr.data.manifest import Utterance
from asr.decode.hypothesis import Decoder
from asr.errors import ConfigError
from asr.evaluation.report import LENGTH_BOUNDS, Evaluation, Result
from asr.files import find_packaged
from asr.inference.model import AcousticModel, load_model
from asr.nn.ctc import CTCModel
from asr.versions import read_commit
from recipes.prepare import total_hours

PEERS = {"pocketsphinx": score_pocketsphinx}
ORIGINAL, *CHANGES = CONDITIONS
TRAINING_FACTS = {
    "training seconds": "seconds",
    "epochs": "epochs",
    "steps": "steps",
    "seed": "seed",
    "commit of the training": "commit",
    "machine of the training": "machine",
    "validation WER": "val_wer",
}  # names and keys in summary.json


def main() -> None:
    """Print the tables."""
    options = parse()
    sys.exit(report_user_errors("benchmarks/model_card.py", partial(run, options)))


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "model",
        nargs="?",
        help="model file, or english for the packaged one; without it, only peers run",
    )
    parser.add_argument("--root", type=Path, default=Path("data"))
    parser.add_argument("--tables", nargs="*", type=Path, default=[])
    parser.add_argument("--sets", nargs="*", default=[], help="beginnings of names of sets")
    parser.add_argument(
        "--decoder", nargs="+", default=["greedy"], help="options of conf/decoder, or files"
    )
    parser.add_argument("--peer", nargs="*", choices=PEERS, default=[])
    parser.add_argument("--limit", type=count, help="utterances of each set")
    parser.add_argument("--cache", type=Path, default=Path("outputs/model_card"))
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args(arguments)


def count(text: str) -> int:
    """Return a positive integer."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be an integer >= 1, got {text}")
    return int(text)


def run(options: argparse.Namespace) -> None:
    """Compute the scores of all sets, print the tables, and write the JSON file.

    Raises:
        AsrError: If the options are wrong, or the model or the sets cannot be read.
    """
    if not options.model and not options.peer:
        raise ConfigError("nothing to score; pass a model file or --peer pocketsphinx")
    model = load_model(options.model) if options.model else None
    decoders = build_decoders(options.decoder) if model else {}
    sets = select(read_sets(options.root, options.tables, options.limit), options.sets)
    rows: list[Row] = []
    for held_out in sets:
        print(f"scoring {held_out.name}", file=sys.stderr, flush=True)
        if model:
            rows += score_model(model, decoders, held_out)
        for peer in options.peer:
            rows += score_peer(peer, held_out, options.cache)
    facts = describe_model(options.model) if options.model else {}
    facts |= {"commit of the program": read_commit(), "threads": torch.get_num_threads()}
    training = list(training_rows(options.root))
    print("\n".join(f"- {name}: {value}" for name, value in facts.items()), end="\n\n")
    if training:
        print(to_markdown(["Training data", "Hours", "Speakers", "Clips"], training))
    print("\n".join(make_tables(rows)))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        figures = {**facts, "training": training, "rows": rows}
        content = json.dumps(figures, indent=1, ensure_ascii=False)
        options.json.write_text(content + "\n", encoding="utf-8")


def training_rows(root: Path) -> Iterator[list[str | int]]:
    """Yield corpus, hours, speakers, and clips of the training data, most hours first."""
    corpora: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in read_training(root, ("train", "synthetic")):
        corpora[utterance.speaker.partition("-")[0]].append(utterance)
    for name, group in sorted(corpora.items(), key=lambda item: -total_hours(item[1])):
        speakers = len({utterance.speaker for utterance in group})
        yield [name, f"{total_hours(group):.2f}", speakers, len(group)]


def select(sets: Sequence[HeldOutSet], names: Sequence[str]) -> list[HeldOutSet]:
    """Return the sets whose name begins with one of `names`, or all without names.

    Raises:
        ConfigError: If no set has such a name.
    """
    chosen = [s for s in sets if not names or s.name.startswith(tuple(names))]
    if not chosen:
        choices = "; ".join(held_out.name for held_out in sets)
        raise ConfigError(f"--sets {' '.join(names)}: no such set; choose from {choices}")
    return chosen


def describe_model(path: str) -> Row:
    """Return the size of a model file, and the facts in the summary.json of its training."""
    file = find_packaged(Path(path), ".safetensors")
    facts: Row = {"model": path, "megabytes": round(file.stat().st_size / 1e6, 1)}
    if file.suffix == ".safetensors":
        facts["parameters"] = sum(p.numel() for p in CTCModel.load(file).parameters())
    summary = file.parent / "summary.json"
    if summary.exists():
        training = json.loads(summary.read_text(encoding="utf-8"))
        facts |= {name: training.get(key) for name, key in TRAINING_FACTS.items()}
    return facts


def score_model(
    model: AcousticModel, decoders: Mapping[str, Decoder], held_out: HeldOutSet
) -> Iterator[Row]:
    """Yield the rows of a set: the whole, its groups, and changed audio."""
    for condition, change in CONDITIONS.items():
        evaluations = score_decoders(model, decoders, held_out.utterances, change)
        for system, evaluation in evaluations.items():
            names = {"set": held_out.name, "system": system, "condition": condition}
            if condition == ORIGINAL:
                yield from original_rows(names, held_out, evaluation)
            else:
                yield {**names, **scores(evaluation)}


def score_peer(peer: str, held_out: HeldOutSet, cache: Path) -> Iterator[Row]:
    """Yield the rows of a set for another package, or none if it is not installed."""
    try:
        evaluation = PEERS[peer](held_out.utterances, cache / f"{peer}.jsonl")
    except ImportError:
        print(f"left out: {peer}, not installed; pip install {peer}", file=sys.stderr)
        return
    names = {"set": held_out.name, "system": peer, "condition": ORIGINAL}
    yield from original_rows(names, held_out, evaluation)


def original_rows(
    names: Row, held_out: HeldOutSet, evaluation: Evaluation
) -> Iterator[Row]:
    """Yield the scores of a set, then those of its groups."""
    yield {**names, "known_texts": held_out.known_texts, **scores(evaluation)}
    groups = {"length": evaluation.groups["lengths"]}
    for kind, labels in held_out.labels.items():
        if labels:
            groups[kind] = evaluation.group(partial(speaker_label, labels=labels))
    for kind, group in groups.items():
        for value, part in group.items():
            group_name = name_length(value) if kind == "length" else value
            yield {**names, "kind": kind, "group": group_name, **scores(part)}


def speaker_label(result: Result, labels: Mapping[str, str]) -> str:
    """Return the label of the speaker of a result."""
    return labels.get(result.utterance.speaker, "unknown")


def name_length(name: str) -> str:
    """Return a range of lengths with both bounds: "4 to 8 s" for "below 8 s"."""
    word, bound, unit = name.split()
    position = LENGTH_BOUNDS.index(int(bound))
    if word == "from":
        return f"from {bound} {unit}"
    return f"{LENGTH_BOUNDS[position - 1] if position else 0} to {bound} {unit}"


def make_tables(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the tables in Markdown."""
    whole = [row for row in rows if row["condition"] == ORIGINAL and "kind" not in row]
    yield whole_table(whole)
    groups = [row for row in rows if "kind" in row]
    systems = list(dict.fromkeys(row["system"] for row in rows))
    for kind in dict.fromkeys(row["kind"] for row in groups):
        yield group_table(kind, [row for row in groups if row["kind"] == kind], systems)
    changed = [row for row in rows if row["condition"] != ORIGINAL]
    if changed:
        yield condition_table(whole, changed)


def whole_table(rows: Sequence[Row]) -> str:
    """Return the table of whole sets."""
    headings = ["Set", "Hours", "Speakers", "Texts in training", "System"]
    headings += ["WER (95 %)", "CER", "Correct utterances", "Calibration error", "RTF"]
    cells = [
        [
            *(row["set"], f"{row['audio_seconds'] / 3600:.2f}", row["speakers"]),
            *(share(row["known_texts"]), row["system"]),
            *(describe_wer(row), f"{100 * row['cer']:.1f} %"),
            share(row["exact"] / row["utterances"]),
            *("" if row[key] is None else row[key] for key in ("calibration_error", "rtf")),
        ]
        for row in rows
    ]
    return to_markdown(headings, cells)


def share(value: float | None) -> str:
    """Return a share in percent, or nothing if it is unknown."""
    return "" if value is None else f"{100 * value:.0f} %"


def group_table(kind: str, rows: Sequence[Row], systems: Sequence[str]) -> str:
    """Return the table of one kind of groups, with a column for each system."""
    places = dict.fromkeys((row["set"], row["group"]) for row in rows)
    cells = []
    for name, group in places:
        found = {r["system"]: r for r in rows if (r["set"], r["group"]) == (name, group)}
        first = next(iter(found.values()))
        rates = [describe_wer(found[s]) if s in found else "" for s in systems]
        cells.append([name, group, first["utterances"], first["words"], *rates])
    headings = ["Set", kind.capitalize(), "Utterances", "Words"]
    return to_markdown([*headings, *(f"WER, {system}" for system in systems)], cells)


def condition_table(originals: Sequence[Row], changed: Sequence[Row]) -> str:
    """Return the table of changed audio, with a column for each change."""
    rates = {(r["set"], r["system"], r["condition"]): describe_wer(r) for r in changed}
    cells = []
    for row in originals:
        name, system = row["set"], row["system"]
        if (name, system, CHANGES[0]) in rates:
            columns = [rates[name, system, change] for change in CHANGES]
            cells.append([name, system, describe_wer(row), *columns])
    return to_markdown(["Set", "System", "WER", *CHANGES], cells)


if __name__ == "__main__":
    main()
