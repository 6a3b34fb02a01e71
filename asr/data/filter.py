"""Which utterances of a manifest a model can learn from, and which are left out, and why."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import eq
from pathlib import Path
from typing import Literal

from asr.data.manifest import Utterance
from asr.errors import TextError
from asr.text import Tokenizer, normalize
from asr.validation import check_number

OnUnknown = Literal["error", "drop"]


@dataclass(frozen=True, slots=True)
class Example:
    """An utterance with the labels (L,) of its normalised transcript."""

    utterance: Utterance
    labels: tuple[int, ...]

    @property
    def frames_needed(self) -> int:
        """The least U that can emit the labels: one frame each, and a blank between two that are equal."""
        return len(self.labels) + sum(map(eq, self.labels, self.labels[1:]))


@dataclass(frozen=True)
class Selection:
    """What is used, what is not and why as (utterance, reason), and how often each unknown character was dropped."""

    examples: tuple[Example, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    dropped_characters: tuple[tuple[str, int], ...] = ()

    @property
    def hours(self) -> float:
        """Hours of audio that are used."""
        return sum(example.utterance.duration for example in self.examples) / 3600

    def summary(self) -> str:
        """One line: how many utterances and hours, how many were left out for which reason."""
        line = f"{len(self.examples):,} utterances, {self.hours:.2f} h"
        reasons = Counter(reason.split(" (")[0] for _, reason in self.left_out)
        if reasons:
            line += "; left out: " + ", ".join(
                f"{count} {reason}" for reason, count in reasons.most_common()
            )
        if self.dropped_characters:
            dropped = ", ".join(f"{c!r} x{count}" for c, count in self.dropped_characters)
            line += f"; characters dropped from transcripts: {dropped}"
        return line

    def write(self, path: Path) -> None:
        """Name every utterance that was left out, one a line with the reason; no file where there is none."""
        if self.left_out:
            path.write_text(
                "".join(f"{name}\t{reason}\n" for name, reason in self.left_out), encoding="utf-8"
            )


def filter_utterances(
    utterances: Sequence[Utterance],
    tokenizer: Tokenizer,
    *,
    frames: Callable[[float], int],
    min_seconds: float | None = None,
    max_seconds: float | None = None,
    on_unknown: OnUnknown = "error",
) -> Selection:
    """Utterances whose length lies within bounds and whose labels fit into the frames that the model makes of them.

    `frames` tells U for a duration in seconds. `on_unknown` says what becomes of a transcript with a character that
    the tokenizer lacks: "error" raises TextError that names the utterance, "drop" leaves the character out and counts.
    Raises ConfigError for a bound that is neither None nor a number.
    """
    shortest = 0.0 if min_seconds is None else check_number("min_seconds", min_seconds)
    longest = (
        math.inf
        if max_seconds is None or max_seconds == math.inf
        else check_number("max_seconds", max_seconds)
    )
    examples, left_out, dropped = [], [], Counter[str]()
    for utterance in utterances:
        if not shortest <= utterance.duration <= longest:
            bound = (
                f"shorter than {shortest:g}"
                if utterance.duration < shortest
                else f"longer than {longest:g}"
            )
            left_out.append((utterance.name, f"{bound} s ({utterance.duration:.2f} s)"))
            continue
        text = normalize(utterance.text)
        unknown = set(tokenizer.unknown(text))
        if unknown and on_unknown == "error":
            listed = " ".join(map(repr, sorted(unknown)))
            raise TextError(
                f"{utterance.name}: the transcript has {listed}, for which there is no token; "
                "use tokenizer=manifest, or data.on_unknown=drop"
            )
        if unknown:
            dropped.update(c for c in text if c in unknown)
            text = normalize("".join(c for c in text if c not in unknown))
        example = Example(utterance, tuple(tokenizer.encode(text)))
        if example.frames_needed > frames(utterance.duration):
            reason = f"too short for its transcript ({utterance.duration:.2f} s, {len(example.labels)} tokens)"
            left_out.append((utterance.name, reason))
            continue
        examples.append(example)
    return Selection(tuple(examples), tuple(left_out), tuple(dropped.most_common()))


def keep_all(utterances: Sequence[Utterance], tokenizer: Tokenizer) -> Selection:
    """Every utterance, for scoring: nothing is left out, and labels hold the characters that the tokenizer has."""

    def labels(text: str) -> tuple[int, ...]:
        unknown = set(tokenizer.unknown(text))
        return tuple(tokenizer.encode("".join(c for c in text if c not in unknown)))

    return Selection(tuple(Example(u, labels(normalize(u.text))) for u in utterances))
