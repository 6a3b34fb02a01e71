"""Phrases of prompts."""

from pathlib import Path

import numpy as np
import pytest

from asr.decode.greedy import GreedyDecoder
from asr.errors import ConfigError
from asr.nn.emissions import Emissions
from asr.server.prompt import BoostedDecoder, split_prompt
from asr.text import Tokenizer

TOKENIZER = Tokenizer((" ", "a", "n", "d"))


def test_phrases_are_separated_by_commas_sentences_and_lines() -> None:
    prompt = "Ann Smith, Oslo.\nThis is it! Really?; , yes"
    assert list(split_prompt(prompt)) == [
        "ann smith",
        "oslo",
        "this is it",
        "really",
        "yes",
    ]
    assert split_prompt(" ,.; ") == {}


def test_a_prompt_never_names_a_file(tmp_path: Path) -> None:
    path = tmp_path / "secret.txt"
    path.write_text("password")
    assert "password" not in " ".join(split_prompt(str(path)))


def emissions(best: str, second: str) -> Emissions:
    """Return emissions whose most likely text is `best`, and then `second`."""
    labels = [TOKENIZER.encode(f" {text} ") for text in (best, second)]
    log_probs = np.full((1, len(labels[0]), 5), -12.0, np.float32)  # (1, U, V)
    for frame, (first, other) in enumerate(zip(*labels, strict=True)):
        log_probs[0, frame, other] = np.log(0.3)
        log_probs[0, frame, first] = np.log(0.69)
    return Emissions(log_probs, np.array([len(labels[0])]), 0.04)


def test_a_phrase_replaces_words_that_are_almost_as_likely() -> None:
    plain = GreedyDecoder()
    (before,) = plain(emissions("and", "dan"), TOKENIZER)
    boosted = BoostedDecoder(plain, split_prompt("Dan"), TOKENIZER)
    (after,) = boosted(emissions("and", "dan"), TOKENIZER)
    assert (before.text, after.text) == ("and", "dan")


def test_a_phrase_that_the_model_cannot_write_is_an_error() -> None:
    with pytest.raises(ConfigError, match="'x', which the model cannot write"):
        BoostedDecoder(GreedyDecoder(), split_prompt("axa"), TOKENIZER)
