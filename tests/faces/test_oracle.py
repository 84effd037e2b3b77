import numpy as np
import pytest
import scipy.stats

from fer_jax import action_units, faces
from fer_jax.errors import UsageError
from fer_jax.expressions import EXPRESSIONS
from fer_jax.faces.geometry.camera import Pose
from fer_jax.faces.oracle import difference

SIZE = 64
# Sums over brows, eyes, mouth and chin of the mean difference, of the feasibility study (design, section 6).
STUDY = dict(
    zip(
        EXPRESSIONS.pairs,
        (13, 18, 50, 44, 28, 23, 4, 25, 54, 50, 28, 28, 13, 47, 40, 30, 23, 18, 41, 57, 49, 50, 54, 47, 45, 19, 27, 24),
        strict=True,
    )
)


def _scene(expression, person=0, **changes):
    parameters = faces.draw(0, "stimuli", 8 * person, preset="easy", expression=expression, identity=person, size=SIZE)
    return parameters.replace(pose=Pose(), light=faces.Light(), **changes)


@pytest.fixture(scope="module")
def evidence():
    """Mean and total difference by pair and region over four people: two dicts of float (11,)."""
    means, totals = {}, {}
    for first, second in EXPRESSIONS.pairs:
        mean, total = np.zeros(11), np.zeros(11)
        for person in range(4):
            parameters = _scene(first, person)
            mask = faces.region_mask(faces.render(parameters, photometry=False), SIZE)
            found = faces.oracle(parameters, second)
            count = np.bincount(mask.ravel(), minlength=11)
            total += np.bincount(mask.ravel(), found.ravel(), minlength=11)
            mean += np.bincount(mask.ravel(), found.ravel(), minlength=11) / np.maximum(count, 1)
        means[first, second], totals[first, second] = mean / 4, total
    return means, totals


def _named(values, *parts):
    return sum(values[1 + row] for row, name in enumerate(faces.REGIONS) if name.startswith(parts))


def test_laws_of_a_difference():
    for first, second in ((0, 1), (2, 7), (6, 5)):
        there, back = faces.oracle(_scene(first), second), faces.oracle(_scene(second), first)
        np.testing.assert_array_equal(there, back)
        assert there.dtype == np.float32 and there.shape == (SIZE, SIZE)
        assert there.min() >= 0 and there.max() > 1
    assert not faces.oracle(_scene(3), 3).any()


