"""One road for clicks: pictures in folders -> a study -> tables -> analysis, a prepared set, fine-tuning and Dice."""

import contextlib
import dataclasses
import json
import re
import shutil

import cv2
import numpy as np
import pandas as pd
import pytest

from experiments import analyse_study, finetune_clicks, prepare_data, reproduce, run_study
from experiments.config import StudyConfig
from experiments.harness import command
from experiments.study.people import click_set
from experiments.study.run import open_run
from fer_jax import faces, human, masks
from fer_jax.errors import StorageError
from fer_jax.expressions import index_of
from fer_jax.study import Store, commands

KINDS, SIZE = ("happy", "sad", "surprise"), 48
TINY = (
    "--image_size=32", "--batch_size=8", "--max_images=8", "--multiclass_epochs=1", "--ep_iterations=3",
    "--finetune_images=8", "--model=tiny",
)  # fmt: skip


@pytest.fixture(scope="module")
def road(tmp_path_factory):
    """Class folders, a study of them in which simulated people took part, and its tables."""
    root = tmp_path_factory.mktemp("road")
    for kind in KINDS:
        (root / "pictures" / kind).mkdir(parents=True)
        for number in range(9):
            parameters = faces.draw(0, "validation", number, preset="easy", expression=index_of(kind))
            picture = faces.render(parameters, size=SIZE).image
            cv2.imwrite(str(root / "pictures" / kind / f"{number}.png"), picture[..., ::-1])
    made = (f"--study_dir={root / 'lab'}", f"--folders={root / 'pictures'}", "--per_ordered_pair=1", "--practice=1")
    assert _card(run_study, run_study.RunStudyConfig, *made, f"--image_px={SIZE}", "--noserve") == 0
    assert commands.main(["simulate", f"--study_dir={root / 'lab'}", "--participants=4"]) == 0
    assert commands.main(["export", f"--study_dir={root / 'lab'}", f"--out={root / 'tables'}", "--with_stimuli"]) == 0
    return root


def _card(card, config_class, *flags):
    return command.run(card.main, config_class, usage="", argv=["card", *flags])


def _reproduce(out, people, *flags, pictures, stages="all"):
    given = (f"--out={out}", f"--people={people}", f"--data_dir={pictures}", "--dataset=class_folders")
    return _card(reproduce, StudyConfig, *TINY, *given, f"--stages={stages}", *flags)


def _written(out, kind="train"):
    """The pixels of a run's pictures of a split, by name."""
    with np.load(out / "data" / "pictures.npz") as arrays:
        return dict(zip(arrays[f"{kind}_names"].tolist(), arrays[f"{kind}_images"], strict=True))


def test_the_road_of_the_documents(road, tmp_path, capsys):
    tables, pictures, out = road / "tables", tmp_path / "pictures", tmp_path / "run"
    trials = human.trials.read(tables)
    shown = sorted(set(trials.trials["image"]))
    assert len(shown) == 6
    shutil.copytree(road / "pictures", pictures)
    copied = pictures / shown[0]
    shutil.copyfile(copied, copied.with_name("copy.png"))  # of a picture that people saw

    assert _card(analyse_study, analyse_study.AnalyseConfig, f"--people={tables}", f"--out={tmp_path / 'analysis'}",
                 "--resamples=40", "--halves=2") == 0  # fmt: skip
    assert "simulated" in capsys.readouterr().out
    pytest.importorskip("array_record")
    prepare = ("--dataset=click_study", f"--manual_dir={tables}", f"--categories={','.join(KINDS)}")
    assert _card(prepare_data, prepare_data.PrepareConfig, *prepare, f"--data_dir={tmp_path / 'tfds'}") == 0
    prepared = tmp_path / "tfds" / "click_study" / "1.0.0"
    flags = (f"--out={out}", f"--clicks={prepared}", f"--data_dir={pictures}", "--dataset=class_folders", *TINY)
    capsys.readouterr()
    assert _card(finetune_clicks, StudyConfig, *flags) == 0
    assert "pictures that they saw (6 of validation) are held out of training" in capsys.readouterr().err
    assert not (out / "people").exists()  # the prepared set is the one copy of the clicks
    study = pd.read_csv(out / "tables" / "study_images.csv")
    train = _written(out)
    assert sorted(study["image"]) == shown and not set(shown) & set(train)
    held = _written(out, "validation")
    seen = {held[name].tobytes() for name in shown}
    assert not seen & {picture.tobytes() for picture in train.values()} and set(shown) <= set(held)
    assert not set(open_run(out).evaluation_pictures.names) & {*shown, shown[0].replace(copied.stem, "copy")}
    maps = dict(np.load(out / "attention.npz"))

    # The same people from their tables: the run goes on, and its networks stay.
    members = (out / "ensemble" / "manifest.json").read_bytes()
    assert _reproduce(out, tables, "--participants=5", pictures=pictures) == 0
    said = capsys.readouterr().err
    assert f"people: --participants=5: not used with the people of {tables}" in said
    assert "people: made again: " in said and (out / "ensemble" / "manifest.json").read_bytes() == members
    other = np.load(out / "attention.npz")
    np.testing.assert_array_equal(maps["maps"], other["maps"])
    np.testing.assert_array_equal(maps["revealed_points"], other["revealed_points"])
    dice = pd.read_csv(out / "tables" / "dice.csv")
    assert set(dice["unit"]) == {"happy-sad", "happy-surprise", "sad-surprise"}
    assert "simulated" in (out / "report.html").read_text()
    record = json.loads((out / "people.json").read_text())
    assert record["tables"] == [str(tables.resolve())] and len(record["sha256"]) == 64
    pictures_record = json.loads((out / "data" / "pictures.json").read_text())
    assert pictures_record["pictures_people_saw"] == 6


