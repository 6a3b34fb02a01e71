"""What an evaluation writes and shows."""

import io
import json
from pathlib import Path

import pytest

from asr.data.manifest import Utterance
from asr.decode import Hypothesis, Word
from asr.evaluation.report import Evaluation, Result
from asr.evaluation.wer import score_utterance

LINES = [  # file, seconds, speaker, said, heard
    ("a.wav", 0.5, "anna", "one two", "one two"),
    ("b.wav", 3.0, "bert", "a long walk home", "long talk home now"),
    ("c.wav", 12.0, "anna", "stop", "shop"),
    ("d.wav", 40.0, "", "go", ""),
]


@pytest.fixture
def evaluation():
    results = [
        Result(
            Utterance(Path(file), seconds, said, speaker=speaker),
            Hypothesis(heard, -2.0, tuple(Word(w, 0.0, 0.1, 0.5) for w in heard.split())),
            score_utterance(said, heard),
        )
        for file, seconds, speaker, said, heard in LINES
    ]
    return Evaluation(results, 5.55, [("e.wav", "e.wav: no such file")])


def test_utterances_are_written_worst_first(evaluation, tmp_path):
    evaluation.write(tmp_path / "report")
    entries = [
        json.loads(line)
        for line in (tmp_path / "report/utterances.jsonl").read_text("utf-8").splitlines()
    ]
    assert [entry["audio_filepath"] for entry in entries] == ["b.wav", "c.wav", "d.wav", "a.wav"]
    worst = entries[0]
    assert (worst["reference"], worst["hypothesis"]) == ("a long walk home", "long talk home now")
    assert (worst["hits"], worst["substitutions"], worst["deletions"], worst["insertions"]) == (
        2,
        1,
        1,
        1,
    )
    assert (worst["errors"], worst["wer"], worst["speaker"], worst["duration"]) == (
        3,
        0.75,
        "bert",
        3.0,
    )
    assert ["walk", "talk"] in worst["alignment"]
    assert worst["words"][0] == {"text": "long", "start": 0.0, "end": 0.1, "confidence": 0.5}


def test_the_summary_sums_over_the_corpus_by_speaker_and_by_length(evaluation, tmp_path):
    evaluation.write(tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text("utf-8"))
    assert summary["wer"] == pytest.approx(5 / 8)
    assert (summary["utterances"], summary["exact"], summary["words"], summary["failed"]) == (
        4,
        1,
        8,
        1,
    )
    assert summary["audio_seconds"] == 55.5
    assert summary["rtf"] == pytest.approx(0.1)
    assert {name: s["words"] for name, s in summary["speakers"].items()} == {
        "anna": 3,
        "bert": 4,
        "unknown": 1,
    }
    assert sum(s["words"] for s in summary["lengths"].values()) == 8
    assert list(summary["lengths"]) == [
        "below    1 s",
        "below    4 s",
        "below   16 s",
        "from    32 s",
    ]
    assert ["stop", "shop", 1] in summary["confusions"]


def test_what_could_not_be_read_is_named_in_a_file_that_is_there_only_then(evaluation, tmp_path):
    evaluation.write(tmp_path)
    assert (tmp_path / "failed.txt").read_text("utf-8") == "e.wav\te.wav: no such file\n"
    Evaluation(evaluation.results, 1.0).write(tmp_path)
    assert not (tmp_path / "failed.txt").exists()


def test_the_tables_show_the_worst_speakers_lengths_and_confusions(evaluation):
    out = io.StringIO()
    evaluation.show(out)
    shown = out.getvalue()
    assert shown.index("bert") < shown.index("anna")
    for text in ("speakers", "length", "most confused words", "stop", "shop", "75.0%"):
        assert text in shown


def test_only_as_many_speakers_are_shown_as_asked_for(evaluation):
    out = io.StringIO()
    evaluation.show(out, rows=1)
    assert "worst 1 of 3 speakers" in out.getvalue()
    assert "anna" not in out.getvalue()


def test_names_with_brackets_are_shown_as_they_are():
    result = Result(
        Utterance(Path("a.wav"), 1.0, "a", speaker="[red]x"),
        Hypothesis("a", 0.0),
        score_utterance("a", "a"),
    )
    other = Result(
        Utterance(Path("b.wav"), 1.0, "a", speaker="y"),
        Hypothesis("a", 0.0),
        score_utterance("a", "a"),
    )
    out = io.StringIO()
    Evaluation([result, other], 1.0).show(out)
    assert "[red]x" in out.getvalue()


def test_an_evaluation_of_nothing_can_be_written_and_shown(tmp_path):
    nothing = Evaluation([], 0.0)
    nothing.write(tmp_path)
    nothing.show(io.StringIO())
    assert json.loads((tmp_path / "summary.json").read_text("utf-8"))["wer"] == 0
