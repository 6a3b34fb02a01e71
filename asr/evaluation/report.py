"""Evaluation results: files, summary, and tables."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from rich.table import Table

from asr.data.manifest import Utterance
from asr.decode.confidence import Reliability
from asr.decode.hypothesis import Hypothesis
from asr.evaluation.intervals import resamples_speakers, wer_interval
from asr.evaluation.wer import (
    Score,
    ScoredUtterance,
    confusions,
    sum_scores,
    word_correctness,
)
from asr.tables import print_tables
from asr.text import find_tags
from asr.versions import read_commit

LENGTH_BOUNDS = (1, 2, 4, 8, 16, 32)  # seconds; bounds between groups of utterances
SNR_BOUNDS = (0, 5, 10, 15, 20, 30, 40)  # dB
MAX_CONFUSIONS, MAX_TAGS = 50, 50  # in summary.json


@dataclass(frozen=True)
class Result:
    """An utterance with its hypothesis, its errors, and its signal-to-noise ratio in dB."""

    utterance: Utterance
    hypothesis: Hypothesis
    scored: ScoredUtterance
    snr: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the result as a JSON object."""
        utterance, scored, words = self.utterance, self.scored, self.scored.score.words
        return {
            "audio_filepath": str(utterance.audio),
            "offset": utterance.offset,
            "duration": utterance.duration,
            "speaker": utterance.speaker,
            "channel": utterance.channel,
            "snr": None if self.snr is None else round(self.snr, 1),
            "reference": scored.reference,
            "hypothesis": scored.hypothesis,
            "errors": words.errors,
            **asdict(words),
            "wer": round(words.rate, 4),
            "cer": round(scored.score.cer, 4),
            "alignment": scored.alignment,
            "score": round(self.hypothesis.score, 4),
            "words": [word._asdict() for word in self.hypothesis.words],
        }


@dataclass(frozen=True)
class Evaluation:
    """Results of a corpus, processing time, and unreadable utterances as (name, reason)."""

    results: Sequence[Result]
    seconds: float
    failures: Sequence[tuple[str, str]] = ()

    @property
    def scored(self) -> list[ScoredUtterance]:
        """Return the errors of each utterance."""
        return [result.scored for result in self.results]

    @property
    def speakers(self) -> list[str]:
        """Return the speaker of each utterance, "" if unknown."""
        return [result.utterance.speaker for result in self.results]

    @property
    def worst_first(self) -> list[Result]:
        """Return the results by the number of errors, then by error rate, in descending order."""
        return sorted(
            self.results, key=lambda r: (-r.scored.score.words.errors, -r.scored.score.wer)
        )

    @cached_property
    def score(self) -> Score:
        """Return the errors of the corpus."""
        return sum_scores(self.scored)

    @cached_property
    def interval(self) -> tuple[float, float]:
        """Return the 95 % confidence interval of the word error rate."""
        words = [scored.score.words for scored in self.scored]
        errors, lengths = [count.errors for count in words], [c.length for c in words]
        return wer_interval(errors, lengths, self.speakers)

    @property
    def reliability(self) -> Reliability:
        """Compare the confidence of words with the share of correct words."""
        pairs = (word_correctness(r.hypothesis, r.scored) for r in self.results)
        return Reliability.of(list(chain.from_iterable(pairs)))

    @property
    def tags(self) -> list[tuple[str, int]]:
        """Return (tag, count) of the tags in references, such as [laughter], which are no words."""
        texts = (result.utterance.text for result in self.results)
        return Counter(tag for text in texts for tag in find_tags(text)).most_common()

    @property
    def audio_seconds(self) -> float:
        """Return the duration of the recognized audio."""
        return sum(result.utterance.duration for result in self.results)

    @property
    def rtf(self) -> float:
        """Return the real-time factor: seconds of processing and reading per second of audio."""
        return self.seconds / max(self.audio_seconds, 1e-9)

    def group(self, key: Callable[[Result], str]) -> "dict[str, Evaluation]":
        """Return the evaluation of each group of results that have the same key, sorted by key."""
        groups: dict[str, list[Result]] = defaultdict(list)
        for result in self.results:
            groups[key(result)].append(result)
        return {name: Evaluation(group, 0.0) for name, group in sorted(groups.items())}

    @cached_property
    def groups(self) -> "dict[str, dict[str, Evaluation]]":
        """Return the results by speaker, length, and signal-to-noise ratio."""
        keys = {"speakers": _speaker, "lengths": _length, "snr": _snr}
        return {name: self.group(key) for name, key in keys.items()}

    def summary(self) -> dict[str, Any]:
        """Return the scores of the corpus and of its groups as a JSON object."""
        confused = confusions(self.scored).most_common(MAX_CONFUSIONS)
        return {
            **_score_to_json(self),
            "interval_unit": "speaker"
            if resamples_speakers(self.speakers)
            else "utterance",
            "calibration_error": round(self.reliability.error, 5),
            "audio_seconds": round(self.audio_seconds, 2),
            "seconds": round(self.seconds, 2),
            "rtf": round(self.rtf, 5),
            "failed": len(self.failures),
            "tags": dict(self.tags[:MAX_TAGS]),
            **{kind: _groups_to_json(groups) for kind, groups in self.groups.items()},
            "confusions": [[*pair, count] for pair, count in confused],
        }

    def describe(self) -> str:
        """Return the scores in one line."""
        score, words = self.score, self.score.words
        low, high = self.interval
        return (
            f"WER {score.wer:.2%} ({low:.2%} to {high:.2%})  CER {score.cer:.2%}  "
            f"({words.substitutions} substitutions, {words.deletions} deletions, "
            f"{words.insertions} insertions in {words.length} words)  "
            f"{score.exact} of {score.utterances} utterances correct  "
            f"calibration error {self.reliability.error:.3f}  RTF {self.rtf:.4f}"
        )

    def write(self, folder: Path, settings: Mapping[str, Any] | None = None) -> None:
        """Write `utterances.jsonl` (worst first), `summary.json`, and `failed.txt` if necessary.

        The summary contains the settings and the commit of this program.
        """
        folder.mkdir(parents=True, exist_ok=True)
        # names that are not UTF-8 contain surrogates, which UTF-8 cannot encode
        escapes: Any = {"encoding": "utf-8", "errors": "backslashreplace"}
        with (folder / "utterances.jsonl").open("w", **escapes) as file:
            for result in self.worst_first:
                file.write(json.dumps(result.to_json(), ensure_ascii=False) + "\n")
        circumstances = {"commit": read_commit(), "settings": settings or {}}
        summary = json.dumps(self.summary() | circumstances, indent=2, ensure_ascii=False)
        (folder / "summary.json").write_text(summary + "\n", **escapes)
        failed = folder / "failed.txt"
        failed.unlink(missing_ok=True)
        if self.failures:
            lines = [f"{name}\t{reason}\n" for name, reason in self.failures]
            failed.write_text("".join(lines), **escapes)

    def show(self, file: TextIO | None = None, *, rows: int = 10) -> None:
        """Print the scores of the worst speakers and of each length, and the most confused words.

        The tables of speakers and of words have up to `rows` rows. `file` replaces standard output.
        """
        tables = []
        speakers = self.groups["speakers"]
        if len(speakers) > 1:
            worst = sorted(speakers.items(), key=lambda item: -item[1].score.wer)[:rows]
            hidden = len(speakers) > rows
            title = f"worst {rows} of {len(speakers)} speakers" if hidden else "speakers"
            tables.append(_score_table(title, "speaker", worst))
        tables.append(_score_table("length", "length", self.groups["lengths"].items()))
        snr = self.groups["snr"]
        if len(snr) > 1:
            tables.append(_score_table("signal-to-noise ratio", "ratio", snr.items()))
        table = Table("reference", "hypothesis", "count", title="most confused words")
        for pair, count in confusions(self.scored).most_common(rows):
            table.add_row(*(word or "-" for word in pair), str(count))
        print_tables(*tables, table, width=100, file=file)


