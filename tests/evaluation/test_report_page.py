"""The page of an evaluation: its content, and that it loads nothing and runs no text."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from asr.data.manifest import Utterance
from asr.decode.hypothesis import Hypothesis, Word
from asr.evaluation.report import Evaluation, Result
from asr.evaluation.report_page import write_report
from asr.evaluation.wer import score_utterance

ATTACK = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """The start tags, the resources that they load, and the visible texts of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.resources: list[str] = []
        self.handlers: list[str] = []
        self.texts: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "srcset", "data", "action"):
                self.resources.append(value)
            if name.startswith("on"):
                self.handlers.append(value)

    def handle_data(self, data):
        self.texts.append(data.strip())


@pytest.fixture
def evaluation(recording):
    texts = [("one two", "one too"), ("a b", "a"), ("yes", "yes"), ("no", "no yes")]
    results = []
    for i, (reference, text) in enumerate(texts):
        words = [Word(w, 0.2 * j, 0.2 * j + 0.1, 0.9) for j, w in enumerate(text.split())]
        utterance = Utterance(
            recording(f"{i}.wav", 0.6, seed=i), 0.6, reference, speaker=f"s{i % 2}"
        )
        hypothesis = Hypothesis(text, -1.0, tuple(words))
        results.append(
            Result(utterance, hypothesis, score_utterance(reference, text), 12.5)
        )
    return Evaluation(results, 0.5, [("e.wav", "e.wav: no such file")])


@pytest.fixture
def write(build, tmp_path):
    def write(evaluation, *, examples=50, title="mine, test", settings=None):
        path = tmp_path / "report.html"
        write_report(
            path,
            evaluation,
            build(),
            title=title,
            settings=settings or {},
            examples=examples,
        )
        return Page(path)

    return write


def test_the_page_has_scores_groups_confusions_and_settings(evaluation, write):
    page = write(evaluation, settings={"decoder.beam_size": 20})
    text = " ".join(" ".join(page.texts).split())
    low, high = evaluation.interval
    for words in (
        "mine, test",
        f"WER {evaluation.score.wer:.2%}".replace("%", " %"),
        f"95 % interval {100 * low:.2f} % to {100 * high:.2f} %",
        "By speaker",
        "below 1 s",
        "below 15 dB",
        "Substituted words",
        "Inserted letters",
        "1 errors in 2 words",
        "decoder.beam_size",
        "e.wav: no such file",
    ):
        assert words in text, words
    assert page.tags.count("audio") == 3  # the utterances with errors
    assert text.index("one") < text.index("too")
    assert page.tags.count("circle") == 1  # all words have confidence 0.9


def test_the_page_loads_nothing_and_runs_only_its_own_script(evaluation, write):
    page = write(evaluation)
    assert page.resources
    assert all(value.startswith(("data:", "#")) for value in page.resources)
    assert page.tags.count("script") == 1
    assert not re.search(r"@import|url\(", page.source)


def test_texts_cannot_add_elements_to_the_page(evaluation, write):
    plain = write(evaluation)
    word = Word(ATTACK, 0.0, 0.1, 0.9)
    results = []
    for result in evaluation.results:
        utterance = Utterance(result.utterance.audio, 0.6, "x", speaker=ATTACK)
        results.append(
            Result(utterance, Hypothesis(ATTACK, -1.0, (word,)), score_utterance("x", "y"))
        )
    failures = [(ATTACK, ATTACK)]
    page = write(
        Evaluation(results, 1.0, failures), title=ATTACK, settings={ATTACK: ATTACK}
    )
    assert page.tags.count("script") == plain.tags.count("script") == 1
    assert not page.handlers
    assert all(value.startswith(("data:", "#")) for value in page.resources)
    assert any("<script>alert(1)</script>" in text for text in page.texts)  # as text


def test_the_number_of_examples_is_limited_and_they_are_the_worst(evaluation, write):
    page = write(evaluation, examples=1)
    assert page.tags.count("article") == page.tags.count("audio") == 1
    assert write(evaluation, examples=0).tags.count("article") == 0


def test_a_recording_that_is_gone_is_named_and_the_others_have_audio(evaluation, write):
    evaluation.results[0].utterance.audio.unlink()
    page = write(evaluation)
    assert page.tags.count("audio") == 2
    assert any("no such file" in text for text in page.texts if "0.wav" in text)


def test_an_evaluation_without_errors_or_utterances_has_a_page(evaluation, write):
    right = [result for result in evaluation.results if result.scored.score.exact]
    assert "WER 0.00 %" in " ".join(write(Evaluation(right, 1.0)).texts)
    assert "WER 0.00 %" in " ".join(write(Evaluation([], 0.0)).texts)
