import dataclasses

import numpy as np
import pytest
import scipy.stats

from fer_jax.categories import Categories
from fer_jax.errors import UsageError
from fer_jax.expressions import EXPRESSIONS
from fer_jax.faces import scene
from fer_jax.faces.painting import surroundings
from fer_jax.faces.person import identity
from fer_jax.faces.presets import PRESETS, Preset


def _plain(value):
    """Nested fields as comparable text."""
    if dataclasses.is_dataclass(value):
        return tuple(_plain(getattr(value, field.name)) for field in dataclasses.fields(value))
    if isinstance(value, np.ndarray):
        return value.tobytes()
    return repr(value)


def test_equal_arguments_give_equal_parameters_in_any_order():
    first = [_plain(scene.draw(5, "train", index)) for index in range(6)]
    again = [_plain(scene.draw(5, "train", index)) for index in reversed(range(6))][::-1]
    assert first == again
    assert len(set(first)) == 6


@pytest.mark.parametrize(("seed", "split", "index"), [(6, "train", 3), (5, "stimuli", 3), (5, "train", 4)])
def test_seed_split_and_index_each_matter(seed, split, index):
    base, other = scene.draw(5, "train", 3), scene.draw(seed, split, index)
    for part in ("identity", "pose", "light", "photometry", "background_seed"):
        assert _plain(getattr(base, part)) != _plain(getattr(other, part)), part


def test_what_varies_has_a_stream_of_its_own():
    calm, rough = Preset(nuisance=0.2, intensity=(0.8, 1.0)), Preset(nuisance=1.2, intensity=(0.8, 1.0), glasses=1.0)
    a, b = scene.draw(1, "train", 9, preset=calm), scene.draw(1, "train", 9, preset=rough)
    assert _plain(a.identity) == _plain(b.identity)
    assert a.intensity == b.intensity and a.background_seed == b.background_seed
    other = scene.draw(1, "train", 9, preset=calm, expression=6)
    for part in ("identity", "pose", "light", "photometry", "background_seed", "intensity", "occluder"):
        assert _plain(getattr(a, part)) == _plain(getattr(other, part)), part


def test_people_of_two_splits_never_meet():
    people = {split: {_plain(scene.draw(0, split, index).identity) for index in range(60)} for split in scene.SPLITS}
    assert all(len(group) == 60 for group in people.values())
    assert len(set().union(*people.values())) == 180


def test_the_person_can_be_chosen_and_the_size_changes_nothing_else():
    a, b = scene.draw(0, "train", 1, identity=7), scene.draw(0, "train", 2, identity=7, size=224)
    assert _plain(a.identity) == _plain(b.identity) == _plain(scene.draw(0, "train", 7).identity)
    assert (a.size, b.size) == (96, 224)
    small, large = scene.draw(0, "train", 1, size=64), scene.draw(0, "train", 1, size=128)
    assert _plain(small.replace(size=0)) == _plain(large.replace(size=0))


def test_balanced_labels_cycle_and_the_prior_of_affectnet_does_not():
    assert [scene.draw(0, "train", index).expression for index in range(16)] == [*range(8), *range(8)]
    prior = Preset(prior="affectnet")
    drawn = np.bincount([scene.draw(0, "train", index, preset=prior).expression for index in range(300)], minlength=8)
    assert drawn[1] > drawn[0] > drawn[[2, 3, 4, 5, 6, 7]].max()


def test_label_noise_changes_labels_at_its_rate_and_never_what_is_drawn():
    noisy = Preset(label_noise=0.3)
    drawn = [scene.draw(0, "train", index, preset=noisy) for index in range(400)]
    changed = np.mean([each.label != each.expression for each in drawn])
    assert 0.22 < changed < 0.38
    clean = [scene.draw(0, "train", index, preset=Preset()) for index in range(20)]
    for a, b in zip(drawn, clean, strict=False):
        np.testing.assert_array_equal(a.au, b.au)
    always = Preset(label_noise=1.0, label_noise_kind="affectnet")
    labels = [scene.draw(0, "train", index, preset=always).label for index in range(8)]
    assert labels == [0, 1, 2, 3, 3, 7, 5, 0]


def test_blends_carry_a_soft_label_that_sums_to_one():
    blended = [scene.draw(0, "train", index, preset=Preset(blend=1.0)) for index in range(16)]
    for each in blended:
        assert (each.soft_label > 0).sum() == 2
        assert each.soft_label.sum() == pytest.approx(1)
        assert each.soft_label.argmax() == each.expression or each.soft_label.max() == pytest.approx(0.5, abs=0.01)
    open_set = scene.draw(0, "train", 0, preset=Preset(open_set=1.0))
    np.testing.assert_allclose(open_set.soft_label, 1 / 8)


@pytest.fixture(scope="module")
def crowd():
    """4,000 scenes."""
    return [scene.draw(11, "train", index) for index in range(4000)]


def _hue_and_light(seed):
    """What a backdrop looks like: mean brightness, and how red against blue."""
    red, green, blue = surroundings.paint_backdrop(16, seed).mean((1, 2))
    return float(red + green + blue), float(red - blue)