def _speaker(result: Result) -> str:
    return result.utterance.speaker or "unknown"


def _length(result: Result) -> str:
    return _describe_range(result.utterance.duration, LENGTH_BOUNDS, "s")


def _snr(result: Result) -> str:
    if result.snr is None:
        return "unknown"
    return _describe_range(result.snr, SNR_BOUNDS, "dB")


def _describe_range(value: float, bounds: Sequence[int], unit: str) -> str:
    """Return the range between bounds that contains a value. The names sort by value."""
    for bound in bounds:
        if value < bound:
            return f"below {bound:4} {unit}"
    return f"from  {bound:4} {unit}"


def _score_to_json(evaluation: Evaluation) -> dict[str, Any]:
    score, words = evaluation.score, evaluation.score.words
    return {
        "wer": round(score.wer, 5),
        "wer_interval": [round(bound, 5) for bound in evaluation.interval],
        "cer": round(score.cer, 5),
        "utterances": score.utterances,
        "exact": score.exact,
        "words": words.length,
        "substitutions": words.substitutions,
        "deletions": words.deletions,
        "insertions": words.insertions,
    }


def _groups_to_json(groups: dict[str, Evaluation]) -> dict[str, Any]:
    return {name: _score_to_json(group) for name, group in groups.items()}


def _score_table(
    title: str, heading: str, groups: Iterable[tuple[str, Evaluation]]
) -> Table:
    table = Table(heading, title=title)
    for column in ("utterances", "words", "WER", "95 %", "CER", "sub", "del", "ins"):
        table.add_column(column, justify="right")
    for name, group in groups:
        score, words = group.score, group.score.words
        low, high = group.interval
        rates = f"{score.wer:.1%}", f"{low:.1%} to {high:.1%}", f"{score.cer:.1%}"
        edits = (words.substitutions, words.deletions, words.insertions)
        values = (score.utterances, words.length, *rates, *edits)
        table.add_row(name, *map(str, values))
    return table
