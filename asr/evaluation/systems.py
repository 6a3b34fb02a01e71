"""Comparison of two systems that recognized the same utterances."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.table import Table

from asr.errors import ConfigError
from asr.evaluation.html import describe_unit, write_page
from asr.evaluation.intervals import difference_interval, permutation_test, wer_interval
from asr.evaluation.wer import EditCounts
from asr.tables import print_tables

WIDTH = 120  # characters, if the output is not a terminal


@dataclass(frozen=True)
class Outcome:
    """The words that a system recognized in an utterance, and its errors."""

    name: str
    speaker: str
    reference: str
    words: EditCounts
    alignment: Sequence[tuple[str, str]]

    @classmethod
    def of(cls, entry: dict[str, Any]) -> "Outcome":
        """Return the outcome in a line of `utterances.jsonl`.

        Raises:
            KeyError: If a key is missing.
        """
        kinds = ("hits", "substitutions", "deletions", "insertions")
        channel = "" if entry["channel"] == "mix" else f":{entry['channel']}"
        segment = f"@{entry['offset']:.10g}" if entry["offset"] else ""
        return cls(
            f"{entry['audio_filepath']}{channel}{segment}",
            entry["speaker"],
            entry["reference"],
            EditCounts(*(entry[kind] for kind in kinds)),
            [(reference, word) for reference, word in entry["alignment"]],
        )


@dataclass(frozen=True)
class System:
    """A folder that `asr.evaluate` wrote: outcomes by utterance, and settings."""

    folder: Path
    outcomes: dict[str, Outcome]
    settings: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> "System":
        """Read an evaluation.

        Raises:
            ConfigError: If the folder has none, one that cannot be read, or one with two
                utterances of one name.
        """
        path = folder / "utterances.jsonl"
        try:
            with path.open(encoding="utf-8") as lines:
                outcomes = [Outcome.of(json.loads(line)) for line in lines]
            summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
            settings = summary.get("settings", {})
        except (FileNotFoundError, NotADirectoryError):
            raise ConfigError(
                f"{folder}: no evaluation; run asr.evaluate with dir={folder}"
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{path}: not written by asr.evaluate ({error!r})") from None
        by_name = {outcome.name: outcome for outcome in outcomes}
        if len(by_name) < len(outcomes):
            names = Counter(outcome.name for outcome in outcomes)
            (name, count), *_ = names.most_common(1)
            fix = "evaluate a manifest that has it once"
            raise ConfigError(f"{path}: {count} utterances are {name}; {fix}")
        return cls(folder, by_name, settings)


@dataclass(frozen=True)
class Pair:
    """The outcomes of both systems for one utterance."""

    first: Outcome
    second: Outcome

    @property
    def difference(self) -> int:
        """Return the errors of the second system minus those of the first."""
        return self.second.words.errors - self.first.words.errors


@dataclass(frozen=True)
class Comparison:
    """Paired outcomes of two systems."""

    pairs: Sequence[Pair]

    @property
    def speakers(self) -> list[str]:
        """Return the speaker of each utterance, "" if unknown."""
        return [pair.first.speaker for pair in self.pairs]

    @property
    def words(self) -> list[int]:
        """Return the number of words in each reference."""
        return [pair.first.words.length for pair in self.pairs]

    @property
    def differences(self) -> list[int]:
        """Return the difference of the errors in each utterance."""
        return [pair.difference for pair in self.pairs]

    @cached_property
    def rates(self) -> list[tuple[float, tuple[float, float]]]:
        """Return the word error rate of each system with its interval."""
        systems = zip(*((pair.first, pair.second) for pair in self.pairs), strict=True)
        rates = []
        for outcomes in systems:
            errors = [outcome.words.errors for outcome in outcomes]
            interval = wer_interval(errors, self.words, self.speakers)
            rates.append((sum(errors) / max(1, sum(self.words)), interval))
        return rates

    @property
    def difference(self) -> float:
        """Return the rate of the second system minus that of the first."""
        return sum(self.differences) / max(1, sum(self.words))

    @cached_property
    def interval(self) -> tuple[float, float]:
        """Return the 95 % confidence interval of the difference."""
        return difference_interval(self.differences, self.words, self.speakers)

    @cached_property
    def p_value(self) -> float:
        """Return the p-value of equal error rates."""
        return permutation_test(self.differences, self.speakers)

    @property
    def counts(self) -> dict[str, int]:
        """Return how often the second system has fewer, more, and as many errors."""
        better = sum(difference < 0 for difference in self.differences)
        worse = sum(difference > 0 for difference in self.differences)
        return {"better": better, "worse": worse, "equal": len(self.pairs) - better - worse}

    @property
    def by_speaker(self) -> "dict[str, Comparison]":
        """Return the comparison for each speaker, the largest difference first."""
        groups: dict[str, list[Pair]] = defaultdict(list)
        for pair in self.pairs:
            groups[pair.first.speaker or "unknown"].append(pair)
        comparisons = {name: Comparison(pairs) for name, pairs in groups.items()}
        return dict(sorted(comparisons.items(), key=lambda item: -abs(item[1].difference)))

    @property
    def differing(self) -> list[Pair]:
        """Return the utterances that are recognized differently, the largest difference first."""
        pairs = [
            pair for pair in self.pairs if pair.first.alignment != pair.second.alignment
        ]
        return sorted(pairs, key=lambda pair: (-abs(pair.difference), pair.first.name))

    def verdict(self, label: str = "B - A") -> str:
        """Return difference, interval, and p-value in one line that starts with a label."""
        low, high = self.interval
        p = f"p = {self.p_value:.4f}" if self.p_value >= 0.0001 else "p < 0.0001"
        points = (
            f"{100 * self.difference:+.2f} points ({100 * low:+.2f} to {100 * high:+.2f})"
        )
        counts = ", ".join(f"{count} {name}" for name, count in self.counts.items())
        return f"{label}: {points}, {p}; utterances: {counts}"


def compare_systems(first: Path, second: Path, page: Path, examples: int) -> None:
    """Compare two evaluations: print tables, and write a page.

    Args:
        first: Folder of system A.
        second: Folder of system B.
        page: HTML file to write.
        examples: Number of differing utterances in it.

    Raises:
        ConfigError: If a folder has no evaluation, or the references differ.
    """
    systems = System.read(first), System.read(second)
    comparison = pair_systems(*systems)
    left_out = [len(system.outcomes) - len(comparison.pairs) for system in systems]
    note = ""
    if any(left_out):
        note = f"left out: {left_out[0]} utterances only in A, {left_out[1]} only in B"
    names = dict.fromkeys(name for system in systems for name in system.settings)
    settings = {name: [system.settings.get(name) for system in systems] for name in names}
    write_page(
        page,
        "compare.html",
        title=f"{first} and {second}",
        systems=systems,
        comparison=comparison,
        note=note,
        interval_note=describe_unit(comparison.speakers),
        differing=comparison.differing[:examples],
        settings={name: pair for name, pair in settings.items() if pair[0] != pair[1]},
    )
    _show(systems, comparison)
    for line in filter(None, (note, comparison.verdict(), f"report in {page}")):
        print(line)


def pair_systems(first: System, second: System) -> Comparison:
    """Pair the outcomes of the utterances that both systems have.

    Raises:
        ConfigError: If there are none, or their references differ.
    """
    common = [name for name in first.outcomes if name in second.outcomes]
    if not common:
        raise ConfigError(f"{first.folder} and {second.folder} have no common utterance")
    pairs = [Pair(first.outcomes[name], second.outcomes[name]) for name in common]
    for pair in pairs:
        if pair.first.reference != pair.second.reference:
            raise ConfigError(
                f"{first.folder} and {second.folder} have different references of "
                f"{pair.first.name}: {pair.first.reference!r} and {pair.second.reference!r}; "
                "evaluate both on the same data"
            )
    return Comparison(pairs)


def _show(systems: Iterable[System], comparison: Comparison, rows: int = 10) -> None:
    """Print the rates of both systems, of the speakers, and the most different utterances."""
    table = Table("", "system", "WER", "95 %")
    for label, system, (rate, (low, high)) in zip(
        "AB", systems, comparison.rates, strict=True
    ):
        table.add_row(label, str(system.folder), f"{rate:.2%}", f"{low:.2%} to {high:.2%}")
    tables = [table]
    speakers = comparison.by_speaker
    if len(speakers) > 1:
        title = f"largest differences of {len(speakers)} speakers"
        table = Table("speaker", "utterances", "words", "A", "B", "B - A", title=title)
        for name, group in list(speakers.items())[:rows]:
            rates = [f"{rate:.1%}" for rate, _ in group.rates]
            size = str(len(group.pairs)), str(sum(group.words))
            table.add_row(name, *size, *rates, f"{100 * group.difference:+.1f}")
        tables.append(table)
    table = Table(
        "errors", "reference", "A", "B", title="largest differences", show_lines=True
    )
    for pair in comparison.differing[:rows]:
        texts = [_hypothesis(outcome) for outcome in (pair.first, pair.second)]
        errors = f"{pair.first.words.errors} and {pair.second.words.errors}"
        table.add_row(errors, pair.first.reference, *texts)
    print_tables(*tables, table, width=WIDTH)


def _hypothesis(outcome: Outcome) -> str:
    return " ".join(word for _, word in outcome.alignment if word)