def test_expression_is_independent_of_every_quantity(crowd):
    labels = np.array([each.expression for each in crowd])
    brightness, hue = zip(*(_hue_and_light(each.background_seed) for each in crowd), strict=True)
    quantities = {
        "yaw": [each.pose.yaw for each in crowd],
        "pitch": [each.pose.pitch for each in crowd],
        "roll": [each.pose.roll for each in crowd],
        "scale": [each.pose.scale for each in crowd],
        "centre_x": [each.pose.centre[0] for each in crowd],
        "centre_y": [each.pose.centre[1] for each in crowd],
        "light_x": [each.light.direction[0] for each in crowd],
        "light_y": [each.light.direction[1] for each in crowd],
        "key": [each.light.key for each in crowd],
        "backdrop_brightness": brightness,
        "backdrop_hue": hue,
        "hair": [each.identity.hair.sum() for each in crowd],
        "skin": [each.identity.skin_anchor for each in crowd],
        "age": [each.identity.age for each in crowd],
        "intensity": [each.intensity for each in crowd],
        "gamma": [each.photometry.gamma for each in crowd],
        "noise": [each.photometry.noise for each in crowd],
        "jpeg": [each.photometry.jpeg for each in crowd],
        **{name: [each.identity.shape[name] for each in crowd] for name in identity.SHAPE_SD},
    }
    for name, values in quantities.items():
        groups = [np.array(values)[labels == label] for label in range(8)]
        assert scipy.stats.kruskal(*groups).pvalue > 0.001, name
        # Spread as well as place: an expression must not come with wilder poses or lights.
        assert scipy.stats.levene(*groups, center="median").pvalue > 0.001, name


@pytest.mark.parametrize("name", ["hair_style", "beard", "feminine", "iris", "clothes", "occluder"])
def test_expression_is_independent_of_every_kind(crowd, name):
    labels = np.array([each.expression for each in crowd])
    values = [each.occluder if name == "occluder" else getattr(each.identity, name) for each in crowd]
    if name in ("iris", "clothes"):
        values = [int(colour.sum()) for colour in values]
    kinds, values = np.unique(np.array(values, int), return_inverse=True)
    assert len(kinds) > 1
    counts = np.array([np.bincount(values[labels == label], minlength=len(kinds)) for label in range(8)])
    assert scipy.stats.chi2_contingency(counts).pvalue > 0.001


@pytest.mark.parametrize("shape", identity.SHAPE_SD)
def test_shape_is_independent_of_skin_tone(crowd, shape):
    anchors = [each.identity.skin_anchor for each in crowd]
    values = [each.identity.shape[shape] for each in crowd]
    assert scipy.stats.spearmanr(anchors, values).pvalue > 0.001


def test_the_law_of_independence_would_notice():
    """Half a standard deviation of yaw in one expression of eight is found in 4,000 draws."""
    rng = np.random.Generator(np.random.PCG64(0))
    groups = [rng.normal(0.5 * (label == 3), 1, 500) for label in range(8)]
    assert scipy.stats.kruskal(*groups).pvalue < 1e-9


def test_frames_and_intensities_keep_their_bounds():
    for name, preset in PRESETS.items():
        for index in range(60):
            drawn = scene.draw(0, "validation", index, preset=name)
            assert preset.intensity[0] <= drawn.intensity <= preset.intensity[1]
            assert 0.24 <= drawn.pose.scale <= 0.26
            assert (np.abs(np.subtract(drawn.pose.centre, (0.5, 0.37))) <= (0.02 + 1e-9, 0.015 + 1e-9)).all()
            assert np.hypot.reduce(drawn.light.direction) == pytest.approx(1, abs=1e-5)
            assert 0 <= drawn.difficulty <= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "test"}, "`split`: wanted one of train, validation, stimuli, got 'test'"),
        ({"index": -1}, "`index`: wanted a whole number from 0, got -1"),
        ({"preset": "extreme"}, "`preset`: wanted one of easy, medium"),
        ({"expression": 8}, r"`expression`: wanted an index in 0\.\.7, got 8"),
        ({"size": 8}, "`size`: wanted at least 32 pixels, got 8"),
        ({"intensity": 3.0}, "`intensity`"),
        ({"identity": -2}, "`identity`"),
    ],
)
def test_bad_arguments_are_named(change, message):
    arguments = {"seed": 0, "split": "train", "index": 0} | change
    with pytest.raises(UsageError, match=message):
        scene.draw(arguments.pop("seed"), arguments.pop("split"), arguments.pop("index"), **arguments)


@pytest.mark.parametrize(
    "change",
    [
        {"nuisance": 2.0},
        {"intensity": (0.5, 0.2)},
        {"label_noise": 2.0},
        {"label_noise_kind": "x"},
        {"prior": "x"},
        {"blend": -1.0},
    ],
)
def test_presets_refuse_what_makes_no_sense(change):
    with pytest.raises(UsageError, match=f"`{next(iter(change))}`"):
        Preset(**change)


def test_some_expressions_in_any_order_take_turns_and_keep_to_themselves():
    some = Categories(("anger", "happy", "neutral"))
    own = EXPRESSIONS.index("anger"), EXPRESSIONS.index("happy"), EXPRESSIONS.index("neutral")
    assert [scene.draw(0, "train", index, categories=some).expression for index in range(4)] == [*own, own[0]]
    wild = Preset(label_noise=0.5, blend=0.4, open_set=0.2, prior="affectnet")
    drawn = [scene.draw(0, "train", index, preset=wild, categories=some) for index in range(60)]
    assert {each.expression for each in drawn} == {each.label for each in drawn} == set(own)
    others = [index for index in range(8) if index not in own]
    assert not np.stack([each.soft_label for each in drawn])[:, others].any()
    assert any(each.label != each.expression for each in drawn)
    with pytest.raises(UsageError, match=r"`categories`: wanted one of neutral, .*, got 'posed'"):
        scene.draw(0, "train", 0, categories=Categories(("happy", "posed")))
