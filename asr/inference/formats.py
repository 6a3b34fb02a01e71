"""Output formats of transcription: one class each, one line for each recording."""

import json
from typing import Protocol

from asr.decode.hypothesis import Hypothesis


class Writer(Protocol):
    """A format: `line` makes the text that stands for a recording."""

    def line(self, name: str, hypothesis: Hypothesis) -> str: ...


class Text:
    """The words, and nothing else."""

    def line(self, name: str, hypothesis: Hypothesis) -> str:
        return hypothesis.text


class Json:
    """A JSON object: file, text, score, words with start and end in seconds and confidence, alternatives if any."""

    def line(self, name: str, hypothesis: Hypothesis) -> str:
        return json.dumps({"file": name, **self._entry(hypothesis)}, ensure_ascii=False)

    def _entry(self, hypothesis: Hypothesis) -> dict[str, object]:
        words = [
            {
                key: round(value, 3) if isinstance(value, float) else value
                for key, value in word._asdict().items()
            }
            for word in hypothesis.words
        ]
        entry: dict[str, object] = {
            "text": hypothesis.text,
            "score": round(hypothesis.score, 4),
            "words": words,
        }
        if hypothesis.alternatives:
            entry["alternatives"] = [self._entry(other) for other in hypothesis.alternatives]
        return entry


FORMATS: dict[str, type[Writer]] = {"text": Text, "json": Json}
