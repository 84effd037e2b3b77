import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_jax import expressions
from fer_jax.errors import DataError, UsageError


def test_counts_are_the_papers():
    assert len(expressions.EXPRESSIONS) == 8
    assert len(expressions.PAIRS) == 28
    assert len(expressions.ORDERED_PAIRS) == 56


@given(st.permutations(range(8)))
def test_pair_index_does_not_depend_on_order(order):
    first, second = order[:2]
    index = expressions.pair_index(first, second)
    assert index == expressions.pair_index(second, first)
    assert expressions.PAIRS[index] == tuple(sorted((first, second)))


@pytest.mark.parametrize("table", expressions.LABEL_TABLES)
def test_each_table_is_a_partial_bijection(table):
    kept = [label for label in expressions.LABEL_TABLES[table] if label != expressions.DROP]
    assert len(set(kept)) == len(kept)
    assert set(kept) <= set(range(8))


@pytest.mark.parametrize(
    ("table", "names"),
    [
        ("ferplus", "neutral happiness surprise sadness anger disgust fear contempt"),
        ("fer2013", "angry disgust fear happy sad surprise neutral"),
        ("ckplus", "neutral anger contempt disgust fear happy sadness surprise"),
        ("sorted_names_8", "Anger Contempt Disgust Fear Happiness Neutral Sadness Surprise"),
        ("sorted_names_7", "Anger Disgust Fear Happiness Neutral Sadness Surprise"),
        ("wegrzyn2017", "happy sad angry fearful disgusted surprised neutral"),
    ],
)
def test_tables_agree_with_the_names_the_sources_print(table, names):
    spoken = [expressions.index_of(name) for name in names.split()]
    np.testing.assert_array_equal(expressions.canonical(table, np.arange(len(spoken))), spoken)


def test_names_go_round():
    for index, name in enumerate(expressions.EXPRESSIONS):
        assert expressions.index_of(name.upper()) == index


def test_errors_teach():
    with pytest.raises(DataError, match=r"`expression`: wanted one of neutral.* got 'hapy'. Did you mean `happy`\?"):
        expressions.index_of("hapy")
    with pytest.raises(UsageError, match=r"wanted two different numbers in 0..7, got 3 and 3"):
        expressions.pair_index(3, 3)
    with pytest.raises(DataError, match=r"fer2013 numbers its classes 0..6, got 7"):
        expressions.canonical("fer2013", [0, 7])
    with pytest.raises(UsageError, match=r"`table`: wanted one of affectnet"):
        expressions.canonical("nope", [0])
