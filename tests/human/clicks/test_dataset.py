"""Clicks, answers and pictures as one set: what is refused, what is stored, and the way back."""

import dataclasses

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_jax import human
from fer_jax.categories import Categories
from fer_jax.errors import DataError, FerError
from fer_jax.expressions import EXPRESSIONS
from fer_jax.human.columns import FLAG, REAL, TABLES, TEXT, WHOLE, typed
from fer_jax.provenance import Provenance

SIZE, RADIUS, BLUR = 64, 6, 20


@pytest.fixture(scope="session")
def pictures(small_study):
    return np.random.default_rng(0).integers(0, 256, (len(small_study), SIZE, SIZE, 3), np.uint8)


@pytest.fixture(scope="session")
def clicked(small_cohort, small_study, pictures):
    return human.clicks.assemble(small_cohort, pictures, small_study)


def assert_equal(one, other):
    for table in TABLES:
        pd.testing.assert_frame_equal(getattr(one.trials, table), getattr(other.trials, table), check_exact=True)
    pd.testing.assert_frame_equal(one.study, other.study)
    np.testing.assert_array_equal(one.pictures, other.pictures)
    assert one.provenance.people == other.provenance.people


def round_trip(clicked):
    return human.clicks.from_examples(
        human.clicks.trial_examples(clicked), human.clicks.original_examples(clicked), provenance=clicked.provenance
    )


def png(picture):
    return cv2.imencode(".png", picture[..., ::-1])[1].tobytes()


def tables(people=("P01",), rows=(), clicks=(), *, simulated=False):
    """Hand-made tables: rows are (participant, trial, image, true, foil, response)."""
    names = ["participant", "trial", "image", "true_label", "false_label", "response"]
    trials = pd.DataFrame(rows, columns=names).assign(
        simulated=simulated, block=1, n_options=2, image_px=SIZE, reveal_radius_px=RADIUS, blur_k=BLUR
    )
    trials["correct"] = trials["response"] == trials["true_label"]
    columns = ["participant", "trial", "image", "click", "x_px", "y_px", "t_ms", "inside"]
    return human.Trials(
        typed("participants", {"participant": list(people), "simulated": simulated}),
        typed("trials", trials),
        typed("clicks", pd.DataFrame(clicks, columns=columns).assign(chosen=True)),
        typed("events", {}),
    )


def test_a_cohort_fits_and_keeps_what_analyses_need(clicked, small_cohort, small_study):
    assert (clicked.image_px, clicked.reveal_radius, clicked.blur_k) == (SIZE, RADIUS, BLUR)
    assert clicked.provenance == Provenance(
        pictures="unknown", people="simulated", num_pictures=len(small_study), num_people=6
    )
    assert len(clicked.trials.trials) == len(small_cohort.trials)
    kept, were = (
        human.attention.attention_maps(trials, small_study, image_px=SIZE, radius=RADIUS)
        for trials in (clicked.trials, small_cohort)
    )
    np.testing.assert_array_equal(kept, were)
    people, given_people = clicked.trials.participants, small_cohort.participants
    for column in ("participant", "n_trials", "n_blocks", "accuracy", "simulated"):
        assert people[column].tolist() == given_people[column].tolist()
    for row in clicked.study.itertuples():
        assert {EXPRESSIONS.index(row.true_label), EXPRESSIONS.index(row.false_label)} == set(
            EXPRESSIONS.pairs[row.pair]
        )


def test_examples_and_back_is_the_identity(clicked):
    assert_equal(round_trip(clicked), clicked)
    assert_equal(human.clicks.assemble(clicked.trials, clicked.pictures, clicked.study), clicked)


