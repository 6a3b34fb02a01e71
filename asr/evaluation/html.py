"""HTML pages of results. A page is one file that loads nothing else."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from asr.evaluation.examples import load_examples
from asr.evaluation.intervals import MIN_SPEAKERS, resamples_speakers
from asr.evaluation.report import Evaluation
from asr.evaluation.wer import confusions, letter_confusions
from asr.files import atomic_write
from asr.inference.model import AcousticModel
from asr.versions import read_commit, read_versions

TEMPLATES = Path(__file__).parent / "templates"
MAX_CONFUSIONS = 20  # in a table
GROUPS = (
    ("By speaker", "speaker", "speakers"),
    ("By length", "length", "lengths"),
    ("By signal-to-noise ratio", "ratio", "snr"),
)
Pairs = Counter[tuple[str, str]]


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
        group_tables=[(*names, evaluation.groups[key]) for *names, key in GROUPS],
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


def write_page(path: Path, template: str, **values: Any) -> None:
    """Fill in a template and write it. Texts in `values` are escaped."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = _format_percent
    environment.filters["duration"] = _format_duration
    environment.filters["highest_bound"] = _highest_bound
    page = environment.get_template(template).render(values)
    with atomic_write(path) as temporary:
        # names that are not UTF-8 contain surrogates, which UTF-8 cannot encode
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")


def describe_unit(speakers: Sequence[str]) -> str:
    """Return a sentence on the corpora for which intervals and tests hold."""
    count = len(set(speakers))
    if resamples_speakers(speakers):
        return (
            f"Intervals hold for new speakers: the statistics draw from {count} speakers."
        )
    return (
        "Intervals hold for these speakers only: the statistics draw utterances, because fewer "
        f"than {MIN_SPEAKERS} speakers are known."
    )


def _confusion_tables(
    kind: str, errors: Pairs
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


def _format_percent(rate: float, digits: int = 1) -> str:
    return f"{100 * rate:.{digits}f} %"


def _format_duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _highest_bound(groups: Mapping[str, Evaluation]) -> float:
    """Return the end of the common scale of bars."""
    return max((group.interval[1] for group in groups.values()), default=0.0) or 1.0