def test_it_is_zero_away_from_head_and_neck():
    parameters = _scene(0)
    raw = difference(parameters, parameters.au, action_units.vector({1: 1, 2: 1, 26: 1, 25: 1}), smoothing=0.0)
    assert not raw[:, : SIZE // 10].any() and not raw[:, -SIZE // 10 :].any()
    assert raw.any()


def test_the_shadow_on_the_neck_says_nothing_of_the_chin():
    """Unit 17 lifts the chin: without a resting shadow the neck would tell."""
    parameters = _scene(0, person=1)
    raw = difference(parameters, parameters.au, action_units.vector({17: 1.0}), size=128, smoothing=0.0)
    chin = int(faces.render(parameters, size=128, photometry=False).landmarks[8, 1])
    assert raw[: chin + 4].max() > 5
    assert not raw[chin + 8 :].any()


def test_photometry_occluders_and_restlessness_are_off():
    plain = _scene(1)
    disguised = plain.replace(occluder=1, photometry=faces.Photometry(noise=9.0, jpeg=20), au=plain.au + 0.1)
    np.testing.assert_array_equal(faces.oracle(plain, 4), faces.oracle(disguised, 4))


def test_evidence_ranks_the_pairs_as_the_feasibility_study_did(evidence):
    means, _ = evidence
    sums = [
        (_named(means[pair], "brow") + _named(means[pair], "eye")) / 2 + _named(means[pair], "mouth", "chin")
        for pair in EXPRESSIONS.pairs
    ]
    assert scipy.stats.spearmanr(sums, [STUDY[pair] for pair in EXPRESSIONS.pairs]).statistic >= 0.9
    assert np.argmin(sums) == EXPRESSIONS.pairs.index((0, 7)), "contempt is nearest to neutral"


@pytest.mark.parametrize(
    ("pair", "parts"),
    [
        (("neutral", "happy"), ("mouth",)),
        (("neutral", "contempt"), ("mouth",)),
        (("neutral", "sad"), ("brow",)),
        (("surprise", "fear"), ("brow", "mouth")),
    ],
)
def test_the_largest_share_lies_where_the_expression_is_made(evidence, pair, parts):
    totals = evidence[1][tuple(map(EXPRESSIONS.index, pair))]
    shares = {part: _named(totals, part) for part in ("brow", "eye", "cheek", "glabella", "nose", "mouth", "chin")}
    assert max(shares, key=shares.get) in parts


def test_contempt_is_told_by_one_side():
    scene = faces.draw(0, "stimuli", 0, size=64, expression=0, identity=0, intensity=1.0)
    one_side = faces.oracle(scene.replace(pose=Pose(), light=faces.Light()), 7)
    assert one_side[:, :32].sum() / one_side[:, 32:].sum() > 2 or one_side[:, 32:].sum() / one_side[:, :32].sum() > 2


@pytest.mark.parametrize(("unit", "part"), [(12, "mouth"), (4, "brow"), (26, "mouth"), (9, "nose")])
def test_a_units_mask_peaks_in_its_region(unit, part):
    parameters = _scene(0, au=action_units.vector({unit: 1.0}))
    mask = faces.region_mask(faces.render(parameters, photometry=False), SIZE)
    found = faces.unit_mask(parameters, unit)
    totals = np.bincount(mask.ravel(), found.ravel(), minlength=11)
    regions = {name.split("_")[0] for name in faces.REGIONS}
    assert max(regions - {"glabella", "cheek", "chin"}, key=lambda name: _named(totals, name)) == part
    assert not faces.unit_mask(parameters, 27).any(), "a unit that is at rest shows nowhere"


def test_bad_arguments_are_named():
    with pytest.raises(UsageError, match=r"`foil`: wanted an index in 0\.\.7, got 9"):
        faces.oracle(_scene(0), 9)
    with pytest.raises(UsageError, match="`unit`: wanted one of 1, 2, 4"):
        faces.unit_mask(_scene(0), 3)
    with pytest.raises(UsageError, match="`size`"):
        faces.oracle(_scene(0), 1, size=8)


def test_a_foil_of_one_side_can_be_drawn_on_both():
    contempt, neutral = EXPRESSIONS.index("contempt"), EXPRESSIONS.index("neutral")
    one, both = faces.oracle(_scene(neutral), contempt), faces.oracle(_scene(neutral), contempt, both_sides=True)

    def off_balance(found):
        left, right = found[:, : SIZE // 2].sum(), found[:, SIZE // 2 :].sum()
        return abs(left - right) / (left + right)

    assert off_balance(one) > 0.2 > off_balance(both)
    assert both.sum() == pytest.approx(one.sum(), rel=0.2)  # frontal: either side shows as much
    # A picture that shows contempt says on which side; two-sided foils have no other side.
    for shown, foil in ((contempt, neutral), (neutral, EXPRESSIONS.index("happy"))):
        np.testing.assert_array_equal(
            faces.oracle(_scene(shown), foil), faces.oracle(_scene(shown), foil, both_sides=True)
        )


def test_a_twin_is_the_same_picture_with_another_expression():
    shown, foil = EXPRESSIONS.index("sad"), EXPRESSIONS.index("surprise")
    parameters = faces.draw(0, "stimuli", 3, preset="study", expression=shown, size=SIZE)
    twin = faces.twin(parameters, foil)
    assert (twin.expression, twin.label, twin.soft_label.argmax()) == (foil, foil, foil)
    same = ("identity_seed", "pose", "light", "background_seed", "occluder", "photometry", "intensity", "index")
    assert all(getattr(twin, name) == getattr(parameters, name) for name in same)
    # Drawn, the two differ where the oracle says, and the twin's twin differs as much.
    first, second = (faces.render(each, photometry=False).image.astype(int) for each in (parameters, twin))
    differs, evidence = np.abs(first - second).sum(2), faces.oracle(parameters, foil)
    assert np.corrcoef(differs.ravel(), evidence.ravel())[0, 1] > 0.6
    np.testing.assert_allclose(faces.oracle(twin, shown), evidence)
    with pytest.raises(UsageError, match=r"`foil`: wanted an index in 0..7, got 8"):
        faces.twin(parameters, 8)
