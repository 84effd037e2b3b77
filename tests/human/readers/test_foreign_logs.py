"""Logs as other programs write them: read into the one trial table, written back, and refused where they cannot be."""

import json

import numpy as np
import pandas as pd
import pytest

from fer_jax import human
from fer_jax.errors import DataError, UsageError
from fer_jax.human import readers
from fer_jax.human.columns import TABLES

WIDE = readers.LogOptions(picture_px=(120, 160), radius=10)
BUBBLEVIEW = "image,user,x,y,time\na.png,u1,30,150,300\na.png,u1,10,20,100\nb.png,u1,5,5,200\na.png,u2,100,20,400\n"
GEIRHOS = (
    "subj,Session,trial,rt,object_response,category,condition,imagename\n"
    "subject-01,2,1,0.5,bear,bear,cr,0001_cl_s01_cr_bear_40_n3_1.png\n"
    "subject-01,1,1,0.796405,oven,oven,cr,0001_cl_s01_cr_oven_40_n04_14126.png\n"
    "subject-01,1,2,NaN,na,car,bw,0002_cl_s01_bw_car_40_n1_3.png\n"
    "alexnet,1,1,NaN,oven,car,bw,0001_cl_dnn_bw_car_40_n1_3.png\n"
)
FIXATIONS = (
    "participant\timage\tx\ty\tstart\tduration\n"
    "A\tp.jpg\t10.5\t20\t0\t180\nA\tp.jpg\t700\t590\t200\t90.5\nA\tp.jpg\t70\t59\t300\t80\nB\tq.jpg\t-4\t3\t0\t100\n"
)
TOBII = (
    "\ufeffParticipant name,Recording timestamp [ms],Presented Stimulus name,Eye movement type,"
    "Eye movement type index,Gaze event duration [ms],Fixation point X [MCS px],Fixation point Y [MCS px]\n"
    "P1,10,,Fixation,1,100,5,5\n"
    "P1,20,face,Fixation,2,40,50,60\n"
    "P1,30,face,Fixation,2,40,50,60\n"
    "P1,40,face,Saccade,1,20,,\n"
    "P1,50,face,Fixation,3,40,51,61\n"
)


def bubbles(**told):
    row = {
        "fullscreen_reset": True,
        "image": "f1.png",
        "image_size": [300, 400],
        "bubble_radius": 30,
        "trial_type": "fixed_click_maximum",
        "bubble_history": [{"time": 500, "cx": 10, "cy": 350}, {"time": 900, "cx": 20, "cy": 3}],
        "viewing_duration": 3000,
        "subject": "s7",
    }
    return {**row, **told}


ANSWER = {
    "rt": 812.4,
    "stimulus": "<p>Which?</p>",
    "response": 1,
    "choices": ["happy", "sad"],
    "true_label": "sad",
    "subject": "s7",
    "plugin_version": "2.0.0",
}
JSPSYCH = [
    {"trial_type": "preload", "trial_index": 0, "success": True, "rt": None},
    bubbles(),
    ANSWER,
    {**ANSWER, "stimulus": 'x <img src="img/f2.png">', "response": None},
    {**ANSWER, "stimulus": "img/f3.png", "response": 0},
]


