"""Property tests draw the same examples in every session, unless new ones are asked for."""

import os

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.skipif("HYPOTHESIS_PROFILE" in os.environ, reason="another profile was asked for")
def test_two_rounds_draw_the_same_examples():
    rounds = []
    for _ in range(2):
        drawn = []
        given(number=st.integers(0, 10**9))(lambda number: drawn.append(number))()  # noqa: B023
        rounds.append(drawn)
    assert len(rounds[0]) > 50
    assert rounds[0] == rounds[1]
    assert hypothesis.settings.default.derandomize


def test_torture_draws_new_examples_of_every_property(root):
    recipe = (root / "Makefile").read_text(encoding="utf-8").split("torture: ")[1].split("\n\n")[0]
    assert "HYPOTHESIS_PROFILE=random" in recipe
    assert "slow or hypothesis" in recipe
    assert not hypothesis.settings.get_profile("random").derandomize
