"""Checks of constructor arguments: valid values pass unchanged, others raise an error."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.validation import (
    Count,
    Fraction,
    check_arguments,
    check_integer,
    check_interval,
    check_number,
    check_numbers,
)


@given(st.integers() | st.floats(), st.floats(-10, 10), st.floats(-10, 10))
def test_a_number_passes_exactly_if_it_is_within_the_bounds(value, low, high):
    for bounds, is_valid in (
        ({"ge": low, "le": high}, low <= value <= high),
        ({"gt": low, "lt": high}, low < value < high),
        ({}, not math.isnan(value) and abs(value) != math.inf),
    ):
        if is_valid:
            assert check_number("a.b", value, **bounds) is value
        else:
            with pytest.raises(ValueError, match=r"^a\.b must be .*, got "):
                check_number("a.b", value, **bounds)


@pytest.mark.parametrize("value", [None, "1", True, [1], math.nan, math.inf])
def test_the_error_for_a_non_number_states_what_is_valid(value):
    with pytest.raises(ValueError, match=r"^share must be > 0 and <= 1, got "):
        check_number("share", value, gt=0, le=1)
    with pytest.raises(ValueError, match=r"^share must be a number, got "):
        check_number("share", value)


def test_numpy_numbers_are_numbers():
    assert check_number("share", np.float32(0.5), le=1) == 0.5
    assert check_number("count", np.int64(3), ge=1) == 3


def test_an_integer_must_be_whole():
    assert check_integer("num_layers", 3, ge=1) == 3
    assert check_integer("num_layers", np.int64(3), ge=1, le=3) == 3
    for value, requirement in (
        (1.5, "be an integer, got 1.5"),
        (3.0, "be an integer, got 3.0"),
        (0, "be >= 1, got 0"),
        (True, "be >= 1, got True"),
    ):
        with pytest.raises(ValueError, match=f"num_layers must {requirement}"):
            check_integer("num_layers", value, ge=1)


def test_a_list_of_numbers_is_checked_for_size_and_bounds():
    assert check_numbers("factors", [1, 0.5], gt=0) == (1, 0.5)
    assert check_numbers("factors", ()) == ()
    for values, message in (
        (3, "factors must be a list of numbers, got 3"),
        ("12", "factors must be a list of numbers, got '12'"),
        ([1, 0], "factors must be > 0, got 0"),
    ):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            check_numbers("factors", values, gt=0)
    with pytest.raises(ValueError, match=r"^pair must be a pair, got \[1\]$"):
        check_numbers("pair", [1], size=2, wanted="a pair")


@pytest.mark.parametrize(
    "bounds", [(2, 1), (1,), (1, 2, 3), (1, math.nan), ("low", "high"), 5, None]
)
def test_an_interval_is_two_ascending_numbers(bounds):
    assert check_interval("snr", [1, 1]) == (1, 1)
    with pytest.raises(ValueError, match=r"^snr must be "):
        check_interval("snr", bounds)


def test_annotated_arguments_are_checked_in_each_call():
    @check_arguments
    def layer(*, size: Count, dropout: Fraction = 0.1, name: str = "") -> tuple:
        return size, dropout, name

    assert layer(size=3) == (3, 0.1, "")
    assert layer(size=3, dropout=1, name="a") == (3, 1, "a")
    with pytest.raises(ValueError, match=r"^size must be >= 1, got 0$"):
        layer(size=0)
    with pytest.raises(ValueError, match=r"^dropout must be >= 0 and <= 1, got 2$"):
        layer(size=3, dropout=2)
    with pytest.raises(TypeError, match="unexpected keyword argument 'sise'"):
        layer(sise=3)