def test_a_study_of_any_categories():
    smiles = Categories(("genuine", "posed", "unsure"))
    rows = [
        ("P01", n, f"{true} not {foil}", true, foil, (true, foil)[n % 2])
        for n, (true, foil) in enumerate(((smiles[a], smiles[b]) for a, b in smiles.ordered_pairs), 1)
    ]
    clicks = [("P01", n, image, 1, 9.5, 8.25, 300.0, True) for _, n, image, *_ in rows]
    pixels = np.random.default_rng(3).integers(0, 256, (6, SIZE, SIZE, 3), np.uint8)
    made = human.clicks.assemble(tables(rows=rows, clicks=clicks), pixels, categories=smiles)
    assert made.study["pair"].tolist() == [0, 1, 0, 2, 1, 2]
    examples = list(human.clicks.trial_examples(made))
    assert [(one["true_label"], one["false_label"]) for one in examples] == list(smiles.ordered_pairs)
    again = human.clicks.from_examples(examples, human.clicks.original_examples(made), categories=smiles)
    assert_equal(again, made)
    assert again.categories == smiles
    assert len(human.clicks.views_of_pair(made, 2).whole) == 2
    with pytest.raises(DataError, match=r"true_label: wanted one of neutral, happy, .*got 'genuine'"):
        human.clicks.assemble(tables(rows=rows, clicks=clicks), pixels)
    with pytest.raises(DataError, match=r"`originals`: example 2: false_label: wanted 0\.\.1, got 2"):
        human.clicks.from_examples(
            examples, human.clicks.original_examples(made), categories=smiles.select(["genuine", "posed"])
        )


def test_pictures_may_stay_encoded(clicked):
    encoded = {name: png(picture) for name, picture in zip(clicked.study["image"], clicked.pictures, strict=True)}
    splits = [
        [example | {"image": encoded[example["image_id"]]} for example in examples(clicked)]
        for examples in (human.clicks.trial_examples, human.clicks.original_examples)
    ]
    assert_equal(human.clicks.from_examples(*splits), clicked)


def test_originals_are_nobodys_trials(clicked):
    originals = list(human.clicks.original_examples(clicked))
    assert [example["image_id"] for example in originals] == clicked.study["image"].tolist()
    assert all((example["mask"] == 255).all() and example["clicks"].shape == (0, 2) for example in originals)
    assert {(example["response"], example["participant"], example["trial"]) for example in originals} == {(-1, "", 0)}
    assert set(originals[0]) == set(next(human.clicks.trial_examples(clicked)))


def test_masks_are_redrawn_for_some_trials_or_all(clicked):
    every = human.clicks.masks(clicked)
    stored = [example["mask"][:, :, 0] == 255 for example in human.clicks.trial_examples(clicked)]
    np.testing.assert_array_equal(every, stored)
    np.testing.assert_array_equal(human.clicks.masks(clicked, [5, 2]), every[[5, 2]])
    assert human.clicks.masks(clicked, []).shape == (0, SIZE, SIZE)


inner = st.floats(0, SIZE, exclude_max=True) | st.sampled_from([0.0, 10.999999999999998, 63.99999999999999])
outer = st.floats(-1e6, 1e6) | st.sampled_from([-1e-300, 64.0]) | st.just(np.nan)
time = st.none() | st.floats(0, 1e6)
click = st.tuples(inner, inner, time, st.just(True)) | st.tuples(outer, outer, time, st.just(False))


few = st.lists(click, max_size=8)
many = st.lists(click, min_size=1, max_size=4).map(lambda own: own * 50)


@settings(max_examples=20, deadline=None)
@given(trials=st.lists(few | many, min_size=1, max_size=2))
def test_odd_clicks_survive(trials):
    images = ["a", "b"][: len(trials)]
    rows = [("P01", n, image, "fear", "surprise", ["fear", "surprise"][n % 2]) for n, image in enumerate(images, 1)]
    clicks = [
        ("P01", n, image, number, *values)
        for n, (image, own) in enumerate(zip(images, trials, strict=True), 1)
        for number, values in enumerate(own, 1)
    ]
    pixels = np.zeros((len(trials), SIZE, SIZE, 3), np.uint8)
    made = human.clicks.assemble(tables(rows=rows, clicks=clicks), pixels)
    assert_equal(round_trip(made), made)
    for mask, own in zip(human.clicks.masks(made), trials, strict=True):
        points = np.array([(x, y) for x, y, _, inside in own if inside], float).reshape(-1, 2)
        np.testing.assert_array_equal(mask, human.stimuli.reveal_mask(points, (SIZE, SIZE), RADIUS))
    assert made.trials.trials["n_clicks"].tolist() == [sum(inside for *_, inside in own) for own in trials]
    wanted = np.array([values[:2] for own in trials for values in own], float).reshape(-1, 2)
    np.testing.assert_allclose(made.trials.clicks[["x_px", "y_px"]].to_numpy(), wanted, rtol=1e-6, atol=1e-6)


