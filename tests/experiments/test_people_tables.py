"""People's tables in a run: joined, known by their content, scaled, matched with pictures, and refused in one line."""

import dataclasses
import types

import numpy as np
import pandas as pd
import pytest

from experiments.config import StudyConfig, resolve
from experiments.study import design, people_tables
from experiments.study.people_flag import folders_of
from experiments.study.run import Pictures
from fer_jax import human, masks
from fer_jax.errors import DataError, FerError, UsageError
from fer_jax.expressions import EXPRESSIONS
from tests.human.conftest import pool

SIZE = 64


def of_person(trials, name, called):
    part = trials.of([name])
    tables = {table: getattr(part, table) for table in ("participants", "trials", "clicks", "events")}
    return human.trials.Trials(**{table: rows.assign(participant=called) for table, rows in tables.items()})


def changed(trials, table, **columns):
    return dataclasses.replace(trials, **{table: getattr(trials, table).assign(**columns)})


def test_folders_of_a_flag(tmp_path):
    assert folders_of("simulated") == folders_of("none") == ()
    assert [str(folder) for folder in folders_of("a, b/c")] == ["a", "b/c"]
    for people in ("gone", f"{tmp_path},gone", "", "simulated,none"):
        with pytest.raises(UsageError, match="`--people`: wanted simulated, none, or folders"):
            resolve(StudyConfig(out="run", people=people))
    assert resolve(StudyConfig(out="run", people=str(tmp_path))).people == str(tmp_path)


def test_two_sites_are_one_study_and_nobody_is_in_both(small_cohort, tmp_path):
    for site, name in (("a", "P01"), ("b", "P02")):
        human.trials.write(tmp_path / site, of_person(small_cohort, name, name))
    both = people_tables.read(f"{tmp_path / 'a'},{tmp_path / 'b'}")
    wanted = small_cohort.of(["P01", "P02"])
    for table in ("participants", "trials", "clicks"):
        pd.testing.assert_frame_equal(getattr(both, table), getattr(wanted, table))
    human.trials.write(tmp_path / "b", of_person(small_cohort, "P02", "P01"))
    with pytest.raises(DataError, match=r"`--people`: wanted each .* got 'P01' in .*/a and in .*/b; put") as error:
        people_tables.read(f"{tmp_path / 'a'},{tmp_path / 'b'}")
    assert "\n" not in str(error.value)


def test_tables_are_known_by_their_content(small_cohort, tmp_path):
    for place in ("a", "b"):
        human.trials.write(tmp_path / place, small_cohort)
    first = people_tables.digest(str(tmp_path / "a"))
    assert first == people_tables.digest(str(tmp_path / "b"))
    assert people_tables.digest("simulated") is people_tables.digest("none") is None
    human.trials.write(tmp_path / "b", small_cohort.of(["P01", "P02", "P03"]))
    assert people_tables.digest(str(tmp_path / "b")) != first
    (tmp_path / "a" / human.trials.file_name("clicks")).unlink()
    with pytest.raises(UsageError, match=r"which has no data/study-fer2afc_description-clicks_data\.csv"):
        people_tables.digest(str(tmp_path / "a"))


def test_the_folder_that_a_study_is_served_from_is_told_from_its_tables(tmp_path):
    (tmp_path / "study.json").write_text("{}")
    for read in (people_tables.digest, people_tables.read, human.trials.read):
        with pytest.raises(DataError, match=rf"first: fer-study export --study_dir={tmp_path} --out=tables, and name"):
            read(str(tmp_path))


