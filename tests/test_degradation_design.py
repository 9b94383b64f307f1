"""Columns of a study of degradations: who gets which response, and settings that cannot be."""

import numpy as np
import pytest
from conftest import make_sample

from benchmark import UserMistakes
from recipes.columns import GOLDEN
from recipes.degradation_design import NO_RESPONSE, make_design
from recipes.degradation_settings import DegradationSettings
from recipes.reading import read_settings


def test_columns_hold_each_distinct_response_once_and_nobodys_where_nothing_can_be_damaged() -> None:
    one, two = (make_sample(f"s{i}", user_persona=f"p{i}", golden_response=f"Answer {i}.") for i in (1, 2))
    short = make_sample("short", user_persona="p3", golden_response="No.")
    chosen = DegradationSettings(kinds=("swapped", "truncated"), shares=(0.0, 1.0))
    found = make_design((), {"id": (one, two, short)}, chosen).subsets["id"]
    assert found.texts == ("Answer 1.", "Answer 2.", "No.", "Answer")
    assert found.columns[GOLDEN].tolist() == found.columns["swapped-0"].tolist() == [0, 1, 2]
    assert sorted(found.columns["swapped-100"]) == [0, 1, 2]
    assert found.columns["truncated-100"].tolist() == [3, 3, NO_RESPONSE]
    values_N_M = np.arange(12.0).reshape(3, 4)
    expected = [[3, 3, np.nan], [7, 7, np.nan], [11, 11, np.nan]]
    np.testing.assert_array_equal(found.matrix(values_N_M, "truncated-100"), expected)
    mask_N_M = np.zeros((3, 4), dtype=bool)
    found.mark(mask_N_M, "truncated-100", np.array([[False, True, True], [False] * 3, [True] * 3]))
    assert np.argwhere(mask_N_M).tolist() == [[0, 3], [2, 3]]


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        ("kinds=[swap]", "kinds.0: input should be 'swapped'"),
        ("kinds=[swapped, swapped]", "kinds: name each kind of damage once"),
        ("shares=[0, 0.005]", "shares: use whole per cents from 0 to 1"),
        ("shares=[0.5]", "shares: name two shares or more, each once"),
        ("scoring.arithmetic=released", "scoring.arithmetic has no use in a study of degradations; leave it out"),
        ("kind=[swapped]", "kind: unknown key; did you mean 'kinds'?"),
    ],
)
def test_settings_that_cannot_be_are_refused(assignment: str, told: str) -> None:
    with pytest.raises(UserMistakes) as caught:
        read_settings(DegradationSettings, [assignment])
    assert told in str(caught.value)


def test_shares_are_put_in_order() -> None:
    assert read_settings(DegradationSettings, ["shares=[1, 0, 0.5]"]).shares == (0.0, 0.5, 1.0)
