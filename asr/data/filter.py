"""Select the utterances that a model can learn from and report why the others are left out."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import eq
from pathlib import Path
from typing import Literal

from asr.data.manifest import Utterance
from asr.errors import TextError
from asr.text import Tokenizer, find_tags, is_symbol, normalize


@dataclass(frozen=True, slots=True)
class Example:
    """An utterance with the labels (L,) of its normalized transcript."""

    utterance: Utterance
    labels: tuple[int, ...]

    @property
    def frames_needed(self) -> int:
        """Least number of encoder frames U that can emit the labels.

        CTC needs one frame for each label, and a blank between two equal labels.
        """
        return len(self.labels) + sum(map(eq, self.labels, self.labels[1:]))


@dataclass(frozen=True)
class Selection:
    """The result of filtering a manifest.

    Attributes:
        examples: Utterances to use.
        left_out: (utterance, reason) of each utterance that is not used.
        dropped_characters: (character, count) of each unknown character, the most frequent first.
        tags: (tag, count) of each tag that is not part of the labels, such as [laughter].
    """

    examples: tuple[Example, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    dropped_characters: tuple[tuple[str, int], ...] = ()
    tags: tuple[tuple[str, int], ...] = ()

    @property
    def hours(self) -> float:
        """Hours of audio in the examples."""
        return sum(example.utterance.duration for example in self.examples) / 3600

    def summary(self) -> str:
        """Return one line with the number of utterances, hours, and reasons for leaving out."""
        line = f"{len(self.examples):,} utterances, {self.hours:.2f} h"
        reasons = Counter(reason.split(" (")[0] for _, reason in self.left_out)
        if reasons:
            counts = ", ".join(
                f"{count} {reason}" for reason, count in reasons.most_common()
            )
            line += f"; left out: {counts}"
        if self.dropped_characters:
            counts = ", ".join(f"{c!r} x{count}" for c, count in self.dropped_characters)
            line += f"; characters dropped from transcripts: {counts}"
        if self.tags:
            line += f"; tags dropped from transcripts: {count_tags(self.tags)}"
        return line

    def write(self, path: Path) -> None:
        """Write each utterance that is left out and the reason, or no file if all are used."""
        if self.left_out:
            lines = [f"{name}\t{reason}\n" for name, reason in self.left_out]
            # names that are not UTF-8 contain surrogates, which UTF-8 cannot encode
            path.write_text("".join(lines), encoding="utf-8", errors="backslashreplace")


def filter_utterances(
    utterances: Sequence[Utterance],
    tokenizer: Tokenizer,
    *,
    output_length: Callable[[float], int],
    min_seconds: float | None = None,
    max_seconds: float | None = None,
    on_unknown: Literal["error", "drop"] = "error",
) -> Selection:
    """Select utterances with a duration within bounds and enough encoder frames for their labels.

    Args:
        output_length: Returns the number of encoder frames U for a duration in seconds.
        on_unknown: "error" refuses a transcript with a character that has no token, "drop"
            removes the character and counts it.

    Raises:
        TextError: If a transcript has an unknown character and `on_unknown` is "error".
    """
    shortest = min_seconds or 0.0
    longest = math.inf if max_seconds is None else max_seconds
    examples, left_out, dropped, tags = [], [], Counter[str](), Counter[str]()
    for utterance in utterances:
        seconds = utterance.duration
        if not shortest <= seconds <= longest:
            short = seconds < shortest
            bound = f"shorter than {shortest:g}" if short else f"longer than {longest:g}"
            left_out.append((utterance.name, f"{bound} s ({seconds:.2f} s)"))
            continue
        example, unknown = _encode(utterance, tokenizer)
        if unknown and on_unknown == "error":
            characters = " ".join(map(repr, sorted(set(unknown))))
            raise TextError(
                f"{utterance.name}: the transcript has {characters} without a token; build the "
                "tokenizer from the training transcripts, spell out digits and symbols, "
                "or set data.on_unknown=drop"
            )
        dropped.update(unknown)
        tags.update(find_tags(utterance.text))
        if example.frames_needed > output_length(seconds):
            size = f"{seconds:.2f} s, {len(example.labels)} tokens"
            left_out.append((utterance.name, f"too short for its transcript ({size})"))
        else:
            examples.append(example)
    return _selection(examples, left_out, dropped, tags)


def keep_all(utterances: Sequence[Utterance], tokenizer: Tokenizer) -> Selection:
    """Select every utterance, for scoring. Labels omit tags and characters without a token."""
    examples, dropped, tags = [], Counter[str](), Counter[str]()
    for utterance in utterances:
        example, unknown = _encode(utterance, tokenizer)
        examples.append(example)
        dropped.update(unknown)
        tags.update(find_tags(utterance.text))
    return _selection(examples, [], dropped, tags)


def count_tags(tags: Sequence[tuple[str, int]], limit: int = 10) -> str:
    """Return the most frequent of (tag, count) pairs as one line."""
    counts = [f"{tag} x{count}" for tag, count in tags[:limit]]
    more = [f"{len(tags) - limit} others"] if len(tags) > limit else []
    return ", ".join(counts + more)


def _selection(
    examples: Sequence[Example],
    left_out: Sequence[tuple[str, str]],
    dropped: Counter[str],
    tags: Counter[str],
) -> Selection:
    characters, counts = tuple(dropped.most_common()), tuple(tags.most_common())
    return Selection(tuple(examples), tuple(left_out), characters, counts)


def _encode(utterance: Utterance, tokenizer: Tokenizer) -> tuple[Example, list[str]]:
    """Return an utterance with its labels, and the characters dropped from its transcript."""
    text, dropped = normalize(utterance.text), []
    while unknown := tokenizer.unknown(text):  # normalizing may compose other characters
        dropped += [character for character in text if character in unknown]
        blanks = {c: " " if is_symbol(c) else "" for c in unknown}
        text = normalize("".join(blanks.get(c, c) for c in text))
    return Example(utterance, tuple(tokenizer.encode(text))), dropped