def test_clicks_and_trials_may_lie_in_any_order(small_cohort, small_study, pictures, clicked):
    shuffled = small_cohort.clicks.sample(frac=1, random_state=0)
    mixed_up = dataclasses.replace(small_cohort, clicks=shuffled)
    assert_equal(human.clicks.assemble(mixed_up, pictures, small_study), clicked)


def test_folds_split_pairs_by_image(study):
    folds = human.clicks.folds(study)
    cells = study.assign(fold=folds).groupby(["fold", "true_label", "false_label"]).size()
    assert len(cells) == 5 * 56
    assert (cells == 1).all()
    order = np.random.default_rng(0).permutation(len(study))
    np.testing.assert_array_equal(human.clicks.folds(study.iloc[order]), folds[order])
    two = human.study.make_study(
        np.repeat(np.arange(8), 20), [f"{n:03d}" for n in range(160)], seed=0, per_ordered_pair=2
    )
    assert sorted(set(human.clicks.folds(two))) == [0, 1]


def test_a_study_table_out_of_the_trials(small_cohort, small_study):
    found = human.clicks.study_of(small_cohort)
    pd.testing.assert_frame_equal(
        found.sort_values("image", ignore_index=True), small_study.sort_values("image", ignore_index=True)
    )


def changed(trials, table, row, column, value):
    """The tables with one cell changed; a row below 0 counts from the end."""
    frame = getattr(trials, table).copy()
    frame[column] = frame[column].astype(object)
    frame.iloc[row, frame.columns.get_loc(column)] = value
    return dataclasses.replace(trials, **{table: frame})