@pytest.fixture
def people(road, tmp_path):
    """Tables of a study's people, to be changed: folder, trials."""
    return tmp_path / "people", human.trials.read(road / "tables")


def _write(folder, tables, **rows):
    human.trials.write(folder, dataclasses.replace(tables, **rows))
    return folder


def test_the_masks_of_a_prepared_set_are_the_discs_of_its_clicks(road, tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")
    pytest.importorskip("array_record")
    prepare = ("--dataset=click_study", f"--manual_dir={road / 'tables'}", f"--categories={','.join(KINDS)}")
    assert _card(prepare_data, prepare_data.PrepareConfig, *prepare, f"--data_dir={tmp_path / 'tfds'}") == 0
    stored = tfds.builder_from_directory(tmp_path / "tfds" / "click_study" / "1.0.0").as_data_source("trials")
    trials = human.trials.read(road / "tables")
    radius = int(trials.trials["reveal_radius_px"].iloc[0])
    assert len(stored) == len(trials.trials) == 24
    clicks = trials.clicks[trials.clicks["inside"]].groupby(["participant", "trial"])
    for example in stored:
        own = clicks.get_group((example["participant"].decode(), int(example["trial"])))[["x_px", "y_px"]]
        opened = masks.reveal(own.to_numpy(np.float32), (SIZE, SIZE), radius=radius)
        np.testing.assert_array_equal(example["mask"][..., 0] == 255, np.asarray(opened))


@pytest.mark.parametrize("held", ["none", "seeded"])
def test_a_study_of_a_prepared_set_is_held_out_of_training_on_it(road, tmp_path, held, capsys):
    pytest.importorskip("array_record")
    pictures, root = tmp_path / "pictures", road / "pictures"
    for kind in KINDS:  # the last five of each kind are validation
        for number in range(9):
            place = pictures / ("train" if number < 4 else "validation") / kind / f"{number}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / kind / f"{number}.png", place)
    build = ("--dataset=class_folders", f"--manual_dir={pictures}", f"--categories={','.join(KINDS)}")
    build = (*build, f"--data_dir={tmp_path / 'tfds'}", f"--pick_stimuli={held}")
    assert _card(prepare_data, prepare_data.PrepareConfig, *build) == 0
    lab, tables, out = (tmp_path / name for name in ("lab", "tables", "run"))
    making = ("init", f"--study_dir={lab}", f"--prepared={tmp_path / 'tfds'}", f"--image_px={SIZE}", "--practice=0")
    assert commands.main([*making, "--per_ordered_pair=2", "--participants=1"]) == 0
    assert commands.main(["simulate", f"--study_dir={lab}", "--participants=4"]) == 0
    assert commands.main(["export", f"--study_dir={lab}", f"--out={tables}"]) == 0
    shown = set(human.trials.read(tables).trials["image"])
    assert any(name.startswith("train/") for name in shown) == (held == "none")
    flags = ("--dataset=prepared", f"--data_dir={tmp_path / 'tfds'}", f"--people={tables}", f"--out={out}", *TINY)
    capsys.readouterr()
    assert _card(reproduce, StudyConfig, *flags, "--stages=data,design") == 0
    assert f"people: the {len(shown)} pictures that they saw (" in capsys.readouterr().err
    run = open_run(out)
    assert set(run.study_table["image"]) == shown <= set(run.pictures("validation").names)
    train = run.pictures("train")
    seen = {picture.tobytes() for picture in run.study_pictures.images}
    assert len(seen) == len(shown) and not seen & {one.tobytes() for one in train.images[np.arange(len(train))]}
    record = json.loads((out / "data" / "pictures.json").read_text())
    assert (record["pictures_people_saw"], record["known_by_content"]) == (len(shown), len(shown))


@pytest.mark.parametrize(
    "chosen", ["--class_map=glad ones:happy,my sad:sad,rest:drop", "--categories=glad ones,my sad"]
)
def test_folders_are_called_as_in_their_study_without_saying_it_again(road, tmp_path, chosen, capsys):
    pytest.importorskip("array_record")
    pictures, lab, tables = tmp_path / "pictures", tmp_path / "lab", tmp_path / "tables"
    for kind, folder in zip(KINDS, ("glad ones", "my sad", "rest"), strict=True):
        shutil.copytree(road / "pictures" / kind, pictures / folder)
    if "categories" in chosen:  # what the reader cannot tell alone: an expression beside other names
        (pictures / "rest").rename(pictures / "fear")
    making = ("init", f"--study_dir={lab}", f"--folders={pictures}", chosen, "--practice=0", f"--image_px={SIZE}")
    assert commands.main([*making, "--per_ordered_pair=2", "--participants=1"]) == 0
    with Store(lab) as store:
        shown = store.stimuli()
        labels = {one.true_label for one in shown.values()}
        plan = store.plan(1)
        told = [{"seq": 1, "trial": None, "type": "consent", "t_ms": 1.0, "body": {}}]
        for trial in plan:
            body = {"response": shown[trial.image].true_label, "with": "mouse"}
            told.append({"seq": len(told) + 1, "trial": trial.trial, "type": "answer", "t_ms": 9.0, "body": body})
        store.append(1, store.claim(1).result(), told).result()
    assert labels == ({"happy", "sad"} if "class_map" in chosen else {"glad ones", "my sad"})
    assert commands.main(["export", f"--study_dir={lab}", f"--out={tables}", "--with_stimuli"]) == 0
    prepare = ("--dataset=click_study", f"--manual_dir={tables}", f"--data_dir={tmp_path / 'tfds'}")
    assert _card(prepare_data, prepare_data.PrepareConfig, *prepare) == 0
    for people in (tables, tmp_path / "tfds" / "click_study" / "1.0.0"):
        out = tmp_path / f"run {people.name}"
        capsys.readouterr()
        assert _reproduce(out, people, pictures=pictures, stages="data,design") == 0
        said = capsys.readouterr().err
        assert "people: class folders are called as in their study (--categories='" in said
        assert ("--class_map='glad ones:happy,my sad:sad'" in said or "--class_map='my sad:sad,glad" in said) == (
            "class_map" in chosen
        )
        run = open_run(out)
        assert set(run.categories) == labels
        truth = dict(zip(run.study_table["image"], run.study_table["true_label"], strict=True))
        assert truth == {name: one.true_label for name, one in shown.items()}


def _as_jspsych(trials):
    """Return what jsPsych 7 keeps of the same people: each trial a row of clicks and one of a button."""
    clicks = dict(list(trials.clicks.groupby(["participant", "trial"])))
    files = {}
    for person, own in trials.trials.groupby("participant"):
        rows = files[person] = [{"trial_type": "preload", "trial_index": 0, "success": True, "rt": None}]
        for trial in own.sort_values("trial").to_dict("records"):
            made = clicks[person, trial["trial"]]
            labels = [trial["left_label"], trial["right_label"]]
            alike = {"subject": person, "block": trial["block"], "internal_node_id": f"0.0-{len(rows)}.0"}
            history = [{"time": one["t_ms"], "cx": one["x_px"], "cy": one["y_px"]} for one in made.to_dict("records")]
            shown = {"image": f"img/{trial['image'].replace('/', '_')}", "image_size": [SIZE, SIZE]}
            shown |= {"bubble_radius": trial["reveal_radius_px"], "bubble_history": history, "trial_index": len(rows)}
            rows.append({"trial_type": "bubble-view", "viewing_duration": trial["rt_total_ms"], **shown, **alike})
            answer = {"rt": 400.0, "stimulus": "<p>Which?</p>", "response": labels.index(trial["response"])}
            answer |= {"choices": labels, "true_label": trial["true_label"], "trial_index": len(rows)}
            rows.append({"trial_type": "html-button-response", "plugin_version": "2.0.0", **answer, **alike})
    return files


@pytest.fixture(scope="module")
def foreign(road, tmp_path_factory, root):
    """The road's people as a folder of jsPsych's logs, the tables that the guide makes of it, and their pictures."""
    code = re.search(r"```python\n(.*?)```", (root / "docs" / "study.md").read_text(), re.DOTALL).group(1)
    root = tmp_path_factory.mktemp("foreign")
    ours = human.trials.read(road / "tables")
    (root / "logs").mkdir()
    for person, rows in _as_jspsych(ours).items():
        (root / "logs" / f"{person}.json").write_text(json.dumps(rows))
    for kind in KINDS:
        (root / "pictures" / kind).mkdir(parents=True)
        for number in range(9):
            shutil.copyfile(
                road / "pictures" / kind / f"{number}.png", root / "pictures" / kind / f"{kind}_{number}.png"
            )
    with contextlib.chdir(root):
        exec(code.replace("blur_k=70", f"blur_k={ours.trials['blur_k'].iloc[0]}"))
    log = human.trials.read(root / "tables")
    trials = log.trials.assign(simulated=True)  # which the log does not say
    people = log.participants.assign(simulated=True)
    _write(root / "tables", log, trials=trials, participants=people)
    for name in set(trials["image"]):
        (root / "tables" / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / "pictures" / name, root / "tables" / "images" / name)
    return root


def test_logs_of_jspsych_take_the_road_to_the_same_maps(road, foreign, tmp_path, capsys):
    analysis = (f"--people={foreign / 'logs'}", "--log_format=jspsych", f"--out={tmp_path / 'analysis'}")
    assert _card(analyse_study, analyse_study.AnalyseConfig, *analysis, "--resamples=40", "--halves=2") == 0
    assert "4 participants, of whom 0 are simulated, were right in" in capsys.readouterr().out
    pytest.importorskip("array_record")
    prepare = ("--dataset=click_study", f"--manual_dir={foreign / 'tables'}", f"--data_dir={tmp_path / 'tfds'}")
    assert _card(prepare_data, prepare_data.PrepareConfig, *prepare) == 0
    maps = {}
    for kind, people, pictures in (
        ("ours", road / "tables", road / "pictures"),
        ("theirs", tmp_path / "tfds" / "click_study" / "1.0.0", foreign / "pictures"),
    ):
        out = tmp_path / kind
        assert _reproduce(out, people, pictures=pictures, stages="data,design,people") == 0
        names = open_run(out).study_table["image"].str.replace(r"(\w+)/\1_", r"\1/", regex=True)
        with np.load(out / "attention.npz") as arrays:
            maps[kind] = dict(zip(names, arrays["maps"], strict=True))
    assert maps["ours"].keys() == maps["theirs"].keys() and len(maps["ours"]) == 6
    for name, wanted in maps["ours"].items():
        np.testing.assert_array_equal(maps["theirs"][name], wanted)


@pytest.mark.slow  # the road of the documents goes as far with our tables in the fast suite
def test_logs_of_jspsych_take_the_road_to_a_report(foreign, tmp_path):
    pytest.importorskip("array_record")
    out, tables = tmp_path / "run", foreign / "tables"
    prepare = ("--dataset=click_study", f"--manual_dir={tables}", f"--data_dir={tmp_path / 'tfds'}")
    assert _card(prepare_data, prepare_data.PrepareConfig, *prepare) == 0
    flags = (f"--clicks={tmp_path / 'tfds' / 'click_study' / '1.0.0'}", f"--data_dir={foreign / 'pictures'}")
    assert _card(finetune_clicks, StudyConfig, f"--out={out}", *flags, "--dataset=class_folders", *TINY) == 0
    assert _reproduce(out, tables, pictures=foreign / "pictures") == 0
    dice = pd.read_csv(out / "tables" / "dice.csv")
    assert set(dice["unit"]) == {"happy-sad", "happy-surprise", "sad-surprise"}
    assert "simulated" in (out / "report.html").read_text()


class _Detector:
    """Finds a face in a grey canvas, and landmarks of it, unless the canvas is black."""

    def __call__(self, picture):
        ground = picture[0, 0, 0]
        rows, columns = (np.flatnonzero((picture[..., 0] != ground).any(axis)) for axis in (1, 0))
        box = [columns[0], rows[0], FACE, FACE]
        return np.array([box], float)[: int(ground > 0)]

    def landmarks(self, picture, box):
        share = np.full((68, 2), 0.5)
        share[36:42], share[42:48], share[17:22], share[22:27] = EYES[0], EYES[1], EYES[0], EYES[1]
        share[48:68] = (0.5, 0.65)
        return (box[:2] + FACE * share).astype(np.float32)


FACE, EYES = 60, np.array([(0.375, 0.37), (0.625, 0.37)])
CORNER, CANVAS = (25, 55), (120, 160)  # x, y of the face on a canvas of height, width


def test_simulated_people_aim_at_the_landmarks_that_a_prepared_set_keeps(tmp_path, monkeypatch, capsys):
    pytest.importorskip("array_record")
    monkeypatch.setattr("fer_jax.data.face_detector", lambda name: _Detector())
    for kind in KINDS:
        for number in range(9):
            parameters = faces.draw(0, "validation", number, preset="easy", expression=index_of(kind))
            picture = np.full((*CANVAS, 3), 0 if kind == "sad" else 7, np.uint8)
            x, y = CORNER
            picture[y : y + FACE, x : x + FACE] = np.maximum(faces.render(parameters, size=FACE).image, 9)
            place = tmp_path / "pictures" / ("train" if number < 4 else "validation") / kind / f"{number}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(place), picture[..., ::-1])
    build = ("--dataset=class_folders", f"--manual_dir={tmp_path / 'pictures'}", f"--categories={','.join(KINDS)}")
    build = (*build, f"--data_dir={tmp_path / 'tfds'}", "--detector=face_api=x.tgz")
    assert _card(prepare_data, prepare_data.PrepareConfig, *build) == 0
    # The central square of the canvas is 120 px wide and becomes SIZE: pixel centres lie at halves of a pixel.
    scale = SIZE / CANVAS[0]
    eyes = (CORNER + FACE * EYES - ((CANVAS[1] - CANVAS[0]) / 2, 0) + 0.5) * scale - 0.5
    unit = scale * FACE * 0.25

    lab, tables = tmp_path / "lab", tmp_path / "tables"
    making = ("init", f"--study_dir={lab}", f"--prepared={tmp_path / 'tfds'}", f"--image_px={SIZE}", "--practice=0")
    assert commands.main([*making, "--per_ordered_pair=1", "--participants=1"]) == 0
    capsys.readouterr()
    assert commands.main(["simulate", f"--study_dir={lab}", "--participants=4", "--profile=eye_biased"]) == 0
    assert "2 of 6 pictures come without landmarks: there they aim where eyes and mouth" in capsys.readouterr().err
    assert commands.main(["export", f"--study_dir={lab}", f"--out={tables}"]) == 0
    _check_eyes(human.trials.read(tables), eyes, unit)

    out = tmp_path / "run"
    flags = (f"--out={out}", "--dataset=prepared", f"--data_dir={tmp_path / 'tfds'}", "--per_ordered_pair=1", *TINY)
    flags = (*flags, f"--image_size={SIZE}", "--stages=data,design,people", "--participants=4")
    assert _card(reproduce, StudyConfig, *flags, "--profile=eye_biased") == 0
    run = open_run(out)
    assert (run.profile, run.without_landmarks) == ("eye_biased", 2)
    _check_eyes(human.trials.read(out / "people"), eyes, unit)
    assert _card(reproduce, StudyConfig, *flags, "--profile=centre") == 0
    assert "--profile was 'eye_biased', is 'centre'" in capsys.readouterr().err
    run = open_run(out)
    assert (run.profile, run.without_landmarks) == ("centre", 0)
    assert _card(reproduce, StudyConfig, *flags, "--profile=centre", f"--people={tables}") == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: `--profile`: says where simulated people look, got centre with --people=")


def _check_eyes(trials, eyes, unit):
    """Most clicks fall on the eyes of the face, but for pictures whose face nobody has found."""
    clicks = trials.clicks.merge(trials.trials[["participant", "trial", "true_label"]], on=["participant", "trial"])
    points = clicks[["x_px", "y_px"]].to_numpy(float)
    far = np.linalg.norm(points[:, None] - eyes, axis=2).min(1) / unit
    found = clicks["true_label"].to_numpy() != "sad"
    assert np.mean(far[found] < 0.5) > 0.6
    assert np.mean(far[~found] < 0.5) < 0.2


def test_people_who_stopped_early_and_pictures_without_an_answer(road, people, tmp_path, capsys):
    folder, trials = people
    images = trials.trials["image"].drop_duplicates().tolist()
    pair = trials.trials[trials.trials[["true_label", "false_label"]].isin(["happy", "sad"]).all(axis=1)]
    unseen = set(pair["image"])  # nobody was shown a picture of happy against sad, or sad against happy
    wrong = next(image for image in images if image not in unseen)
    table = trials.trials[~trials.trials["image"].isin(unseen)]
    is_wrong = table["image"].eq(wrong)
    table = table.assign(
        response=table["false_label"].where(is_wrong, table["response"]),
        correct=table["correct"].where(~is_wrong, False),
    )
    last = table.index[table["participant"].eq(table["participant"].iloc[0])][-1]
    table = table.drop(last)  # one person stopped early
    keys = pd.MultiIndex.from_frame(table[["participant", "trial"]])
    kept = pd.MultiIndex.from_frame(trials.clicks[["participant", "trial"]]).isin(keys)
    _write(folder, trials, trials=table.reset_index(drop=True), clicks=trials.clicks[kept].reset_index(drop=True))
    out = tmp_path / "run"
    assert _reproduce(out, folder, pictures=road / "pictures") == 0
    said = capsys.readouterr().err
    assert "no picture of 2 of 6 ordered pairs was shown (happy against sad, sad against happy)" in said
    assert (
        f"people: 1 of 4 pictures are left out of maps and Dice, see tables/people_images.csv: {wrong!r} (nobody was"
        in said
    )
    dice = pd.read_csv(out / "tables" / "dice.csv", keep_default_na=False)
    assert set(dice.loc[dice["unit"] == "happy-sad", "reason"]) == {"no study image"}
    assert set(dice.loc[dice["unit"] == "happy-sad", "dice"]) == {""}
    correlations = pd.read_csv(out / "tables" / "confusion_correlation.csv")
    assert correlations["r_all"].isna().all() and correlations["reason"].str.startswith("no answers: row ").all()
    members = pd.read_csv(out / "tables" / "members_finetuned.csv").set_index("pair")
    assert members.loc["happy-sad", "stopped_by"] == "no study image" and members.loc["happy-sad", "steps"] == 0
    exclusions = pd.read_csv(out / "tables" / "people_exclusions.csv")
    assert "incomplete" in exclusions["reason"].tolist()
    assert (out / "report.html").is_file()


def test_pictures_that_cannot_be_found_or_are_others_are_refused_before_training(road, people, tmp_path, capsys):
    folder, trials = people
    first = trials.trials["image"].iloc[0]
    _write(folder, trials, trials=trials.trials.assign(image=trials.trials["image"].replace(first, "gone.png")),
           clicks=trials.clicks.assign(image=trials.clicks["image"].replace(first, "gone.png")))  # fmt: skip
    assert _reproduce(tmp_path / "run", folder, pictures=road / "pictures", stages="data") == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "1 of the 6 pictures that people saw are not among the 27 of --data_dir: 'gone.png'. Give" in said
    other = road / "pictures" / first
    pictures = tmp_path / "pictures"
    shutil.copytree(road / "pictures", pictures)
    cv2.imwrite(str(pictures / first), cv2.imread(str(other))[::-1].copy())
    assert _reproduce(tmp_path / "other", road / "tables", pictures=pictures, stages="data") == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"1 of the 6 pictures have the names of what people saw, but other content (SHA-256): {first!r}" in said


def test_tables_that_change_behind_a_run_s_back(road, people, tmp_path):
    folder, trials = people
    _write(folder, trials)
    out = tmp_path / "run"
    assert _reproduce(out, folder, pictures=road / "pictures", stages="data,design,people") == 0
    assert json.loads((out / "data" / "pictures.json").read_text())["known_by_content"] == 6
    assert len(click_set(str(out)).trials.trials) == 24
    _write(folder, trials, participants=trials.participants.iloc[::-1].reset_index(drop=True))
    with pytest.raises(StorageError, match=r"has changed since the run .* has read its people there"):
        click_set(str(out))
    shutil.rmtree(folder)
    with pytest.raises(StorageError, match="is gone since the run"):
        click_set(str(out))
