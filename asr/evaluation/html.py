"""HTML pages of results. A page is one file that loads nothing else."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from asr.evaluation.intervals import MIN_SPEAKERS, resamples_speakers
from asr.files import atomic_write

TEMPLATES = Path(__file__).parent / "templates"


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
    environment.filters["points"] = _format_points
    environment.filters["duration"] = _format_duration
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


def _format_percent(rate: float, digits: int = 1) -> str:
    return f"{100 * rate:.{digits}f} %"


def _format_points(difference: float) -> str:
    return f"{100 * difference:+.2f} points".replace("-", "−")


def _format_duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