@pytest.mark.parametrize(
    ("table", "row", "column", "value", "told"),
    [
        ("trials", 3, "participant", "P77", "row 4 .*: participant: wanted a row of the participants' table"),
        ("trials", 3, "participant", None, "row 4 .*: participant: wanted a value, got none"),
        ("trials", 3, "trial", 1, "row 4 .*: trial: wanted each participant and trial once, got 1"),
        ("trials", 0, "trial", 0, "row 1 .*: trial: wanted a number from 1, got 0"),
        ("trials", 2, "block", -1, "row 3 .*: block: wanted a number from 1, got -1"),
        ("trials", 2, "block", None, "row 3 .*: block: wanted a number from 1, got none"),
        ("trials", 9, "simulated", False, "row 10 .*: simulated: wanted what the person's row says, got False"),
        ("trials", 9, "simulated", None, "row 10 .*: simulated: wanted 0 or 1, got none"),
        ("trials", 5, "n_options", 7, "row 6 .*: n_options: wanted 2 options; a trial of more has no foil.*, got 7"),
        ("trials", 5, "true_label", "joyful", "row 6 .*: true_label: wanted one of neutral, happy.*, got 'joyful'"),
        ("trials", 5, "false_label", None, "row 6 .*: false_label: wanted one of neutral, happy.*, got none"),
        ("trials", 5, "image", None, "row 6 .*: image: wanted the name of an image, got none"),
        ("trials", 5, "image", "elsewhere", "row 6 .*: image: wanted an image of the study, got 'elsewhere'"),
        ("trials", 5, "response", None, "row 6 .*: response: wanted the true or the false label, got none"),
        ("trials", 5, "correct", None, "row 6 .*: correct: wanted 0 or 1, got none"),
        ("trials", 5, "image_px", 224, "row 6 .*: image_px: wanted 64, the side of the pictures, got 224"),
        ("trials", 5, "reveal_radius_px", 0, r"row 6 .*: reveal_radius_px: wanted whole pixels in 1\.\.64, got 0"),
        ("trials", 5, "reveal_radius_px", 7, "row 6 .*: reveal_radius_px: wanted one radius in all trials, got 7"),
        ("trials", 5, "blur_k", 10**12, r"row 6 .*: blur_k: wanted whole pixels in 1\.\.64, got 1000000000000"),
        ("trials", 5, "blur_k", 21, "row 6 .*: blur_k: wanted one blur in all trials, got 21"),
        ("trials", 5, "rt_decision_ms", -1.0, "row 6 .*: rt_decision_ms: wanted ms, 0 or more, or nothing, got -1"),
        ("trials", 5, "rt_decision_ms", np.inf, "rt_decision_ms: wanted finite numbers, .* got infinity in row 6"),
        ("trials", 5, "n_clicks", 40, r"row 6 .*: n_clicks: wanted the \d+ openings of the clicks' table, got 40"),
        ("trials", 5, "image_sha256", "0" * 64, "row 6 .*: image_sha256: wanted the SHA-256 of the picture .*, got '0"),
        ("trials", 5, "n_clicks", "many", "n_clicks: wanted whole numbers, or nothing where missing: .*many"),
        ("clicks", 4, "trial", 999, "row 5 .*: trial: wanted a row of the trials' table, got 999"),
        ("clicks", 4, "image", "elsewhere", "row 5 .*: image: wanted the image of its trial, got 'elsewhere'"),
        ("clicks", 0, "click", 30, "row 1 .*: click: wanted clicks numbered 1, 2, .*, got 30"),
        ("clicks", 4, "inside", None, "row 5 .*: inside: wanted 0 or 1, got none"),
        ("clicks", 4, "chosen", False, "row 5 .*: chosen: wanted 1: places that a program chose .*, got False"),
        ("clicks", 4, "x_px", 64.0, r"row 5 .*: x_px, y_px: wanted a point in \[0, 64\), or inside = 0, got 64.0, "),
        ("clicks", 4, "y_px", -0.1, r"row 5 .*: x_px, y_px: wanted a point in \[0, 64\), or inside = 0, got .*, -0.1"),
        ("clicks", 4, "y_px", None, r"row 5 .*: x_px, y_px: wanted a point in \[0, 64\), or inside = 0, got .*, none"),
        ("clicks", 4, "t_ms", -3.0, "row 5 .*: t_ms: wanted ms, 0 or more, or nothing, got -3"),
        ("participants", 1, "participant", "P01", "row 2 .*: participant: wanted each participant once, got 'P01'"),
    ],
)  # fmt: skip
def test_every_check_names_table_row_and_value(small_cohort, small_study, pictures, table, row, column, value, told):
    with pytest.raises(DataError, match=f"^`{table}`: {told}") as found:
        human.clicks.assemble(changed(small_cohort, table, row, column, value), pictures, small_study)
    assert "\n" not in str(found.value)


def test_answers_that_contradict_their_flag_or_the_options(small_cohort, small_study, pictures):
    first = small_cohort.trials.iloc[0]
    other = next(name for name in EXPRESSIONS if name not in (first["true_label"], first["false_label"]))
    for column, value, told in (
        ("response", other, "response: wanted the true or the false label"),
        ("correct", not first["correct"], "correct: wanted 1 where the response is the truth"),
        ("false_label", other, "false_label: wanted one foil for an image, the same for everybody"),
        ("false_label", first["true_label"], "false_label: wanted another label than the true one"),
        ("image", small_cohort.trials["image"].iloc[1], "wanted one truth for an image|wanted one foil for an image"),
    ):
        with pytest.raises(DataError, match=told):
            human.clicks.assemble(changed(small_cohort, "trials", 0, column, value), pictures, small_study)


