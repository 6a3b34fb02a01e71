"""What an evaluation says: utterances worst first, scores by speaker and by length, confused words, speed."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table

from asr.data.manifest import Utterance
from asr.decode import Hypothesis
from asr.decode.confidence import Reliability
from asr.evaluation.wer import (
    Score,
    ScoredUtterance,
    bootstrap_wer_interval,
    confusions,
    sum_scores,
    word_correctness,
)

LENGTHS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # seconds at which lengths are parted


@dataclass(frozen=True)
class Result:
    """One utterance with what was heard and how it compares."""

    utterance: Utterance
    hypothesis: Hypothesis
    pair: ScoredUtterance

    def entry(self) -> dict[str, Any]:
        """The result as a JSON object."""
        utterance, words = self.utterance, self.pair.score.words
        return {
            "audio_filepath": str(utterance.audio),
            "offset": utterance.offset,
            "duration": utterance.duration,
            "speaker": utterance.speaker,
            "reference": self.pair.reference,
            "hypothesis": self.pair.hypothesis,
            "errors": words.errors,
            "hits": words.hits,
            "substitutions": words.substitutions,
            "deletions": words.deletions,
            "insertions": words.insertions,
            "wer": round(words.rate, 4),
            "cer": round(self.pair.score.cer, 4),
            "alignment": self.pair.alignment,
            "score": round(self.hypothesis.score, 4),
            "words": [word._asdict() for word in self.hypothesis.words],
        }


@dataclass(frozen=True)
class Evaluation:
    """The results of a corpus, seconds spent, and the utterances that could not be read, with the reason."""

    results: Sequence[Result]
    seconds: float
    failures: Sequence[tuple[str, str]] = ()

    @property
    def score(self) -> Score:
        """Errors over the corpus."""
        return sum_scores(result.pair for result in self.results)

    @property
    def interval(self) -> tuple[float, float]:
        """Bounds of the word error rate, at 95 %."""
        return bootstrap_wer_interval([result.pair for result in self.results])

    @property
    def reliability(self) -> Reliability:
        """How the confidence of words compares with how often they are right."""
        return Reliability.of(
            [
                word
                for result in self.results
                for word in word_correctness(result.hypothesis, result.pair)
            ]
        )

    @property
    def audio_seconds(self) -> float:
        """Audio that was recognised."""
        return sum(result.utterance.duration for result in self.results)

    @property
    def rtf(self) -> float:
        """Real-time factor: seconds of work, reading included, for each second of audio."""
        return self.seconds / max(self.audio_seconds, 1e-9)

    def by(self, key: Callable[[Result], str]) -> dict[str, Score]:
        """Scores of the groups that a key makes, in the order of the keys."""
        groups = defaultdict(list)
        for result in self.results:
            groups[key(result)].append(result.pair)
        return {name: sum_scores(pairs) for name, pairs in sorted(groups.items())}

    def summary(self) -> dict[str, Any]:
        """Everything but the utterances, for a JSON file."""
        return {
            **_counts(self.score),
            "wer_interval": [round(bound, 5) for bound in self.interval],
            "calibration_error": round(self.reliability.error, 5),
            "audio_seconds": round(self.audio_seconds, 2),
            "seconds": round(self.seconds, 2),
            "rtf": round(self.rtf, 5),
            "failed": len(self.failures),
            "speakers": {name: _counts(score) for name, score in self.by(_speaker).items()},
            "lengths": {name: _counts(score) for name, score in self.by(_length).items()},
            "confusions": [
                [*pair, n] for pair, n in confusions(r.pair for r in self.results).most_common(50)
            ],
        }

    def write(self, folder: Path) -> None:
        """Write `utterances.jsonl` (worst first), `summary.json`, and `failed.txt` where there were failures."""
        folder.mkdir(parents=True, exist_ok=True)
        worst_first = sorted(
            self.results, key=lambda r: (-r.pair.score.words.errors, -r.pair.score.wer)
        )
        with (folder / "utterances.jsonl").open("w", encoding="utf-8") as out:
            for result in worst_first:
                out.write(json.dumps(result.entry(), ensure_ascii=False) + "\n")
        (folder / "summary.json").write_text(
            json.dumps(self.summary(), indent=2, ensure_ascii=False) + "\n", "utf-8"
        )
        (folder / "failed.txt").unlink(missing_ok=True)
        if self.failures:
            (folder / "failed.txt").write_text(
                "".join(f"{n}\t{reason}\n" for n, reason in self.failures), "utf-8"
            )

    def show(self, file: TextIO, *, rows: int = 10) -> None:
        """Print the tables: speakers (the worst `rows`), lengths, confused words."""
        console = Console(file=file, width=100, markup=False)  # names may hold brackets
        speakers = sorted(self.by(_speaker).items(), key=lambda item: -item[1].wer)
        if len(speakers) > 1:
            title = (
                f"worst {rows} of {len(speakers)} speakers" if len(speakers) > rows else "speakers"
            )
            console.print(_table(title, speakers[:rows]))
        console.print(_table("length", self.by(_length).items()))
        confused = Table("said", "heard", "times", title="most confused words")
        for (said, heard), count in confusions(result.pair for result in self.results).most_common(
            rows
        ):
            confused.add_row(said or "-", heard or "-", str(count))
        console.print(confused)


def _speaker(result: Result) -> str:
    return result.utterance.speaker or "unknown"


def _length(result: Result) -> str:
    bound = next((limit for limit in LENGTHS if result.utterance.duration < limit), None)
    return f"below {bound:4.0f} s" if bound else f"from  {LENGTHS[-1]:4.0f} s"


def _counts(score: Score) -> dict[str, Any]:
    words = score.words
    return {
        "wer": round(score.wer, 5),
        "cer": round(score.cer, 5),
        "utterances": score.utterances,
        "exact": score.exact,
        "words": words.length,
        "substitutions": words.substitutions,
        "deletions": words.deletions,
        "insertions": words.insertions,
    }


def _table(title: str, rows: Iterable[tuple[str, Score]]) -> Table:
    table = Table(title=title)
    for heading in (title.split()[-1], "utterances", "words", "WER", "CER", "sub", "del", "ins"):
        table.add_column(heading, justify="left" if heading == title.split()[-1] else "right")
    for name, score in rows:
        words = score.words
        edits = (words.substitutions, words.deletions, words.insertions)
        rates = (f"{score.wer:.1%}", f"{score.cer:.1%}")
        table.add_row(name, str(score.utterances), str(words.length), *rates, *map(str, edits))
    return table
