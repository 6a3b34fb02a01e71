"""Numbers in settings: what is within bounds passes as it is, all else is named."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.bounds import checked, count, interval
from asr.errors import ConfigError


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
    assert count("layers", 3, least=1) == 3
    assert count("layers", np.int64(3), least=1, most=3) == 3
    for value, must in ((1.5, "be a whole number"), (3.0, "be a whole number"), (0, "be at least 1"), (True, "be at")):
        with pytest.raises(ConfigError, match=f"it must {must}"):
            count("layers", value, least=1)


@pytest.mark.parametrize("bounds", [(2, 1), (1,), (1, 2, 3), (1, math.nan), ("low", "high")])
def test_an_interval_is_two_numbers_the_lower_one_first(bounds):
    assert interval("snr", [1, 1]) == (1, 1)
    with pytest.raises(ConfigError, match=r"^snr is "):
        interval("snr", bounds)