def test_no_image_twice_for_a_person():
    rows = [("P01", 1, "a", "fear", "surprise", "fear"), ("P01", 2, "a", "fear", "surprise", "fear")]
    with pytest.raises(DataError, match=r"`trials`: row 2 .*: image: wanted each image once for a person, got 'a'"):
        human.clicks.assemble(tables(rows=rows), np.zeros((1, SIZE, SIZE, 3), np.uint8))


def test_the_foil_is_the_same_for_everybody_also_without_a_study_table():
    rows = [("P01", 1, "a", "fear", "surprise", "fear"), ("P02", 1, "a", "fear", "sad", "fear")]
    with pytest.raises(
        DataError, match=r"`trials`: row 2 \(participant 'P02', trial 1\): false_label: wanted one foil"
    ):
        human.clicks.assemble(tables(("P01", "P02"), rows), np.zeros((1, SIZE, SIZE, 3), np.uint8))


def test_a_lost_click_is_missed(small_cohort, small_study, pictures):
    last = dataclasses.replace(small_cohort, clicks=small_cohort.clicks.iloc[:-1])
    with pytest.raises(DataError, match=r"n_clicks: wanted the \d+ openings"):
        human.clicks.assemble(last, pictures, small_study)
    first = dataclasses.replace(small_cohort, clicks=small_cohort.clicks.iloc[1:])
    with pytest.raises(DataError, match=r"row 1 .*: click: wanted clicks numbered 1, 2"):
        human.clicks.assemble(first, pictures, small_study)


def test_people_and_programs_are_not_mixed_unasked():
    rows = [("P01", 1, "a", "fear", "surprise", "fear"), ("P02", 1, "a", "fear", "surprise", "surprise")]
    both = tables(("P01", "P02"), rows)
    for table in ("participants", "trials"):
        getattr(both, table)["simulated"] = pd.array([False, True], FLAG)
    pixels = np.zeros((1, SIZE, SIZE, 3), np.uint8)
    with pytest.raises(DataError, match=r"wanted people or programs, got 1 simulated trials of 2; .*`allow_mixed`"):
        human.clicks.assemble(both, pixels)
    mixed = human.clicks.assemble(both, pixels, allow_mixed=True)
    assert mixed.provenance.people == "mixed"
    assert mixed.provenance.warnings == ("partly simulated people",)
    assert_equal(round_trip(mixed), mixed)
    assert human.clicks.assemble(both.of(["P01"]), pixels).provenance.people == "real"


def test_pictures_and_study_must_fit(small_cohort, small_study, pictures):
    for bad, told in (
        (pictures[1:], r"wanted uint8 \(56, S, S, 3\), one for each image .*, got uint8 \(55, 64, 64, 3\)"),
        (pictures[:, 1:], r"got uint8 \(56, 63, 64, 3\)"),
        (pictures.astype(np.float32), r"got float32 \(56, 64, 64, 3\)"),
        (np.zeros((), np.uint8), r"got uint8 \(\)"),
        (pictures[:, :32, :32], "image_px: wanted 32, the side of the pictures, got 64"),
    ):
        with pytest.raises(DataError, match=told):
            human.clicks.assemble(small_cohort, bad, small_study)
    with pytest.raises(DataError, match="wanted every image once"):
        human.clicks.assemble(small_cohort, pictures, small_study.assign(image="a"))
    with pytest.raises(DataError, match="`trials`: wanted at least one trial, got none"):
        human.clicks.assemble(small_cohort.of([]), pictures, small_study)
    fewer = dataclasses.replace(small_cohort, clicks=small_cohort.clicks.drop(columns="chosen"))
    with pytest.raises(DataError, match=r"`clicks`: wanted the columns of `human\.columns`, missing: chosen"):
        human.clicks.assemble(fewer, pictures, small_study)


def test_image_hashes_name_the_pixels_or_the_file(small_cohort, small_study, pictures, clicked):
    files = [f"{n:064x}" for n in range(len(small_study))]
    row = human.study.positions(small_study, small_cohort.trials["image"])[5]
    for digest in (files[row], clicked.study["content_hash"].iloc[row].upper()):
        named = changed(small_cohort, "trials", 5, "image_sha256", digest)
        assert human.clicks.assemble(named, pictures, small_study, file_hashes=files).provenance.simulated


