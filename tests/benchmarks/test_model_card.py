"""Figures of the model card: decoders share emissions, peers are scored like the model."""

import json
import sys

import numpy as np
import pytest

from asr.data.manifest import read_manifest
from asr.decode.beam import BeamDecoder
from asr.decode.greedy import GreedyDecoder
from asr.evaluation.evaluator import evaluate_corpus, load_corpus
from asr.inference.transcriber import Transcriber


@pytest.fixture
def utterances(root):
    return read_manifest(root / "manifests/an4/test.jsonl")


class CountingModel:
    """A model that counts the waveforms that it gets."""

    def __init__(self, model):
        self.model, self.waveforms = model, []

    def __getattr__(self, name):
        return getattr(self.model, name)

    def compute_emissions(self, waveforms):
        self.waveforms += waveforms
        return self.model.compute_emissions(waveforms)


def test_decoders_share_emissions_and_give_what_asr_evaluate_gives(
    script, build, utterances
):
    model = CountingModel(build())
    decoders = {"greedy": GreedyDecoder(), "beam": BeamDecoder(workers=1)}
    evaluations = script("scoring").score_decoders(model, decoders, utterances)
    assert len(model.waveforms) == len(utterances)
    for name, decoder in decoders.items():
        corpus = load_corpus(utterances, model.tokenizer)
        expected = evaluate_corpus(Transcriber(build(), decoder), corpus)
        texts = {r.utterance: r.hypothesis for r in expected.results}
        assert {r.utterance: r.hypothesis for r in evaluations[name].results} == texts
        assert evaluations[name].score == expected.score


def test_a_condition_changes_the_audio_that_the_model_gets(script, build, utterances):
    scoring, model = script("scoring"), CountingModel(build())
    decoders = {"greedy": GreedyDecoder()}
    scoring.score_decoders(model, decoders, utterances)
    scoring.score_decoders(model, decoders, utterances, scoring.add_noise(10.0))
    originals, noisy = np.array_split(np.array(model.waveforms, dtype=object), 2)
    for clean, changed in zip(originals, noisy, strict=True):
        noise = changed - clean
        snr = 10 * np.log10(np.square(clean).mean() / np.square(noise).mean())
        assert snr == pytest.approx(10, abs=0.5)


def test_noise_does_not_depend_on_the_order_of_clips(script, sound):
    change = script("scoring").add_noise(20.0)
    first, second = sound(0.3), sound(0.4)
    alone = change(second)
    change(first)
    assert np.array_equal(change(second), alone)


class FakeSphinx:
    """A peer that always recognizes the same words."""

    calls = 0

    def transcribe(self, samples):
        assert samples.dtype == np.float32
        FakeSphinx.calls += 1
        return "mr. number a"


def test_texts_of_a_peer_are_kept_and_an_incomplete_line_is_not(
    script, utterances, tmp_path, monkeypatch
):
    scoring, cache = script("scoring"), tmp_path / "cache" / "pocketsphinx.jsonl"
    monkeypatch.setattr(scoring, "Sphinx", FakeSphinx)
    monkeypatch.setattr(FakeSphinx, "calls", 0)
    evaluation = scoring.score_pocketsphinx(utterances, cache)
    assert evaluation.scored[1].alignment == (
        ("", "mister"),
        ("number", "number"),
        ("a", "a"),
    )
    cache.write_text(cache.read_text()[:-5])
    again = scoring.score_pocketsphinx(utterances, cache)
    assert FakeSphinx.calls == len(utterances) + 1
    assert again.score == evaluation.score
    assert scoring.scores(again)["calibration_error"] is None


def test_the_card_has_the_scores_of_sets_groups_and_conditions(
    script, build, root, tmp_path, capsys
):
    card, path = script("model_card"), tmp_path / "card.json"
    build().save(tmp_path / "model.safetensors")
    facts = {"seed": 7, "commit": "abc"}
    (tmp_path / "summary.json").write_text(json.dumps(facts))
    arguments = [str(tmp_path / "model.safetensors"), f"--root={root}", f"--json={path}"]
    card.run(card.parse([*arguments, "--sets", "AN4"]))
    figures = json.loads(path.read_text())
    assert figures["seed"] == 7
    assert figures["parameters"] == sum(p.numel() for p in build().parameters())
    assert ["an4", "0.00", 1, 1] in figures["training"]
    whole, *others = figures["rows"]
    assert (whole["set"], whole["utterances"], whole["system"]) == ("AN4", 3, "greedy")
    groups = {(row["kind"], row["group"]): row["words"] for row in others if "kind" in row}
    assert groups == {
        ("length", "0 to 1 s"): 5,
        ("gender", "female"): 1,
        ("gender", "male"): 4,
    }
    changed = [row["condition"] for row in others if "kind" not in row]
    assert changed == ["noise at 20 dB", "noise at 10 dB", "telephone band"]
    output = capsys.readouterr().out
    assert "| AN4 | male | 2 | 4 | " in output
    assert f"| greedy | {script('scoring').describe_wer(whole)} | " in output
    assert "- seed: 7" in output


def test_a_peer_that_is_not_installed_is_left_out(script, root, capsys, monkeypatch):
    card = script("model_card")
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    card.run(card.parse(["--peer", "pocketsphinx", f"--root={root}", "--sets", "AN4"]))
    assert "left out: pocketsphinx, not installed" in capsys.readouterr().err


def test_lengths_have_both_bounds(script):
    names = ["below    1 s", "below    8 s", "from    32 s"]
    assert [*map(script("model_card").name_length, names)] == [
        "0 to 1 s",
        "4 to 8 s",
        "from 32 s",
    ]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "nothing to score"),
        (["missing.safetensors"], "no such model"),
        (["MODEL", "--sets", "Swedish"], "no such set"),
        (["MODEL", "--decoder", "magic"], "magic"),
    ],
)
def test_a_wrong_option_is_one_line(
    script, build, root, tmp_path, capsys, monkeypatch, arguments, problem
):
    build().save(tmp_path / "MODEL")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["model_card.py", *arguments, f"--root={root}"])
    with pytest.raises(SystemExit) as error:
        script("model_card").main()
    assert error.value.code == 2
    *_, line = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("benchmarks/model_card.py: ")
    assert problem in line
