"""Comparison of two evaluations."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asr.data.manifest import Utterance
from asr.decode.hypothesis import Hypothesis
from asr.errors import ConfigError
from asr.evaluation.report import Evaluation, Result
from asr.evaluation.systems import System, compare_systems, pair_systems
from asr.evaluation.wer import score_utterance

TEXTS = {  # reference: hypotheses of A and B
    "one two three": ("one too tree", "one two three"),
    "a long walk home": ("a long walk home", "a long talk home"),
    "go": ("go", "go"),
    "stop now": ("stop no", "stop mow"),
    "": ("yes", ""),
}


def write(
    folder: Path, system: int, *, references: list[str] | None = None, **settings: object
):
    """Write the evaluation of a system and return its folder."""
    results = []
    for i, (reference, hypotheses) in enumerate(TEXTS.items()):
        reference = references[i] if references else reference
        text = hypotheses[system]
        utterance = Utterance(
            Path(f"{i}.wav"), 1.0, reference, speaker=f"s{i % 2}", offset=i
        )
        scored = score_utterance(reference, text)
        results.append(Result(utterance, Hypothesis(text, -1.0), scored))
    Evaluation(results, 1.0).write(folder, settings)
    return folder


@pytest.fixture
def folders(tmp_path):
    first = write(tmp_path / "a", 0, checkpoint="a.onnx", seed=1)
    return first, write(tmp_path / "b", 1, checkpoint="b.onnx", seed=1)


def test_pairs_are_counted_and_rates_are_those_of_the_evaluations(folders):
    comparison = pair_systems(*map(System.read, folders))
    assert comparison.counts == {"better": 2, "worse": 1, "equal": 2}
    assert comparison.difference == pytest.approx((2 - 4) / 10)
    for folder, (rate, interval) in zip(folders, comparison.rates, strict=True):
        summary = json.loads((folder / "summary.json").read_text("utf-8"))
        assert rate == pytest.approx(summary["wer"])
        assert interval == pytest.approx(summary["wer_interval"], abs=1e-5)
    low, high = comparison.interval
    assert low < comparison.difference < high
    assert 0 < comparison.p_value <= 1
    speakers = comparison.by_speaker
    assert {name: len(group.pairs) for name, group in speakers.items()} == {
        "s0": 3,
        "s1": 2,
    }
    assert speakers["s0"].difference == pytest.approx(-3 / 4)
    swapped = pair_systems(*map(System.read, folders[::-1]))
    assert swapped.difference == -comparison.difference


def test_differing_utterances_are_those_with_other_words_largest_difference_first(folders):
    comparison = pair_systems(*map(System.read, folders))
    names = [pair.first.name for pair in comparison.differing]
    assert names == ["0.wav", "1.wav@1", "4.wav@4", "3.wav@3"]


def test_a_system_equals_itself(folders):
    comparison = pair_systems(*map(System.read, (folders[0], folders[0])))
    assert comparison.counts == {"better": 0, "worse": 0, "equal": 5}
    assert (comparison.difference, comparison.interval) == (0, (0, 0))
    assert comparison.p_value == 1
    assert comparison.differing == []


def test_utterances_of_one_system_are_left_out_and_counted(folders, tmp_path, capsys):
    path = folders[1] / "utterances.jsonl"
    lines = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[1:]), "utf-8")
    compare_systems(*folders, tmp_path / "page.html", 10)
    out = capsys.readouterr().out
    assert "left out: 1 utterances only in A, 0 only in B" in out
    assert "Left out: 1 utterances" in (tmp_path / "page.html").read_text("utf-8")


def test_wrong_folders_give_one_line(folders, tmp_path):
    with pytest.raises(
        ConfigError, match=r"none: no evaluation; run asr.evaluate with dir="
    ):
        System.read(tmp_path / "none")
    path = folders[0] / "utterances.jsonl"
    for content in ("{", "[]", '{"text": "a"}'):
        path.write_text(content, "utf-8")
        with pytest.raises(
            ConfigError, match=r"utterances.jsonl: not written by asr.evaluate"
        ):
            System.read(folders[0])


def test_a_line_separator_inside_a_text_does_not_end_the_line(folders):
    path = folders[0] / "utterances.jsonl"
    content = path.read_text("utf-8").replace("tree", "tree\u2028house")
    path.write_text(content, "utf-8")
    assert len(System.read(folders[0]).outcomes) == len(TEXTS)


def test_utterances_with_one_name_are_refused_and_close_offsets_differ(folders):
    path = folders[0] / "utterances.jsonl"
    lines = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join([*lines, lines[1]]), "utf-8")
    entry = json.loads(lines[1])
    name = f"{entry['audio_filepath']}@{entry['offset']}"
    with pytest.raises(ConfigError, match=f"2 utterances are {name};"):
        System.read(folders[0])
    entries = [{**entry, "offset": offset} for offset in (1234.561, 1234.562)]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries), "utf-8")
    assert len(System.read(folders[0]).outcomes) == 2


def test_different_references_are_named_and_other_data_are_refused(folders, tmp_path):
    other = write(tmp_path / "c", 1, references=["one two four", *list(TEXTS)[1:]])
    systems = System.read(folders[0]), System.read(other)
    with pytest.raises(ConfigError, match=r"of 0.wav: 'one two three' and 'one two four'"):
        pair_systems(*systems)
    with pytest.raises(ConfigError, match="have no common utterance"):
        pair_systems(systems[0], replace(systems[1], outcomes={}))


def test_a_system_that_is_better_for_every_speaker_is_significantly_better(tmp_path):
    rng = np.random.default_rng(0)
    for name, share in (("a", 0.4), ("b", 0.1)):
        results = []
        for i in range(120):
            text = " ".join("x" if rng.random() < share else "word" for _ in range(5))
            utterance = Utterance(Path(f"{i}.wav"), 1.0, "word " * 5, speaker=f"s{i % 12}")
            scored = score_utterance(utterance.text, text)
            results.append(Result(utterance, Hypothesis(text, -1.0), scored))
        Evaluation(results, 1.0).write(tmp_path / name)
    comparison = pair_systems(System.read(tmp_path / "a"), System.read(tmp_path / "b"))
    assert comparison.p_value < 0.01
    assert comparison.interval[1] < 0


def test_the_page_shows_both_systems_and_their_different_settings(folders, tmp_path):
    compare_systems(*folders, tmp_path / "new" / "page.html", 2)
    page = (tmp_path / "new" / "page.html").read_text("utf-8")
    assert page.count("<article") == 2
    for text in (
        "−20.00 points",
        "a.onnx",
        "b.onnx",
        "2 of 4",
        "<del",
        'class="substitution"',
    ):
        assert text in page, text
    assert ">seed<" not in page
    assert "http" not in page


def test_texts_cannot_add_elements_to_the_page(folders, tmp_path):
    path = folders[0] / "utterances.jsonl"
    attack = "<script>alert(1)</script>"
    path.write_text(path.read_text("utf-8").replace("tree", attack), "utf-8")
    compare_systems(*folders, tmp_path / "page.html", 10)
    page = (tmp_path / "page.html").read_text("utf-8")
    assert page.count("<script>") == 1
    assert "&lt;script&gt;alert(1)" in page