def test_seven_options_are_refused_in_one_line(real_data, tmp_path):
    log = human.readers.read_wegrzyn2017(real_data / "wegrzyn2017")
    told = r"row 1 .*: n_options: wanted 2 options; a trial of more has no foil, keep it in the study's tables, got 7"
    with pytest.raises(DataError, match=f"^`trials`: {told}"):
        human.clicks.assemble(log, np.zeros((1, 8, 8, 3), np.uint8))
    human.trials.write(tmp_path, log)
    with pytest.raises(DataError, match=rf"trials_data\.csv: {told}"):
        human.clicks.load(tmp_path)


@pytest.mark.parametrize(
    ("split", "change", "told"),
    [
        (0, lambda e: e | {"mask": np.minimum(e["mask"], 254)}, "wanted 0 and 255 only, got 254"),
        (0, lambda e: e | {"mask": 255 - e["mask"]}, "wanted the union of the clicks' discs, got 4096 other pixels"),
        (0, lambda e: e | {"mask": np.roll(e["mask"], 1, 0)}, r"wanted the union of the clicks' discs, got \d+ other"),
        (0, lambda e: e | {"mask": e["mask"][1:]}, r"wanted uint8 \(64, 64, 1\) .*, got uint8 \(63, 64, 1\)"),
        (0, lambda e: e | {"mask": e["mask"][:32, :32]}, r"wanted uint8 \(64, 64, 1\) .*, got uint8 \(32, 32, 1\)"),
        (0, lambda e: e | {"mask": e["mask"] > 0}, r"got bool \(64, 64, 1\)"),
        (0, lambda e: e | {"clicks": e["clicks"][1:]}, r"wanted clicks \(K, 2\)"),
        (0, lambda e: e | {"clicks": e["clicks"] + 100}, "wanted a radius in 1..64 and opening clicks on the image"),
        (0, lambda e: e | {"image": 255 - e["image"]}, "image: wanted the pixels of the original"),
        (0, lambda e: e | {"image": b"\xff\xd8\xff"}, "image: `data`: wanted a PNG"),
        (0, lambda e: e | {"image_id": "other"}, "image_id: wanted an image of the originals, got 'other'"),
        (0, lambda e: e | {"image_id": b"\xff"}, "image_id: wanted UTF-8 text"),
        (0, lambda e: e | {"response": -1}, r"response: wanted 0\.\.7, got -1"),
        (0, lambda e: e | {"response": 2.5}, "response: wanted a whole number, got 2.5"),
        (0, lambda e: e | {"trial": None}, "trial: wanted a whole number, got None"),
        (0, lambda e: {n: e[n] for n in ("image", "image_id")}, "wanted a feature pair, got image, image_id"),
        (0, lambda e: e | {"fold": 4}, "`trials`: example 2: fold: wanted the original's 0, got 4"),
        (0, lambda e: e | {"pair": -1}, r"`trials`: example 2: pair: wanted the original's \d+, got -1"),
        (0, lambda e: e | {"content_hash": "0"}, "example 2: content_hash: wanted the original's [0-9a-f]{64}, got 0"),
        (1, lambda e: e | {"image": e["image"][1:]}, r"wanted uint8 \(S, S, 3\), got uint8 \(63, 64, 3\)"),
        (1, lambda e: e | {"image": e["image"][:32, :32]}, "wanted pictures of one size"),
    ],
)  # fmt: skip
def test_damaged_examples_are_named(clicked, split, change, told):
    splits = [list(human.clicks.trial_examples(clicked)), list(human.clicks.original_examples(clicked))]
    splits[split][1] = change(splits[split][1])
    with pytest.raises(DataError, match=told) as found:
        human.clicks.from_examples(*splits)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(("name", "value"), [("fold", 4), ("pair", 27), ("content_hash", "0")])
