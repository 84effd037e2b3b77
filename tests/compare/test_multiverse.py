"""The winner of the Dice comparison under every open choice."""

import itertools

import numpy as np
import pandas as pd
import pytest

from fer_jax.compare import dice, multiverse
from fer_jax.errors import UsageError

PAIRS = np.repeat(np.arange(3), 4)
ORDERED = np.repeat(np.arange(6), 2)


def maps(seed, of=None, noise=1.0):
    """Smooth maps (12, 10, 10), like those of `of` the more, the less noise there is."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:10, :10]
    centres = random.uniform(2, 8, (12, 2))
    found = np.exp(-((x - centres[:, :1, None]) ** 2 + (y - centres[:, 1:, None]) ** 2) / 8)
    return found if of is None else (1 - noise) * of + noise * found


@pytest.fixture(scope="module")
def made():
    human = maps(0)
    people = [({"trials": name}, each) for name, each in (("correct", human), ("all", maps(1, human, 0.3)))]
    near, far = maps(2, human, 0.3), maps(3, human, 0.8)
    networks = [({"area": 0.1}, {"cam": far, "ep": near}), ({"area": 0.2}, {"cam": far, "ep": maps(4, human, 0.9)})]
    return people, networks, multiverse.multiverse(people, networks, PAIRS, ORDERED)


def test_every_specification_is_a_row(made):
    people, networks, table = made
    # 8 ways of the paper's threshold and the matched area; single images are not scaled before averaging.
    assert len(table) == len(people) * len(networks) * 9 * (3 + 3 + 1)
    choices = multiverse.choices_of(table)
    assert choices == [*multiverse.DICE_CHOICES, "trials", "area"]
    assert not table.duplicated(choices).any()
    assert (table["n"] == table["unit"].map({"pair": 3, "ordered": 6, "image": 12})).all()
    assert (table["margin"] >= 0).all()


def test_the_paper_s_threshold_is_the_protocol_s(made):
    people, networks, table = made
    for (chosen, human), (version, networks_maps) in itertools.product(people, networks):
        for values in itertools.product(*dice.CHOICES.values()):
            options = dict(zip(dice.CHOICES, values, strict=True))
            if options.pop("empty") == "one":
                continue
            spec = {**options, **chosen, **version, "threshold": "over 50", "unit": "pair"}
            row = table[np.all([table[name] == value for name, value in spec.items()], 0)]
            assert len(row) == 1
            for name, model in networks_maps.items():
                wanted = dice.dice_per_pair(human, model, PAIRS, dice.DiceOptions(**options))["dice"].mean()
                assert row[f"dice_{name}"].item() == pytest.approx(wanted, rel=1e-12)
            if options["per_image"] == "none":
                wanted = dice.baselines(human, PAIRS, dice.DiceOptions(**options)).set_index("baseline")["dice"]
                for name in multiverse.BASELINES:
                    assert row[f"dice_{name}"].item() == pytest.approx(wanted[name], rel=1e-12)


def test_the_matched_area_is_the_highest_tenth(made):
    people, networks, table = made
    row = table.query("unit == 'image' and threshold == 'matched area' and trials == 'all' and area == 0.2").iloc[0]
    shares = []
    for human, model in zip(people[1][1], networks[1][1]["ep"], strict=True):
        on, other = ({*np.argsort(-each.ravel(), kind="stable")[:10].tolist()} for each in (human, model))
        shares.append(len(on & other) / 10)
    assert row["dice_ep"] == pytest.approx(np.mean(shares))


def test_winner_and_margins(made):
    _, _, table = made
    for row in table.itertuples():
        methods = {"cam": row.dice_cam, "ep": row.dice_ep}
        assert row.winner == max(methods, key=methods.get)
        assert row.margin == pytest.approx(abs(row.dice_cam - row.dice_ep))
        best = max(row.dice_centre, table.loc[row.Index, "dice_other pairs"])
        assert row.over_baseline == pytest.approx(max(methods.values()) - best)
    assert table.query("area == 0.1")["winner"].eq("ep").all()
    assert set(table.query("area == 0.2")["winner"]) >= {"cam"}
    shares = multiverse.turning(table)
    assert shares.index[0] == "area"
    assert 0.5 < shares.iloc[0] <= 1
    assert shares.is_monotonic_decreasing
    assert set(shares.index) == set(multiverse.choices_of(table))


def test_laws():
    human = maps(5)
    table = multiverse.multiverse([({}, human)], [({}, {"same": human, "other": maps(6)})], PAIRS, ORDERED)
    assert table["dice_same"].to_numpy() == pytest.approx(np.ones(len(table)))
    assert table["winner"].eq("same").all()
    order = np.random.default_rng(0).permutation(12)
    again = multiverse.multiverse(
        [({}, human[order])], [({}, {"same": human[order], "other": maps(6)[order]})], PAIRS[order], ORDERED[order]
    )
    pd.testing.assert_frame_equal(table, again, rtol=1e-12)


def test_an_image_without_a_map_counts_nowhere(made):
    people, networks, _ = made
    broken = people[1][1].copy()
    broken[5] = np.nan
    table = multiverse.multiverse([people[0], ({"trials": "all"}, broken)], networks, PAIRS, ORDERED)
    kept = np.arange(12) != 5
    wanted = multiverse.multiverse(
        [(chosen, each[kept]) for chosen, each in people],
        [(chosen, {name: each[kept] for name, each in version.items()}) for chosen, version in networks],
        PAIRS[kept], ORDERED[kept],
    )  # fmt: skip
    pd.testing.assert_frame_equal(table, wanted)


def test_maps_that_do_not_vary_have_no_winner():
    flat = np.zeros((12, 10, 10))
    table = multiverse.multiverse([({}, flat)], [({}, {"a": maps(7), "b": maps(8)})], PAIRS, ORDERED)
    assert table["winner"].eq("").all()
    assert table["n"].eq(0).all()
    assert (
        "nothing can be said"
        in multiverse.sentences(table, {}, paper=table.iloc[0][multiverse.choices_of(table)].to_dict())[0]
    )


def test_three_sentences_from_the_table_by_rule(made):
    _, _, table = made
    paper = {"unit": "pair", "per_image": "none", "threshold": "over 50", "normalise": "minmax", "integer": "floor",
             "compare": "gt", "trials": "correct", "area": 0.1}  # fmt: skip
    one, two, three = multiverse.sentences(table, {"cam": "CAM", "ep": "EP"}, paper=paper)
    count = (table["winner"] == "ep").sum()
    assert one.startswith(f"EP fits people best in {count} of {len(table)} specifications (CAM in")
    assert "the choice that decides most is area" in one
    above = (table["over_baseline"] > 0).mean()
    assert f"in {100 * above:.0f} % of them" in two
    row = table[np.all([table[name] == value for name, value in paper.items()], 0)].iloc[0]
    assert three.startswith(f"Under the paper's reading EP leads by {row['margin']:.2f}")
    with pytest.raises(UsageError, match="wanted the choices of one specification, got those of 2"):
        multiverse.sentences(table, {}, paper={name: paper[name] for name in paper if name != "area"})


def test_errors_teach(made):
    people, networks, _ = made
    with pytest.raises(UsageError, match="`networks`: wanted two methods or more, got cam"):
        multiverse.multiverse(people, [({}, {"cam": maps(0)})], PAIRS, ORDERED)
    with pytest.raises(UsageError, match=r"`networks`: wanted maps \(T, H, W\) of one shape"):
        multiverse.multiverse(people, [({}, {"cam": maps(0), "ep": maps(0)[:, :5]})], PAIRS, ORDERED)
    with pytest.raises(UsageError, match="`people`: wanted the same choices in every version"):
        multiverse.multiverse([*people, ({"other": 1}, maps(0))], networks, PAIRS, ORDERED)
    with pytest.raises(UsageError, match=r"`ordered`: wanted whole numbers \(12,\), got \(3,\)"):
        multiverse.multiverse(people, networks, PAIRS, np.arange(3))