def as_jspsych_csv(rows):
    """Return rows as jsPsych writes them: every cell quoted, lists as JSON, null as a word, absent as nothing."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names]
    for row in rows:
        cells = [row.get(name, "") for name in names]
        lines.append([cell if isinstance(cell, str) else json.dumps(cell) for cell in cells])
    return "\r\n".join(",".join('"' + cell.replace('"', '""') + '"' for cell in line) for line in lines)


def read(tmp_path, text, log_format, options=None, name="log.csv"):
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    return readers.read_log(tmp_path / name, log_format, options)


def test_clicks_of_bubbleview_are_ordered_by_time_and_have_no_answer(tmp_path):
    found = read(tmp_path, BUBBLEVIEW, "bubbleview", WIDE)
    assert found.trials[["participant", "trial", "image", "n_clicks"]].to_numpy().tolist() == [
        ["u1", 1, "a.png", 2], ["u1", 2, "b.png", 1], ["u2", 1, "a.png", 1],
    ]  # fmt: skip
    assert found.clicks[["x_px", "y_px", "t_ms"]].to_numpy().tolist()[:2] == [[10, 20, 100], [30, 150, 300]]
    assert found.clicks["chosen"].all()
    assert found.trials["response"].isna().all()
    assert found.trials[["image_px", "image_height_px", "reveal_radius_px"]].drop_duplicates().to_numpy().tolist() == [
        [120, 160, 10]
    ]
    assert set(found.trials["source"]) == {"bubbleview"}


def test_a_repeated_line_is_one_click_and_marks_its_trial(tmp_path):
    found = read(tmp_path, BUBBLEVIEW + "a.png,u2,100,20,400\n", "bubbleview", WIDE)
    assert len(found.clicks) == 4
    assert found.trials["marks"].fillna("").tolist() == ["", "", "row_twice"]
    untimed = BUBBLEVIEW.replace("time", "when") + "a.png,u2,100,20,400\n"
    assert len(read(tmp_path, untimed, "bubbleview", WIDE).clicks) == 5  # two clicks on one place cannot be told apart


def test_dates_order_clicks_and_are_no_times(tmp_path):
    dated = BUBBLEVIEW.replace("00\n", "00000000000\n")
    found = read(tmp_path, dated, "bubbleview", WIDE)
    assert found.clicks["t_ms"].isna().all()
    assert found.clicks["x_px"].tolist() == [10, 30, 5, 100]


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        (BUBBLEVIEW, readers.LogOptions(), "wanted the size of every picture"),
        (BUBBLEVIEW, readers.LogOptions(picture_px=(50, 160)), "25% of 4 outside, the first at \\(100, 20\\) on 50 x"),
        (BUBBLEVIEW.replace("100,20", "20,159"), readers.LogOptions(picture_px=(160, 50)), "x and y look exchanged"),
        ("image,user,x,y\na,u,.5,.25\na,u,1,.75\n", WIDE, "fractions of the picture; give `scale`.* '120x160'"),
        ("image,user,x,y\na,u,far,2\n", WIDE, r"log.csv:2:x: wanted a finite number, got 'far'"),
        ("image,user,x,y\na,u,,2\n", WIDE, r"log.csv:2:x: wanted a value, got none"),
        ("image,user,x\na,u,3\n", WIDE, r"log.csv:1:y: wanted this column \(or cy"),
        ("image,user,x,y\na,u,1,2,3\n", WIDE, r"log.csv:2:5: wanted 4 cells, got 5"),
        ("image,user,x,y\n", WIDE, r"log.csv:2:\?: wanted a row"),
        ("image,user,x,x,y\na,u,1,2,3\n", WIDE, r"log.csv:1:x: wanted this column once"),
    ],
)
def test_a_log_that_cannot_be_right_is_refused_in_one_line(tmp_path, text, options, words):
    with pytest.raises(DataError, match=words) as caught:
        read(tmp_path, text, "bubbleview", options)
    assert len(str(caught.value).splitlines()) == 1


def test_percent_is_refused_and_a_scale_mends_it(tmp_path):
    random = np.random.default_rng(0)
    rows = "".join(f"a.png,u,{x:.1f},{y:.1f}\n" for x, y in random.uniform(0, 100, (60, 2)))
    big = {"picture_px": (400, 300)}
    with pytest.raises(DataError, match=r"percent of the picture; give `scale`.* '4x3'"):
        read(tmp_path, "image,user,x,y\n" + rows, "bubbleview", readers.LogOptions(**big))
    scaled = read(tmp_path, "image,user,x,y\n" + rows, "bubbleview", readers.LogOptions(**big, scale=(4, 3)))
    assert scaled.clicks["x_px"].max() > 350
    assert scaled.clicks["inside"].all()


def test_trials_of_model_vs_human_are_answers_without_clicks(tmp_path):
    found = read(tmp_path, GEIRHOS, "model_vs_human")
    table = found.trials
    assert table["participant"].tolist() == ["alexnet", *["subject-01"] * 3]
    assert table["simulated"].tolist() == [True, False, False, False]
    assert table[["block", "trial", "trial_in_block"]].to_numpy().tolist() == [
        [1, 1, 1],
        [1, 1, 1],
        [1, 2, 2],
        [2, 3, 1],
    ]
    assert table["image"].tolist()[0] == table["image"].tolist()[2] == "bw_car_40_n1_3.png"
    assert table["correct"].tolist() == [False, True, pd.NA, True]
    assert table["rt_total_ms"].tolist()[1] == pytest.approx(796.405)
    assert table["options"].unique().tolist() == ["bear|car|oven"]
    assert found.clicks.empty
    assert table["n_clicks"].isna().all()
    assert found.events["value"].tolist() == ["bw", "cr", "bw", "cr"]
    with pytest.raises(DataError, match=r"log.csv:6:trial: wanted each trial of a session once, got '1'"):
        read(tmp_path, GEIRHOS + GEIRHOS.splitlines()[1] + "\n", "model_vs_human")


@pytest.mark.parametrize(("name", "text"), [("d.json", json.dumps(JSPSYCH)), ("d.csv", as_jspsych_csv(JSPSYCH))])
def test_jspsych_joins_clicks_to_the_answer_after_them(tmp_path, name, text):
    found = read(tmp_path, text, "jspsych", readers.LogOptions(), name=name)
    table = found.trials
    assert table["participant"].tolist() == ["s7"] * 3
    assert table["image"].tolist() == ["f1.png", "f2.png", "f3.png"]
    assert table["response"].fillna("").tolist() == ["sad", "", "happy"]
    assert table["correct"].tolist() == [True, pd.NA, False]
    assert table["false_label"].tolist() == ["happy"] * 3
    assert table["n_clicks"].tolist() == [2, pd.NA, pd.NA]
    assert table[["image_px", "image_height_px", "reveal_radius_px"]].iloc[0].tolist() == [300, 400, 30]
    assert table["rt_total_ms"].fillna(-1).tolist() == [-1, 812.4, 812.4]  # two rows do not tell the time between
    assert found.clicks[["x_px", "y_px", "t_ms"]].to_numpy().tolist() == [[10, 350, 500], [20, 3, 900]]
    extra = json.loads(found.events["value"].iloc[0])
    assert extra["plugin_version"] == "2.0.0"
    assert extra["viewing_duration"] in (3000, "3000")


def test_jspsych_takes_several_people_in_a_file_and_labels_from_outside(tmp_path):
    row = {key: value for key, value in ANSWER.items() if key not in ("subject", "choices")} | {"stimulus": "a/f.jpg"}
    lines = "\n".join([json.dumps([row]), json.dumps([{**row, "response": "sad"}])])
    options = readers.LogOptions(answers=("happy", "sad"))
    found = read(tmp_path, lines, "jspsych", options, name="jatos.txt")
    assert found.trials["participant"].tolist() == ["jatos", "jatos-2"]
    assert found.trials["correct"].all()
    keys = readers.LogOptions(answers={"f": "happy", "j": "sad"})
    pressed = read(tmp_path, json.dumps([{**row, "response": "f"}]), "jspsych", keys, name="k.json")
    assert pressed.trials["response"].tolist() == ["happy"]
    with pytest.raises(DataError, match="row 1: response: wanted a label for each button: give `answers`"):
        read(tmp_path, json.dumps([row]), "jspsych", name="n.json")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("[{", "wanted JSON"),
        ("[1, 2]", "wanted an array of rows"),
        (json.dumps([{"rt": 3}]), "wanted rows with a truth"),
        (json.dumps([bubbles(bubble_history="none yet")]), "bubble_history: wanted a list of clicks"),
        (json.dumps([{**ANSWER, "stimulus": "f.png", "correct": False}]), "correct: wanted what the response 'sad'"),
        (json.dumps([bubbles(image_size=[300, 200])]), "50% of 2 outside, the first at \\(10, 350\\)"),
    ],
)
def test_jspsych_data_that_contradict_themselves_are_refused(tmp_path, rows, words):
    with pytest.raises(DataError, match=words):
        read(tmp_path, rows, "jspsych", name="d.json")


def test_fixations_off_the_picture_are_kept_outside(tmp_path):
    found = read(tmp_path, FIXATIONS, "fixations", readers.LogOptions(picture_px=(800, 600)), name="f.tsv")
    assert found.clicks["inside"].tolist() == [True, True, True, False]
    assert found.trials["n_clicks"].tolist() == [3, 0]
    assert found.events["value"].tolist() == ["180", "90.5", "80", "100"]
    with pytest.raises(DataError, match="on 80 x 60 pixels; screen pixels"):
        read(tmp_path, FIXATIONS, "fixations", readers.LogOptions(picture_px=(80, 60)))


def test_samples_of_an_eye_tracker_become_its_fixations(tmp_path):
    found = read(tmp_path, TOBII, "fixations", WIDE)
    assert found.trials[["participant", "image"]].to_numpy().tolist() == [["P1", "face"]]
    assert found.clicks[["x_px", "y_px"]].to_numpy().tolist() == [[50, 60], [51, 61]]


def test_a_table_of_pictures_gives_truth_foil_and_sizes(tmp_path):
    (tmp_path / "pictures.csv").write_text(
        "image;true_label;foil;width;height\na.png;sad;fear;120,0;160\nb.png;fear;sad;99;9\n"
    )
    pictures = readers.read_pictures(tmp_path / "pictures.csv")
    found = read(tmp_path, BUBBLEVIEW, "bubbleview", readers.LogOptions(pictures=pictures))
    assert found.trials["image_px"].tolist() == [120, 99, 120]
    assert found.trials["image_height_px"].tolist() == [160, 9, 160]
    assert found.trials["true_label"].tolist() == ["sad", "fear", "sad"]
    assert found.trials["false_label"].tolist() == ["fear", "sad", "fear"]
    with pytest.raises(DataError, match=r"wanted the log's pictures, such as 'a.png', got none of them"):
        read(tmp_path, BUBBLEVIEW, "bubbleview", readers.LogOptions(pictures=pictures.assign(image=["y", "z"])))


def test_unusual_columns_are_named(tmp_path):
    odd = BUBBLEVIEW.replace("image,user", "bild,wer")
    told = readers.LogOptions(columns={"image": "bild", "participant": "wer"}, picture_px=(120, 160))
    assert len(read(tmp_path, odd, "bubbleview", told).clicks) == 4
    with pytest.raises(UsageError, match=r"wanted columns of .*, got 'who'"):
        read(tmp_path, odd, "bubbleview", readers.LogOptions(columns={"participant": "who"}))
    with pytest.raises(UsageError, match="wanted names among"):
        read(tmp_path, odd, "bubbleview", readers.LogOptions(columns={"picture_name": "bild"}))


@pytest.mark.parametrize(
    ("log_format", "text", "name"),
    [
        ("bubbleview", BUBBLEVIEW, "b.csv"),
        ("model_vs_human", GEIRHOS, "g.csv"),
        ("jspsych", json.dumps(JSPSYCH), "j.json"),
        ("fixations", FIXATIONS, "f.tsv"),
    ],
)
def test_what_was_read_survives_our_own_files(tmp_path, log_format, text, name):
    options = readers.LogOptions(picture_px=(800, 600))
    found = read(tmp_path, text, log_format, options, name=name)
    human.trials.write(tmp_path / "out", found)
    again = human.trials.read(tmp_path / "out")
    for table in TABLES:
        pd.testing.assert_frame_equal(getattr(again, table), getattr(found, table))
    assert set(again.trials["source"]) == {log_format}


def test_fixations_of_real_people_have_every_row(real_data, tmp_path):
    """OSIE as a plain file: 15 people, 51 photographs of 800 x 600 pixels."""
    io = pytest.importorskip("scipy.io")
    kept = {path.stem for path in (real_data / "osie" / "stimuli").glob("*.jpg")}
    pictures = io.loadmat(real_data / "osie" / "fixations.mat", simplify_cells=True)["fixations"]
    rows = [
        (f"G{number:02d}", picture["img"], x, y, duration)
        for picture in pictures
        if picture["img"].partition(".")[0] in kept
        for number, person in enumerate(picture["subjects"], 1)
        for x, y, duration in zip(
            *(np.atleast_1d(person[f"fix_{what}"]) for what in ("x", "y", "duration")), strict=True
        )
    ]
    table = pd.DataFrame(rows, columns=["participant", "image", "x", "y", "duration"])
    table.to_csv(tmp_path / "osie.csv", index=False)
    found = readers.read_log(tmp_path / "osie.csv", "fixations", readers.LogOptions(picture_px=(800, 600)))
    assert len(found.clicks) == len(table)
    assert len(found.trials) == 15 * len(kept)
    assert found.clicks["inside"].mean() > 0.95
    with pytest.raises(DataError, match="exchanged"):
        readers.read_log(
            tmp_path / "osie.csv", "fixations", readers.LogOptions(picture_px=(800, 600), columns={"x": "y", "y": "x"})
        )
