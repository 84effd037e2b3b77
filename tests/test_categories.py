import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_jax import categories
from fer_jax.categories import Categories
from fer_jax.errors import DataError, UsageError
from fer_jax.expressions import EXPRESSIONS


def test_the_papers_counts():
    assert (len(EXPRESSIONS), EXPRESSIONS.num_pairs, len(EXPRESSIONS.ordered_pairs)) == (8, 28, 56)


@given(st.integers(2, 40))
def test_counts_of_any_k(count):
    found = Categories(tuple(f"c{i}" for i in range(count)))
    assert found.num_pairs == count * (count - 1) // 2 and len(found.ordered_pairs) == count * (count - 1)
    assert categories.num_categories(found.num_pairs) == count
    assert categories.pairs_of(found.num_pairs) == found.pairs


@given(st.permutations(range(8)))
def test_pair_index_does_not_depend_on_order(order):
    first, second = order[:2]
    index = EXPRESSIONS.pair_index(first, second)
    assert index == EXPRESSIONS.pair_index(second, first)
    assert EXPRESSIONS.pairs[index] == tuple(sorted((first, second)))


def test_a_sequence_of_names():
    two = Categories(("genuine", "posed"))
    assert list(two) == ["genuine", "posed"] and two[1] == "posed" and "posed" in two and str(two) == "genuine, posed"
    assert two.pair_name(0) == "genuine-posed" and two.index_of("posed") == 1
    assert EXPRESSIONS.select(["sad", "neutral"]).names == ("sad", "neutral")


@pytest.mark.parametrize("members", [0, -3, 2, 4, 27, 29])
def test_members_that_are_no_number_of_pairs(members):
    with pytest.raises(UsageError, match=rf"`members`: wanted one for each pair of K categories.*got {members}\.$"):
        categories.num_categories(members)


@pytest.mark.parametrize(
    ("names", "got"), [((), "none"), (("a",), "'a'"), (("a", "b", "a"), "'a' twice"), (("a", " "), "'a', ' '")]
)
def test_bad_names(names, got):
    with pytest.raises(UsageError, match=rf"`categories`: wanted two or more different names, got {got}\.$"):
        Categories(names)


def test_errors_teach():
    with pytest.raises(UsageError, match=r"wanted two different numbers in 0\.\.7, got 3 and 3"):
        EXPRESSIONS.pair_index(3, 3)
    with pytest.raises(DataError, match=r"wanted one of genuine, posed, got 'poised'\. Did you mean `posed`"):
        Categories(("genuine", "posed")).index_of("poised")
    with pytest.raises(UsageError, match=r"`categories`: wanted one of genuine, posed, got 'poised'"):
        Categories(("genuine", "posed")).select(["genuine", "poised"])
