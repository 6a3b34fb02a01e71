"""The page of an evaluation, with audio and pictures of the worst utterances."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from asr.evaluation.examples import load_examples
from asr.evaluation.html import describe_unit, write_page
from asr.evaluation.report import Evaluation
from asr.evaluation.wer import confusions, letter_confusions
from asr.inference.model import AcousticModel
from asr.versions import read_commit, read_versions

MAX_CONFUSIONS = 20  # in a table
GROUPS = (
    ("By speaker", "speaker", "speakers"),
    ("By length", "length", "lengths"),
    ("By signal-to-noise ratio", "ratio", "snr"),
)


def write_report(
    path: Path,
    evaluation: Evaluation,
    model: AcousticModel,
    *,
    title: str,
    settings: Mapping[str, Any],
    examples: int,
) -> None:
    """Write an evaluation as a page, with audio and pictures of the worst utterances.

    Args:
        path: File to write.
        evaluation: Results of a corpus.
        model: Model that computes the emissions of the examples again.
        title: Heading of the page.
        settings: Settings by name.
        examples: Number of utterances with audio.
    """
    wrong = [r for r in evaluation.worst_first if not r.scored.score.exact]
    write_page(
        path,
        "report.html",
        title=title,
        evaluation=evaluation,
        interval_note=describe_unit(evaluation.speakers),
        group_tables=[
            _group_table(title, heading, evaluation.groups[key])
            for title, heading, key in GROUPS
        ],
        confusions=_confusion_tables("words", confusions(evaluation.scored))
        + _confusion_tables("letters", letter_confusions(evaluation.scored)),
        reliability=evaluation.reliability.bins,
        examples=load_examples(wrong[:examples], model),
        settings=settings,
        versions={
            "date": f"{datetime.now():%Y-%m-%d %H:%M}",
            "network": type(model).__name__,
            "commit": read_commit() or "unknown",
            **read_versions(),
        },
    )


def _confusion_tables(
    kind: str, errors: Counter[tuple[str, str]]
) -> list[tuple[str, list[str], list[tuple[tuple[str, str], int]]]]:
    """Return title, headings, and rows for substitutions, deletions, and insertions."""
    one = kind.removesuffix("s")
    kinds = {
        "substituted": ["reference", "hypothesis"],
        "deleted": [one],
        "inserted": [one],
    }
    tables = []
    for name, headings in kinds.items():
        rows = [item for item in errors.most_common() if _kind(item[0]) == name]
        title = f"{name.capitalize()} {kind}"
        tables.append((title, [*headings, "count"], rows[:MAX_CONFUSIONS]))
    return tables


def _kind(pair: tuple[str, str]) -> str:
    reference, hypothesis = pair
    if not hypothesis:
        return "deleted"
    return "substituted" if reference else "inserted"


def _group_table(
    title: str, heading: str, groups: Mapping[str, Evaluation]
) -> tuple[str, str, list[tuple[str, Evaluation]], float]:
    """Return title, heading, groups, and the end of the scale of the bars.

    Speakers are sorted by error rate, the worst first.
    """
    rows = list(groups.items())
    if heading == "speaker":
        rows.sort(key=lambda row: -row[1].score.wer)
    limit = max((group.interval[1] for group in groups.values()), default=0.0)
    return title, heading, rows, limit or 1.0
