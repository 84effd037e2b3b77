import numpy as np
import pytest

from fer_jax import human
from fer_jax.errors import DataError
from fer_jax.human.columns import TABLES

HEADER = "ident,express,id,time,cumtime,e,i,button,filename,evaluation,stopRT,choiceRT,maskNum,maskList,#\n"
ROWS = (
    "0,0,1,2015-10-01,8.6,0,0,hap,img/f_hap_cut.png,HIT,2124.0,4388.0,3.0,21-41-3,1.0\n"
    "1,3,0,2015-10-01,0.0,3,1,sup,img/m_fea_cut.png,ERR,-5.0,70000.0,1.0,47,0.0\n"
    "1,6,112,2015-10-01,0.0,6,1,ntr,img/m_ntr_cut.png,HIT,900.0,800.0,1.0,0,112.0\n"
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pandas_logfile007.csv").write_text(HEADER + ROWS)
    return tmp_path


@pytest.fixture(scope="module")
def wegrzyn(real_data):
    return human.readers.read_wegrzyn2017(real_data / "wegrzyn2017")


def test_tiles_become_clicks_that_nobody_chose(folder):
    read = human.readers.read_wegrzyn2017(folder)
    assert read.trials["trial"].tolist() == [1, 2, 113]
    assert read.trials["block"].tolist() == [1, 1, 2]
    assert read.trials["true_label"].tolist() == ["fear", "happy", "neutral"]
    assert read.trials["response"].tolist() == ["surprise", "happy", "neutral"]
    assert read.trials["correct"].tolist() == [False, True, True]
    assert read.trials["marks"].fillna("").tolist() == ["stop_at_onset|choice_over_60_s", "", "choice_before_stop"]
    assert read.clicks[["x_px", "y_px"]].to_numpy().tolist() == [
        [275, 375], [125, 275], [275, 75], [25, 175], [25, 25],
    ]  # fmt: skip
    assert read.clicks["click"].tolist() == [1, 1, 2, 3, 1]
    assert not read.clicks["chosen"].any()
    assert read.events["t_ms"].tolist() == [-5, 2124, 900]
    assert read.participants["participant"].tolist() == ["007"]
    assert read.trials["source"].unique().tolist() == ["wegrzyn2017"]
    assert read.trials["false_label"].isna().all()


def test_shown_tiles_are_never_pooled_with_chosen_clicks(folder):
    read = human.readers.read_wegrzyn2017(folder)
    images = read.trials[["image"]].drop_duplicates()
    with pytest.raises(DataError, match="chosen: wanted 1; places that a program opened"):
        human.attention.attention_maps(read, images, image_px=(400, 300), radius=20)


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("21-41-3", "21-48-3", r"007\.csv:2:maskList"),
        ("21-41-3", "21--3", r"007\.csv:2:maskList"),
        ("4388.0,3.0", "4388.0,2.0", r"007\.csv:2:maskNum"),
        (",sup,", ",joy,", r"007\.csv:3:button: .* got 'joy'"),
        (",ERR,", ",MISS,", r"007\.csv:3:evaluation"),
        ("1,6,112", "1,7,112", r"007\.csv:4:express"),
        ("900.0", "soon", r"007\.csv:4:stopRT"),
        ("1,3,0,", "1,3,1,", r"007\.csv:3:id"),
        ("choiceRT", "choice", r"007\.csv:1:choiceRT"),
        ("21-41-3", "21-21-3", r"007\.csv:2:maskList"),
        (",hap,", ",sad,", r"007\.csv:2:evaluation"),
        ("1,3,0,", "1,3,0.5,", r"007\.csv:3:id"),
        ("900.0", "1e999", r"007\.csv:4:stopRT"),
        (ROWS, "", r"007\.csv:2:\?: wanted a row for each trial"),
    ],
)
def test_a_bad_row_is_named(folder, old, new, where):
    path = folder / "pandas_logfile007.csv"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=where):
        human.readers.read_wegrzyn2017(folder)


def test_an_empty_folder(tmp_path):
    with pytest.raises(DataError, match="got none in"):
        human.readers.read_wegrzyn2017(tmp_path)


def test_the_real_logs_have_19_people_of_224_trials(wegrzyn):
    assert len(wegrzyn.participants) == 19
    assert wegrzyn.participants["n_trials"].tolist() == [224] * 19
    assert wegrzyn.trials.groupby("participant").size().tolist() == [224] * 19
    assert len(wegrzyn.clicks) == wegrzyn.trials["n_clicks"].sum()
    assert (wegrzyn.trials.groupby("true_label").size() == 608).all()
    assert ((wegrzyn.trials["response"] == wegrzyn.trials["true_label"]) == wegrzyn.trials["correct"]).all()
    assert wegrzyn.trials["marks"].notna().sum() == 1
    assert wegrzyn.clicks["x_px"].between(0, 300).all()
    assert wegrzyn.clicks["y_px"].between(0, 400).all()


def test_the_real_logs_survive_our_own_files(wegrzyn, tmp_path):
    human.trials.write(tmp_path, wegrzyn)
    again = human.trials.read(tmp_path)
    for table in TABLES:
        assert getattr(again, table).equals(getattr(wegrzyn, table))


def test_people_alone_double_the_error_of_an_accuracy(wegrzyn):
    """Statistics, section 3: crossed people and images."""
    accuracy = wegrzyn.participants["accuracy"]
    binomial = (accuracy.mean() * (1 - accuracy.mean()) / len(wegrzyn.trials)) ** 0.5
    assert accuracy.std() / 19**0.5 / binomial == pytest.approx(2.0, abs=0.06)


def test_female_and_male_faces_correlate_by_the_diagonal(wegrzyn):
    """Statistics, section 3: .95 with and .72 without the diagonal."""

    def errors(sex):
        own = wegrzyn.trials[wegrzyn.trials["image"].str.startswith(f"img/{sex}_")]
        part = human.Trials(wegrzyn.participants, own, wegrzyn.clicks, wegrzyn.events)
        return human.behaviour.confusion(part)[0][:7, :7]  # these logs have no contempt

    female, male = errors("f"), errors("m")
    off = ~np.eye(7, dtype=bool)
    assert np.corrcoef(female.ravel(), male.ravel())[0, 1] == pytest.approx(0.95, abs=0.01)
    assert np.corrcoef(female[off], male[off])[0, 1] == pytest.approx(0.72, abs=0.01)
