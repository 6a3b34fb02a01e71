"""Files and tables of an evaluation."""

import io
import json
from pathlib import Path

import pytest

from asr.data.manifest import Utterance
from asr.decode.hypothesis import Hypothesis, Word
from asr.evaluation.report import Evaluation, Result
from asr.evaluation.wer import score_utterance

LINES = [  # file, seconds, speaker, reference, hypothesis
    ("a.wav", 0.5, "anna", "one two", "one two"),
    ("b.wav", 3.0, "bert", "a long walk home", "long talk home now"),
    ("c.wav", 12.0, "anna", "stop", "shop"),
    ("d.wav", 40.0, "", "go", ""),
]


@pytest.fixture
def evaluation():
    results = []
    for file, seconds, speaker, reference, text in LINES:
        words = tuple(Word(word, 0.0, 0.1, 0.5) for word in text.split())
        results.append(
            Result(
                Utterance(Path(file), seconds, reference, speaker=speaker),
                Hypothesis(text, -2.0, words),
                score_utterance(reference, text),
            )
        )
    return Evaluation(results, 5.55, [("e.wav", "e.wav: no such file")])


def test_utterances_are_written_worst_first(evaluation, tmp_path):
    evaluation.write(tmp_path / "report")
    entries = [
        json.loads(line)
        for line in (tmp_path / "report/utterances.jsonl").read_text("utf-8").splitlines()
    ]
    assert [entry["audio_filepath"] for entry in entries] == [
        "b.wav",
        "c.wav",
        "d.wav",
        "a.wav",
    ]
    worst = entries[0]
    assert (worst["reference"], worst["hypothesis"]) == (
        "a long walk home",
        "long talk home now",
    )
    counts = [worst[key] for key in ("hits", "substitutions", "deletions", "insertions")]
    assert counts == [2, 1, 1, 1]
    assert (worst["errors"], worst["wer"]) == (3, 0.75)
    assert (worst["speaker"], worst["duration"]) == ("bert", 3.0)
    assert ["walk", "talk"] in worst["alignment"]
    assert worst["words"][0] == {
        "text": "long",
        "start": 0.0,
        "end": 0.1,
        "confidence": 0.5,
    }


def test_summary_has_scores_of_the_corpus_speakers_and_lengths(evaluation, tmp_path):
    evaluation.write(tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text("utf-8"))
    assert summary["wer"] == pytest.approx(5 / 8)
    counts = [summary[key] for key in ("utterances", "exact", "words", "failed")]
    assert counts == [4, 1, 8, 1]
    assert summary["audio_seconds"] == 55.5
    assert summary["rtf"] == pytest.approx(0.1)
    words = {name: score["words"] for name, score in summary["speakers"].items()}
    assert words == {"anna": 3, "bert": 4, "unknown": 1}
    assert sum(score["words"] for score in summary["lengths"].values()) == 8
    lengths = ["below    1 s", "below    4 s", "below   16 s", "from    32 s"]
    assert list(summary["lengths"]) == lengths
    assert ["stop", "shop", 1] in summary["confusions"]


def test_failures_are_listed_in_a_file_that_exists_only_after_failures(
    evaluation, tmp_path
):
    evaluation.write(tmp_path)
    assert (tmp_path / "failed.txt").read_text("utf-8") == "e.wav\te.wav: no such file\n"
    Evaluation(evaluation.results, 1.0).write(tmp_path)
    assert not (tmp_path / "failed.txt").exists()


def test_tables_show_the_worst_speakers_lengths_and_confusions(evaluation):
    out = io.StringIO()
    evaluation.show(out)
    tables = out.getvalue()
    assert tables.index("bert") < tables.index("anna")
    for text in (
        "speakers",
        "length",
        "most confused words",
        "reference",
        "hypothesis",
        "stop",
        "shop",
        "75.0%",
    ):
        assert text in tables


def test_table_of_speakers_is_limited_to_the_given_number_of_rows(evaluation):
    out = io.StringIO()
    evaluation.show(out, rows=1)
    assert "worst 1 of 3 speakers" in out.getvalue()
    assert "anna" not in out.getvalue()


def test_names_with_brackets_are_printed_unchanged():
    results = [
        Result(
            Utterance(Path("a.wav"), 1.0, "a", speaker=speaker),
            Hypothesis("a", 0.0),
            score_utterance("a", "a"),
        )
        for speaker in ("[red]x", "y")
    ]
    out = io.StringIO()
    Evaluation(results, 1.0).show(out)
    assert "[red]x" in out.getvalue()


def test_empty_evaluation_can_be_written_and_printed(tmp_path):
    empty = Evaluation([], 0.0)
    empty.write(tmp_path)
    empty.show(io.StringIO())
    assert json.loads((tmp_path / "summary.json").read_text("utf-8"))["wer"] == 0


def test_tags_in_references_are_counted_and_names_need_no_utf_8(tmp_path):
    scored = score_utterance("[noise] yes <unk>", "yes")
    assert scored.score.words.errors == 0
    results = [
        Result(
            Utterance(Path("a\udcff.wav"), 1.0, "[noise] yes <unk>"),
            Hypothesis("yes", -1.0, ()),
            scored,
        )
    ]
    evaluation = Evaluation(results * 2, 1.0, [("b\udcff.wav", "no such file")])
    evaluation.write(tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text("utf-8"))
    assert summary["tags"] == {"[noise]": 2, "<unk>": 2}
    line = (tmp_path / "utterances.jsonl").read_text("utf-8").splitlines()[0]
    assert json.loads(line)["audio_filepath"] == "a\udcff.wav"
    assert (tmp_path / "failed.txt").read_text("utf-8").startswith("b\\udcff.wav")
