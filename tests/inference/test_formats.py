"""Output formats, one line a recording."""

import json

from asr.decode import Hypothesis, Word
from asr.inference.formats import FORMATS

HEARD = Hypothesis(
    "größe zwei", -1.23456, (Word("größe", 0.1, 1 / 3, 0.98765), Word("zwei", 0.4, 0.8, 1.0))
)


def test_text_is_the_words_and_nothing_else():
    assert FORMATS["text"]().line("a.wav", HEARD) == "größe zwei"


def test_json_is_an_object_on_one_line_with_words_in_time():
    line = FORMATS["json"]().line("a.wav", HEARD)
    assert "\n" not in line
    assert "größe" in line
    assert json.loads(line) == {
        "file": "a.wav",
        "text": "größe zwei",
        "score": -1.2346,
        "words": [
            {"text": "größe", "start": 0.1, "end": 0.333, "confidence": 0.988},
            {"text": "zwei", "start": 0.4, "end": 0.8, "confidence": 1.0},
        ],
    }


def test_what_has_no_words_is_written_too():
    nothing = Hypothesis("", 0.0)
    assert FORMATS["text"]().line("a.wav", nothing) == ""
    assert json.loads(FORMATS["json"]().line("a\nb.wav", nothing))["words"] == []


def test_the_next_best_stand_in_json_where_they_were_asked_for():
    both = Hypothesis("one", -1.0, (), (Hypothesis("won", -2.5),))
    entry = json.loads(FORMATS["json"]().line("a.wav", both))
    assert entry["alternatives"] == [{"text": "won", "score": -2.5, "words": []}]
    assert "alternatives" not in json.loads(FORMATS["json"]().line("a.wav", HEARD))