def test_clicks_are_brought_to_the_pixels_of_a_run(small_cohort):
    same, radius, blur = people_tables.fitted(small_cohort, SIZE)
    assert same is small_cohort and (radius, blur) == (masks.reveal_radius(SIZE), masks.blur_size(SIZE))
    edge = np.nextafter(SIZE, 0)
    clicks = small_cohort.clicks.assign(x_px=[edge, *small_cohort.clicks["x_px"][1:]])
    half, radius, blur = people_tables.fitted(dataclasses.replace(small_cohort, clicks=clicks), SIZE // 2)
    assert (radius, blur) == (masks.reveal_radius(SIZE // 2), masks.blur_size(SIZE // 2))
    np.testing.assert_allclose(half.clicks["y_px"], small_cohort.clicks["y_px"] / 2)
    assert half.clicks["x_px"].iloc[0] < SIZE // 2
    assert half.trials[["image_px", "reveal_radius_px", "blur_k"]].drop_duplicates().to_numpy().tolist() == [
        [SIZE // 2, radius, blur]
    ]
    human.trials.typed_tables(half)
    large = changed(small_cohort, "trials", reveal_radius_px=pd.array([12] * len(small_cohort.trials), dtype="Int64"))
    assert people_tables.fitted(large, SIZE // 2)[1] == 6  # no longer the paper's, so in proportion to the picture
    unsaid = changed(small_cohort, "trials", blur_k=pd.array([pd.NA] * len(small_cohort.trials), dtype="Int64"))
    tables, _, blur = people_tables.fitted(unsaid, SIZE // 2)
    assert blur == masks.blur_size(SIZE // 2) and tables.trials["blur_k"].isna().all()


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("image_px", 224, "image_px: wanted one for all trials, got 224"),
        ("image_px", pd.NA, "image_px: wanted the side of the stimulus, pixels, got none"),
        ("reveal_radius_px", 9, "reveal_radius_px: wanted one for all trials, got 9"),
    ],
)
def test_stimuli_of_several_sizes_are_refused(small_cohort, column, value, said):
    values = small_cohort.trials[column].copy()
    values.iloc[7] = value
    with pytest.raises(DataError, match=f"`trials`: row 8 .*{said}"):
        people_tables.fitted(changed(small_cohort, "trials", **{column: values}), 32)


def test_people_of_whom_nobody_says_what_they_are_are_refused(small_cohort):
    people_tables.check_who(small_cohort)
    unsaid = pd.array([pd.NA] * len(small_cohort.participants), dtype="boolean")
    with pytest.raises(DataError, match="simulated: wanted 0 for a person, 1 for a program"):
        people_tables.check_who(changed(small_cohort, "participants", simulated=unsaid))
    with pytest.raises(DataError, match="simulated: wanted what the person's row says"):
        people_tables.check_who(
            changed(small_cohort, "participants", simulated=~small_cohort.participants["simulated"])
        )
    with pytest.raises(DataError, match="wanted a row of the participants' table"):
        people_tables.check_who(dataclasses.replace(small_cohort, participants=small_cohort.participants.iloc[1:]))


class _Run:
    """A run of which only the pictures' names and labels are known."""

    categories = EXPRESSIONS

    def __init__(self, folder, names, labels):
        self.config = StudyConfig(people=str(folder), out="RUN")
        self._splits = {"validation": (names, labels), "train": (np.asarray(["train/0"]), np.zeros(1, np.int32))}
        self.folder = types.SimpleNamespace(has=lambda name: False, write_table=self._write)

    def _write(self, name, table):
        assert name == "study_images"
        self.table = table

    def pictures(self, split):
        names, labels = self._splits[split]
        return Pictures(np.zeros((len(labels), 1, 1, 3), np.uint8), np.asarray(labels), np.asarray(names))


def test_the_study_images_are_those_that_people_saw(small_cohort, small_study, tmp_path):
    labels, names = pool(10)
    trials = small_cohort.trials.assign(
        image=small_cohort.trials["image"].where(small_cohort.trials["participant"] != "P01", "other")
    )
    pilot = small_cohort.participants["participant"] == "P01"
    people = small_cohort.participants.assign(excluded=pilot)
    human.trials.write(tmp_path, dataclasses.replace(small_cohort, trials=trials, participants=people))
    run = _Run(tmp_path, names, labels)
    design.draw_study(run)
    wanted = small_study.sort_values("image", ignore_index=True)
    pd.testing.assert_frame_equal(run.table[list(wanted)].sort_values("image", ignore_index=True), wanted)
    assert [names[row] for row in run.table["row"]] == run.table["image"].tolist()
    order = [EXPRESSIONS.ordered_pairs.index((EXPRESSIONS.index_of(a), EXPRESSIONS.index_of(b)))
             for a, b in zip(run.table["true_label"], run.table["false_label"], strict=True)]  # fmt: skip
    assert order == sorted(order)


def _renamed(trials, old, new):
    return changed(trials, "trials", image=trials.trials["image"].replace(old, new))


def _another_foil(trials):
    first = trials.trials.iloc[0]
    others = [name for name in EXPRESSIONS if name not in (first["true_label"], first["false_label"])]
    return changed(
        trials,
        "trials",
        false_label=[others[0], *trials.trials["false_label"][1:]],
        response=[first["true_label"], *trials.trials["response"][1:]],
        correct=[True, *trials.trials["correct"][1:]],
    )


def test_a_pair_that_nobody_saw_a_picture_of_is_named(small_cohort, small_study, tmp_path, capsys):
    labels, names = pool(10)
    human.trials.write(tmp_path, _without_cell(small_cohort, small_study))
    run = _Run(tmp_path, names, labels)
    design.draw_study(run)
    assert len(run.table) == 55
    assert "people: no picture of 1 of 56 ordered pairs was shown (neutral against happy)" in capsys.readouterr().err


def _without_cell(trials, study):
    image = study["image"].iloc[0]
    kept = trials.trials[trials.trials["image"] != image]
    return dataclasses.replace(trials, trials=kept, clicks=trials.clicks[trials.clicks["image"] != image])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t, s: _renamed(t, s["image"].iloc[3], "gone.png"),
         r"1 of the 56 pictures that people saw are not among the 80 of --data_dir: 'gone.png'\. Give the pictures "
         r"that the study was made from, .* \(pictures there are called 'face_"),
        (lambda t, s: _renamed(t, s["image"].iloc[3], "train/0"),
         "1 of the 56 pictures that people saw are training pictures of RUN, the first 'train/0': .* another --out"),
        (lambda t, s: changed(t, "trials", true_label=t.trials["true_label"].replace("fear", "afraid")),
         "true_label: wanted one of neutral, happy, .* got 'afraid'"),
        (lambda t, s: _another_foil(t), "false_label: wanted the foil that the study gives the image, got "),
        (lambda t, s: t.of([]), "wanted at least one trial, got none"),
    ],
)  # fmt: skip
def test_tables_that_are_not_of_a_run_s_pictures_are_refused(small_cohort, small_study, tmp_path, change, said):
    labels, names = pool(10)
    human.trials.write(tmp_path, change(small_cohort, small_study))
    with pytest.raises(FerError, match=said) as error:
        design.draw_study(_Run(tmp_path, names, labels))
    assert "\n" not in str(error.value)


def test_other_labels_of_the_pictures_and_none_left_are_refused(small_cohort, small_study, tmp_path):
    labels, names = pool(10)
    human.trials.write(tmp_path, small_cohort)
    other = np.asarray(labels).copy()
    place = list(names).index(small_study["image"].iloc[0])
    other[place] = (other[place] + 1) % 8
    with pytest.raises(DataError, match=r"people's tables call .* neutral, the pictures' labels happy; one of them"):
        design.draw_study(_Run(tmp_path, names, other))
    seen = [row for row, name in enumerate(names) if name in set(small_study["image"])]
    with pytest.raises(DataError, match="people saw all validation pictures of neutral, so none is left to evaluate"):
        design.draw_study(_Run(tmp_path, np.asarray(names)[seen], np.asarray(labels)[seen]))
