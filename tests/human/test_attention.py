import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from fer_jax import human, masks
from fer_jax.errors import DataError, UsageError
from fer_jax.human.columns import typed

PX, RADIUS = 64, 6
KEY = ["participant", "trial"]


def by_hand(trials, study, *, correct_only):
    """Mean over people of unions, trial by trial from the definition."""
    maps = []
    for image in study["image"]:
        seen = trials.trials[trials.trials["image"] == image]
        seen = seen[seen["correct"]] if correct_only else seen
        unions = []
        for _, trial in seen.iterrows():
            own = trials.clicks[(trials.clicks[KEY] == trial[KEY].to_numpy()).all(axis=1)]
            unions.append(human.stimuli.reveal_mask(own[["x_px", "y_px"]].to_numpy(), (PX, PX), RADIUS))
        maps.append(np.mean(unions, 0) if unions else np.zeros((PX, PX)))
    return np.array(maps)


def built(rows):
    """Trials from (participant, trial, image, correct, clicks)."""
    trials = [{"participant": p, "trial": t, "image": i, "correct": c} for p, t, i, c, _ in rows]
    clicks = [
        {"participant": p, "trial": t, "image": i, "click": k, "x_px": x, "y_px": y, "inside": True, "chosen": True}
        for p, t, i, _, points in rows
        for k, (x, y) in enumerate(points, 1)
    ]
    return human.Trials(
        typed("participants", {}), typed("trials", pd.DataFrame(trials)), typed("clicks", pd.DataFrame(clicks)),
        typed("events", {}),
    )  # fmt: skip


@pytest.mark.parametrize("trials_used", ["correct", "all"])
def test_a_map_is_the_mean_of_unions(small_study, small_cohort, trials_used):
    part = small_study[:6]
    seen = small_cohort.trials["image"].isin(part["image"])
    some = human.Trials(
        small_cohort.participants, small_cohort.trials[seen],
        small_cohort.clicks[small_cohort.clicks["image"].isin(part["image"])], small_cohort.events,
    )  # fmt: skip
    maps = human.attention.attention_maps(some, part, image_px=PX, radius=RADIUS, trials_used=trials_used)
    assert maps.dtype == np.float32
    np.testing.assert_allclose(maps, by_hand(some, part, correct_only=trials_used == "correct"), atol=1e-6)
    people = human.attention.people_per_image(some, part, trials_used=trials_used)
    assert (people == 0).tolist() == [not one.any() for one in maps]


def test_the_order_of_rows_does_not_matter(small_study, small_cohort):
    options = {"image_px": PX, "radius": RADIUS}
    maps = human.attention.attention_maps(small_cohort, small_study, **options)
    order = np.random.default_rng(0).permutation(len(small_study))
    shuffled = human.Trials(
        small_cohort.participants, small_cohort.trials.sample(frac=1, random_state=0),
        small_cohort.clicks.sample(frac=1, random_state=1), small_cohort.events,
    )  # fmt: skip
    np.testing.assert_array_equal(
        human.attention.attention_maps(shuffled, small_study.iloc[order], **options), maps[order]
    )


def test_revealed_gives_the_device_the_same_masks(small_study, small_cohort):
    rows, points = human.attention.revealed(small_cohort, small_study)
    assert rows.dtype == np.int32
    assert points.dtype == np.float32
    assert len(rows) == len(points) == int(small_cohort.trials["correct"].sum())
    assert (np.diff(rows) >= 0).all()
    unions = jax.vmap(lambda clicks: masks.reveal(clicks, (PX, PX), radius=RADIUS))(jnp.asarray(points))
    sums = np.zeros((len(small_study), PX, PX))
    np.add.at(sums, rows, np.asarray(unions))
    people = human.attention.people_per_image(small_cohort, small_study)
    maps = human.attention.attention_maps(small_cohort, small_study, image_px=PX, radius=RADIUS)
    np.testing.assert_allclose(sums / np.maximum(people, 1)[:, None, None], maps, atol=1e-6)
    made = small_cohort.trials["n_clicks"][small_cohort.trials["correct"]]
    assert np.isfinite(points[..., 0]).sum() == made.sum()
    assert points.shape[1] == made.max()


def test_clicks_stand_in_the_order_made(small_study, small_cohort):
    _, points = human.attention.revealed(small_cohort, small_study)
    mixed = small_cohort.clicks.drop(columns="t_ms").assign(t_ms=np.nan).sample(frac=1, random_state=0)
    mixed = human.Trials(small_cohort.participants, small_cohort.trials, mixed, small_cohort.events)
    np.testing.assert_array_equal(human.attention.revealed(mixed, small_study)[1], points)