def test_a_wrong_original_is_named_even_where_its_trials_agree(clicked, name, value):
    image = clicked.study["image"].iloc[1]
    splits = [
        [example | {name: value} if example["image_id"] == image else example for example in examples(clicked)]
        for examples in (human.clicks.trial_examples, human.clicks.original_examples)
    ]
    with pytest.raises(DataError, match=f"`originals`: example 2: {name}: wanted .*, got {value}"):
        human.clicks.from_examples(*splits)


def test_sets_without_examples_are_refused(clicked):
    with pytest.raises(DataError, match="`originals`: wanted at least one example"):
        human.clicks.from_examples(human.clicks.trial_examples(clicked), [])
    with pytest.raises(DataError, match="`trials`: wanted at least one trial"):
        human.clicks.from_examples([], human.clicks.original_examples(clicked))


BASE_ROWS = [
    ("P01", 1, "a", "fear", "surprise", "fear"),
    ("P01", 2, "b", "sad", "fear", "fear"),
    ("P02", 1, "b", "sad", "fear", "sad"),
    ("P02", 2, "a", "fear", "surprise", "surprise"),
]
BASE_CLICKS = [
    ("P01", 1, "a", 1, 3.5, 4.25, 100.0, True),
    ("P01", 1, "a", 2, 63.5, 4.25, 130.0, True),
    ("P02", 1, "b", 1, 70.5, 4.25, 90.0, False),
    ("P02", 2, "a", 1, 30.0, 31.0, np.nan, True),
]
BASE = tables(("P01", "P02"), BASE_ROWS, BASE_CLICKS)
BASE_PICTURES = np.random.default_rng(1).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
ODD = {
    TEXT: st.text(max_size=6) | st.sampled_from([*EXPRESSIONS, "a", "b", "P01", "P02", "../../etc/passwd", "\x00"]),
    WHOLE: st.integers(-(2**62), 2**62) | st.integers(-3, 70),
    REAL: st.floats() | st.floats(-5, 70),
    FLAG: st.booleans(),
}
anything = st.none() | st.one_of(*ODD.values()) | st.binary(max_size=3) | st.lists(st.integers(), max_size=2)


@st.composite
def mutations(draw):
    """Tables after one to three changes: a cell, a row that is gone, a row twice, rows in another order."""
    found = {name: getattr(BASE, name).copy() for name in TABLES}
    for _ in range(draw(st.integers(1, 3))):
        table = draw(st.sampled_from(["participants", "trials", "trials", "clicks", "clicks"]))
        frame = found[table]
        if not len(frame):
            continue
        row = draw(st.integers(0, len(frame) - 1))
        kind = draw(st.sampled_from(["cell"] * 7 + ["gone", "twice", "order"]))
        if kind == "cell":
            column = draw(st.sampled_from(list(frame)))
            value = draw(ODD[TABLES[table][column][0]] if draw(st.integers(0, 9)) else anything)
            frame[column] = frame[column].astype(object)
            frame.loc[row, column] = value
        elif kind == "gone":
            frame = frame.drop(index=row).reset_index(drop=True)
        elif kind == "twice":
            frame = pd.concat([frame, frame.iloc[[row]]], ignore_index=True)
        else:
            frame = frame.iloc[::-1].reset_index(drop=True)
        found[table] = frame
    return human.Trials(**found)


def survives(mutated):
    """Whether the tables still make a set, which then must come back as it was; or one line says why not."""
    try:
        made = human.clicks.assemble(mutated, BASE_PICTURES, allow_mixed=True)
    except FerError as error:
        assert "\n" not in str(error)
        return False
    assert_equal(round_trip(made), made)
    return True


def test_the_base_of_the_mutations_is_sound():
    assert survives(BASE)


@settings(max_examples=40, deadline=None)
@given(mutated=mutations())
def test_mutated_tables_make_a_set_or_one_line(mutated):
    survives(mutated)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(mutated=mutations())
def test_a_thousand_mutated_tables(mutated):
    survives(mutated)
