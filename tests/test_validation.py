"""Settings: numbers within their bounds and texts pass as they are, all else is named."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.errors import ConfigError
from asr.validation import as_text, as_texts, checked, count, interval, numbers


@given(st.integers() | st.floats(), st.floats(-10, 10), st.floats(-10, 10))
def test_a_number_passes_exactly_where_it_keeps_the_bounds(value, low, high):
    for bounds, keeps in (
        ({"least": low, "most": high}, low <= value <= high),
        ({"above": low, "below": high}, low < value < high),
        ({}, not math.isnan(value) and abs(value) != math.inf),
    ):
        if keeps:
            assert checked("a.b", value, **bounds) is value
        else:
            with pytest.raises(ConfigError, match=r"^a\.b is .*; it must be "):
                checked("a.b", value, **bounds)


@pytest.mark.parametrize("value", [None, "1", True, [1], math.nan, math.inf])
def test_what_is_no_number_is_told_what_it_must_be(value):
    with pytest.raises(ConfigError, match=r"it must be above 0 and at most 1$"):
        checked("share", value, above=0, most=1)
    with pytest.raises(ConfigError, match=r"it must be a number$"):
        checked("share", value)


def test_numpys_numbers_are_numbers():
    assert checked("share", np.float32(0.5), most=1) == 0.5
    assert checked("count", np.int64(3), least=1) == 3


def test_a_count_is_whole():
    assert count("num_layers", 3, least=1) == 3
    assert count("num_layers", np.int64(3), least=1, most=3) == 3
    for value, must in (
        (1.5, "be a whole number"),
        (3.0, "be a whole number"),
        (0, "be at least 1"),
        (True, "be at"),
    ):
        with pytest.raises(ConfigError, match=f"it must {must}"):
            count("num_layers", value, least=1)


def test_a_list_of_numbers_has_its_size_and_keeps_its_bounds():
    assert numbers("factors", [1, 0.5], above=0) == (1, 0.5)
    assert numbers("factors", ()) == ()
    for values, said in (
        (3, "factors is 3; it must be a list of numbers"),
        ("12", "factors is '12'; it must be a list of numbers"),
        ([1, 0], "factors is 0; it must be above 0"),
    ):
        with pytest.raises(ConfigError, match=f"^{re.escape(said)}$"):
            numbers("factors", values, above=0)
    with pytest.raises(ConfigError, match=r"^pair is \[1\]; it must be a pair$"):
        numbers("pair", [1], size=2, wanted="a pair")


@pytest.mark.parametrize(
    "bounds", [(2, 1), (1,), (1, 2, 3), (1, math.nan), ("low", "high"), 5, None]
)
def test_an_interval_is_two_numbers_the_lower_one_first(bounds):
    assert interval("snr", [1, 1]) == (1, 1)
    with pytest.raises(ConfigError, match=r"^snr is "):
        interval("snr", bounds)


def test_text_is_text_and_a_number_is_told_its_quotes():
    assert as_text("dir", "runs/7") == "runs/7"
    assert as_text("dir", Path("runs") / "7") == str(Path("runs") / "7")
    assert as_texts("train", "a.jsonl") == ["a.jsonl"]
    assert as_texts("train", ["a.jsonl", "b.jsonl"]) == ["a.jsonl", "b.jsonl"]
    with pytest.raises(
        ConfigError,
        match=r"^dir is 2026; it must be text; what looks like a number takes quotes in quotes: \"dir='...'\"$",
    ):
        as_text("dir", 2026)
    for value in (None, [1], {"a": 1}):
        with pytest.raises(ConfigError, match=r"^dir is .*; it must be text$"):
            as_text("dir", value)
    with pytest.raises(ConfigError, match=r"^train is 7; it must be text"):
        as_texts("train", ["a.jsonl", 7])
