"""Test the recipe that cuts words out of sentences."""

import pytest
import soundfile
import torch

from asr import audio
from asr.config.app import run_recipe
from asr.data.manifest import Utterance, read_manifest, write_manifest
from asr.inference import aligner
from asr.nn.emissions import Emissions
from recipes.words import words


@pytest.fixture
def sentence(sound, tmp_path):
    """Return a manifest of "yes no yes", which starts at 0.5 s in a longer recording."""
    soundfile.write(tmp_path / "a.wav", sound(3.0), 16_000)
    path = tmp_path / "talk" / "train.jsonl"
    write_manifest(path, [Utterance(tmp_path / "a.wav", 2.0, "Yes, no: yes", 0.5, "ann")])
    return path


@pytest.fixture
def model(build, tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    build().save(path)

    def emit(model, source, *, offset, duration, channel):
        tokenizer = model.tokenizer
        log_probs = torch.full((1, 50, len(tokenizer) + 1), -9.0)
        log_probs[..., 0] = -0.5
        letters = {
            5: "y",
            6: "e",
            7: "s",
            10: " ",
            20: "n",
            24: "o",
            28: " ",
            40: "y",
            41: "e",
            42: "s",
        }
        for frame, letter in letters.items():
            log_probs[0, frame, :] = -9.0
            log_probs[0, frame, tokenizer.index(letter)] = -0.01 if frame < 40 else -2.0
        return Emissions(log_probs, torch.tensor([50]), 0.04)

    monkeypatch.setattr(aligner.longform, "compute_emissions", emit)
    return path


def test_each_word_becomes_a_piece_of_the_recording(sentence, model, tmp_path, capsys):
    arguments = [
        f"manifest={sentence}",
        f"checkpoint={model}",
        f"root={tmp_path}",
        "margin=0.02",
        "min_score=0.05",
    ]
    assert run_recipe(words, arguments) == 0
    pieces = read_manifest(tmp_path / "manifests" / "talk_words" / "train.jsonl")
    assert [(u.text, u.offset, u.duration, u.speaker) for u in pieces] == [
        ("yes", pytest.approx(0.68), pytest.approx(0.16), "ann"),
        ("no", pytest.approx(1.28), pytest.approx(0.24), "ann"),
        ("yes", pytest.approx(2.08), pytest.approx(0.16), "ann"),
    ]
    assert (
        len(
            audio.load(
                pieces[1].audio, offset=pieces[1].offset, duration=pieces[1].duration
            )
        )
        == 3840
    )
    assert "3 words, 2 distinct, 1 speakers" in capsys.readouterr().out


def test_unwanted_uncertain_and_short_words_are_left_out(sentence, model, tmp_path, capsys):
    arguments = [
        f"manifest={sentence}",
        f"checkpoint={model}",
        f"root={tmp_path}",
        "only=[yes]",
        "name=agreed",
    ]
    assert run_recipe(words, arguments) == 0
    assert (
        "1 words, 1 distinct, 1 speakers, 0.00 h; left out: 0 too short, 1 uncertain:"
        in capsys.readouterr().out
    )
    assert [
        u.text for u in read_manifest(tmp_path / "manifests" / "agreed" / "train.jsonl")
    ] == ["yes"]
    assert run_recipe(words, [*arguments, "min_seconds=0.5"]) == 2
    assert "no words (left out: 2 too short, 0 uncertain)" in capsys.readouterr().err


def test_bad_input_is_one_line(sentence, model, capsys):
    for arguments, message in (
        ([], "pass manifest=..."),
        (
            [f"manifest={sentence}", f"checkpoint={model}", "margin=-1"],
            "margin must be >= 0, got -1",
        ),
        ([f"manifest={sentence}", "checkpoint=none"], "none: no such model"),
        (
            [f"manifest={sentence}", f"checkpoint={model}", "only=[maybe]"],
            "no words (left out: 0 too short, 0 uncertain)",
        ),
    ):
        assert run_recipe(words, arguments) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def test_words_never_replace_their_own_sentences(sentence, model, tmp_path, capsys):
    manifest = tmp_path / "manifests" / "talk" / "sentences.jsonl"
    write_manifest(manifest, read_manifest(sentence))
    before = manifest.read_bytes()
    settings = [f"manifest={manifest}", f"checkpoint={model}", f"root={tmp_path}"]
    assert run_recipe(words, [*settings, "name=talk"]) == 2
    assert "would replace its own input. Pass another name=" in capsys.readouterr().err
    assert manifest.read_bytes() == before