def test_a_click_at_the_far_edge_stays_in_its_pixel():
    trials = built([("P01", 1, "a", True, [(223.9999999, 0.0)])])
    _, points = human.attention.revealed(trials, pd.DataFrame({"image": ["a"]}))
    assert points.tolist() == [[[223.5, 0.5]]]


def test_only_chosen_clicks_on_the_image_open_discs():
    trials = built([("P01", 1, "a", True, [(10, 10), (20, 20), (30, 30)])])
    clicks = trials.clicks.assign(
        inside=pd.array([True, False, True], "boolean"), chosen=pd.array([True, True, None], "boolean")
    )
    trials = human.Trials(trials.participants, trials.trials, clicks, trials.events)
    study = pd.DataFrame({"image": ["a", "b"]})
    maps = human.attention.attention_maps(trials, study, image_px=PX, radius=3)
    np.testing.assert_array_equal(maps[0] > 0, human.stimuli.reveal_mask(np.array([[10, 10]]), (PX, PX), 3))
    assert np.isnan(maps[1]).all()  # nobody's trial: no map, not an empty one
    assert human.attention.people_per_image(trials, study).tolist() == [1, 0]


def test_counts_and_gaussians(small_study, small_cohort):
    options = {"image_px": PX, "radius": RADIUS}
    union = human.attention.attention_maps(small_cohort, small_study, **options)
    counts = human.attention.attention_maps(small_cohort, small_study, human_map="counts", **options)
    assert (counts >= union - 1e-6).all()
    np.testing.assert_array_equal(counts > 0, union > 0)
    one = built([("P01", 1, "a", True, [(30.2, 20.9), (30.7, 20.1)])])
    study = pd.DataFrame({"image": ["a"]})
    smooth = human.attention.attention_maps(one, study, human_map="gaussian", sigma_px=4, **options)[0]
    y, x = np.mgrid[:PX, :PX]
    expected = 2 * np.exp(-((x - 30) ** 2 + (y - 20) ** 2) / (2 * 4**2))
    np.testing.assert_allclose(smooth, expected, atol=0.03)


def test_a_sequence_runs_from_red_to_yellow():
    trials = built(
        [
            ("P01", 1, "a", True, [(10, 10), (30, 30), (50, 50)]),
            ("P02", 1, "a", True, [(10, 10)]),
            ("P03", 1, "a", False, [(50, 10)]),
        ]
    )
    options = {"image_px": PX, "radius": 3}
    picture = human.attention.click_sequence(trials, "a", **options)
    assert picture.shape == (PX, PX, 4)
    np.testing.assert_allclose(picture[10, 10], [1, 0, 0, 1])
    np.testing.assert_allclose(picture[30, 30], [1, 0.5, 0, 0.5])
    np.testing.assert_allclose(picture[50, 50], [1, 1, 0, 0.5])
    assert not picture[10, 50].any()
    plain = human.attention.click_sequence(trials, "a", average="plain", **options)
    np.testing.assert_allclose(plain[50, 50], [0.5, 0.5, 0, 0.5])
    everybody = human.attention.click_sequence(trials, "a", trials_used="all", **options)
    np.testing.assert_allclose(everybody[10, 50], [1, 0, 0, 1 / 3])


def test_overlapping_discs_of_a_sequence():
    trials = built([("P01", 1, "a", True, [(20, 20), (22, 20)])])
    last = human.attention.click_sequence(trials, "a", image_px=PX, radius=4)
    mean = human.attention.click_sequence(trials, "a", image_px=PX, radius=4, overlap="mean")
    assert last[20, 21, 1] == 1
    assert mean[20, 21, 1] == pytest.approx(0.5)
    assert last[20, 17, 1] == mean[20, 17, 1] == 0


def test_unknown_options_and_images(small_study, small_cohort):
    options = {"image_px": PX, "radius": RADIUS}
    with pytest.raises(UsageError, match="`human_map`"):
        human.attention.attention_maps(small_cohort, small_study, human_map="heat", **options)
    with pytest.raises(UsageError, match="`trials_used`"):
        human.attention.attention_maps(small_cohort, small_study, trials_used="wrong", **options)
    with pytest.raises(DataError, match="wanted images of the study"):
        human.attention.attention_maps(small_cohort, small_study[:3], **options)
    with pytest.raises(DataError, match="somebody saw"):
        human.attention.click_sequence(small_cohort, "nowhere.png", **options)
    for wrong in ("overlap", "average"):
        with pytest.raises(UsageError, match=f"`{wrong}`"):
            human.attention.click_sequence(small_cohort, small_study["image"][0], **options, **{wrong: "sum"})


def test_the_papers_maps_are_made(study, cohort):
    maps = human.attention.attention_maps(cohort, study, image_px=224, radius=20)
    assert maps.shape == (280, 224, 224)
    assert np.isfinite(maps).all()
    assert maps.max() <= 1
