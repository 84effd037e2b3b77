"""A study on photographs: class folders read at once, the same set prepared and read by row, study images of a list."""

import collections
import json
import shutil

import cv2
import numpy as np
import pandas as pd
import pytest

from experiments import data_report, prepare_data, reproduce
from experiments.config import StudyConfig
from experiments.harness import command
from experiments.study import template, write
from experiments.study.run import StoredPictures, open_run
from fer_jax import checkpoints, data, faces
from fer_jax.expressions import EXPRESSIONS
from tests.data import affectnet_copies as copies
from tests.datasets.sets import build

TINY = ("--image_size=32", "--per_ordered_pair=1", "--batch_size=8", "--max_images=16", "--model=tiny")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Train and validation folders of 12 pictures of each expression."""
    root = tmp_path_factory.mktemp("folders")
    for start, split in ((0, "train"), (500, "validation")):
        for label, name in enumerate(EXPRESSIONS):
            for number in range(12):
                path = root / split / name / f"{number:02d}.png"
                copies.write_picture(path, copies.picture(start + 12 * label + number))
    return root


def run(out, *options, stages="data,design,members"):
    argv = ["reproduce", f"--out={out}", f"--stages={stages}", *TINY, *options]
    return command.run(reproduce.main, StudyConfig, usage="", argv=argv)


def _of_pictures(out):
    """The report's words on the pictures of a run. All other values are empty."""
    return template.section("study", collections.defaultdict(str, write.of_pictures(open_run(out)))).text


def members_of(out):
    return json.loads((out / "ensemble" / "manifest.json").read_text())["arrays"]


@pytest.fixture(scope="module")
def read_at_once(folders, tmp_path_factory):
    out = tmp_path_factory.mktemp("folders_run") / "run"
    assert run(out, "--dataset=class_folders", f"--data_dir={folders}") == 0
    return out


# Frames of the 48 px copy of CK+, three of each sequence.
CK48 = {"anger": 135, "contempt": 54, "disgust": 177, "fear": 75, "happy": 207, "sadness": 84, "surprise": 249}


def test_as_many_frames_as_ckplus_has_make_a_study_of_seven(tmp_path):
    """The rarest expression leaves enough in validation for one image of each ordered pair."""
    start = 0
    for name, frames in CK48.items():
        (tmp_path / "CK+48" / name).mkdir(parents=True)
        for frame in range(frames):
            person = 10 + (start + frame) // 3 % 118
            path = tmp_path / "CK+48" / name / f"S{person:03d}_{1 + start % 9:03d}_{frame:08d}.png"
            copies.write_picture(path, copies.picture(3_000 + start + frame))
        start += frames
    out = tmp_path / "run"
    assert run(out, "--dataset=ckplus", f"--data_dir={tmp_path / 'CK+48'}", stages="data,design") == 0
    table = open_run(out).study_table
    assert len(table) == 7 * 6
    assert "neutral" not in set(table["true_label"]) and open_run(out).categories[0] == "happy"


def test_a_prepared_set_trains_the_same_members_bit_for_bit(folders, read_at_once, tmp_path):
    path = build("class_folders", folders, tmp_path / "tfds").data_path
    out = tmp_path / "run"
    assert run(out, "--dataset=prepared", f"--data_dir={path}") == 0
    assert members_of(out) == members_of(read_at_once)
    study = open_run(out)
    assert isinstance(study.pictures("train").images, StoredPictures)
    assert not study.provenance.drawn
    assert "train_images" not in np.load(out / "data" / "pictures.npz").files
    assert checkpoints.exists(out / "ensemble")


def test_study_images_that_were_held_out_are_the_studys(folders, tmp_path):
    path = build("class_folders", folders, tmp_path / "tfds", stimuli="seeded").data_path
    out = tmp_path / "run"
    assert run(out, "--dataset=prepared", f"--data_dir={path}", stages="data,design") == 0
    study, given = open_run(out), pd.read_csv(path / "stimuli.csv")
    assert "its central square, whatever that shows" in _of_pictures(out)
    assert len(study.study_table) == len(given) == 56
    assert len(study.evaluation_pictures) == 40
    assert set(study.study_table.image) == set(study.study_pictures.names) == set(given.image)
    truth = [EXPRESSIONS[label] for label in study.study_pictures.labels]
    assert study.study_table.true_label.tolist() == truth


def test_drawn_faces_that_were_prepared_are_still_called_synthetic(tmp_path):
    options = ["--dataset=procedural_faces", "--image_size=32", "--train_images=32", "--validation_images=96"]
    prepared = command.run(
        prepare_data.main,
        prepare_data.PrepareConfig,
        usage="",
        argv=["prepare_data", *options, "--stimuli_images=8", f"--data_dir={tmp_path / 'tfds'}"],
    )
    assert prepared == 0
    out = tmp_path / "run"
    assert run(out, "--dataset=prepared", f"--data_dir={tmp_path / 'tfds'}", stages="data,design") == 0
    study = open_run(out)
    assert study.provenance.drawn
    assert len(study.pictures("validation")) == 96
    assert study.provenance.source == "prepared pictures (procedural_faces)"
    record = json.loads((out / "data" / "pictures.json").read_text())
    assert record["render_version"] == faces.RENDER_VERSION and set(record["fingerprint"]) >= {"train", "validation"}


def test_another_set_in_the_same_place_is_refused(folders, tmp_path, capsys):
    place = tmp_path / "tfds"
    path = build("class_folders", folders, place).data_path
    out = tmp_path / "run"
    assert run(out, "--dataset=prepared", f"--data_dir={path}", stages="data,design") == 0
    metadata = json.loads((path / "metadata.json").read_text())
    metadata["fingerprint"]["train"] = "another"
    (path / "metadata.json").write_text(json.dumps(metadata))
    assert run(out, "--dataset=prepared", f"--data_dir={path}") == 3
    assert "is not the set any more that this run began with" in capsys.readouterr().err


def spoil(root):
    """A copy of another label in training, one of validation, a broken file, a black one, two documents."""
    shutil.copy(root / "train" / "happy" / "00.png", root / "train" / "anger" / "copy.png")
    shutil.copy(root / "validation" / "happy" / "00.png", root / "train" / "sad" / "copy.png")
    (root / "train" / "fear" / "broken.jpg").write_bytes(b"broken")
    copies.write_picture(root / "train" / "fear" / "black.png", np.zeros((64, 64, 3), np.uint8))
    (root / "train" / "fear" / "notes.txt").write_text("x")
    (root / "README.md").write_text("x")
    (root / "train" / "disgust").rename(root / "train" / "Ekel")
    return root


def test_pictures_read_at_once_are_told_as_prepared_ones_are(folders, tmp_path, capsys):
    root = spoil(shutil.copytree(folders, tmp_path / "copy"))
    options = ["--dataset=class_folders", f"--manual_dir={root}", f"--data_dir={tmp_path / 'tfds'}", "--crop=square"]
    argv = ["prepare_data", *options, "--image_size=32", "--max_reject_frac=0.02"]
    assert command.run(prepare_data.main, prepare_data.PrepareConfig, usage="", argv=argv) == 0
    path, *lines = capsys.readouterr().out.splitlines()
    assert run(tmp_path / "a", "--dataset=prepared", f"--data_dir={path}", stages="data") == 0
    prepared = capsys.readouterr().err
    assert "each one's central square, scaled to 32 px" in prepared and "FILE.tgz of prepare_data" in prepared
    assert "its central square, whatever that shows" in _of_pictures(tmp_path / "a")
    given = ["--dataset=class_folders", f"--data_dir={root}", "--max_reject_frac=0.02"]
    assert run(tmp_path / "b", *given, stages="data") == 0
    at_once = capsys.readouterr().err
    assert all(line in prepared for line in lines)
    assert [line for line in lines if line not in at_once] == [
        "train: 1 pictures are in validation, too (dropped; --nodedupe keeps them)"  # told in other words
    ]
    assert "left out: train/document 1, train/duplicate 1, train/not_image 1" in lines
    assert "train: flagged: one_colour 1" in lines
    assert any("Ekel as disgust" in line for line in lines)
    for name in ("rejected.csv", "flagged.csv"):
        tables = [pd.read_csv(place / name).sort_values("path") for place in (tmp_path / "a", tmp_path / "b")]
        assert tables[0].to_csv(index=False) == tables[1].to_csv(index=False)
    sheets = [cv2.imread(str(tmp_path / name / "labels.png")) for name in "ab"]
    assert all(sheet.shape == (8 * 96, 9 * 96, 3) for sheet in sheets)


def test_too_much_damage_leaves_its_account_in_the_run_folder(folders, tmp_path, capsys):
    root = spoil(shutil.copytree(folders, tmp_path / "copy"))
    out = tmp_path / "run"
    assert run(out, "--dataset=class_folders", f"--data_dir={root}", "--max_reject_frac=0", stages="data") == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert "1 of 100 rows of train cannot be used (1 not_image), more than `--max_reject_frac`=0 allows" in told
    assert told.endswith(f"All of them: {out / 'rejected.csv'}.")
    assert pd.read_csv(out / "rejected.csv").reason.tolist() == ["not_image", "document"]


def test_the_sheet_shows_as_many_people_and_files_as_there_are():
    labels = np.repeat(np.arange(8), 40)
    people = [f"S{row % 40 // 10}" for row in range(len(labels))]  # 4 people of 10 pictures
    files = [f"{row % 40 // 2}.png" for row in range(len(labels))]  # 2 faces in each

    def facts(rows):
        return [people[row] for row in rows], [files[row] for row in rows]

    chosen = data_report.drawn(labels, facts, seed=0, categories=EXPRESSIONS)
    for expression, rows in enumerate(chosen):
        assert (labels[rows] == expression).all()
        assert sorted(people[row] for row in rows) == ["S0", "S0", "S1", "S1", "S2", "S2", "S3", "S3"]
        assert len({files[row] for row in rows}) == 8
    again, other = (data_report.drawn(labels, facts, seed=seed, categories=EXPRESSIONS) for seed in (0, 1))
    np.testing.assert_array_equal(chosen, again)
    assert not np.array_equal(chosen, other)
    few = data_report.drawn(
        np.array([3, 3]), lambda rows: ([""] * len(rows), ["a/x", "a/y"][: len(rows)]), seed=0, categories=EXPRESSIONS
    )
    assert list(map(len, few)) == [0, 0, 0, 2, 0, 0, 0, 0]


def test_one_pool_is_parted_and_says_so(folders, tmp_path, capsys):
    assert run(tmp_path / "run", "--dataset=class_folders", f"--data_dir={folders / 'train'}", stages="data") == 0
    assert "no validation split: 16 of 96 pictures were drawn for it. If a person is on" in capsys.readouterr().err
    study = open_run(tmp_path / "run")
    counts = np.bincount(study.pictures("validation").labels)
    assert counts.tolist() == [2] * 8
    names = [set(study.pictures(split).names) for split in ("train", "validation")]
    assert not names[0] & names[1] and len(names[0] | names[1]) == 96


def test_copies_in_one_pool_do_not_leak_into_validation(folders, tmp_path, capsys):
    pool = tmp_path / "pool"
    shutil.copytree(folders / "train", pool)
    for path in sorted(pool.rglob("*.png")):
        shutil.copy(path, path.with_name(f"{path.stem} - Copy.png"))
    assert run(tmp_path / "run", "--dataset=class_folders", f"--data_dir={pool}", stages="data") == 0
    assert "pictures are in validation or test, too; they were left out" in capsys.readouterr().err
    study = open_run(tmp_path / "run")
    train, validation = ({image.tobytes() for image in study.pictures(s).images} for s in ("train", "validation"))
    assert not train & validation
    assert len(validation) > 20
    path = build("class_folders", pool, tmp_path / "tfds").data_path
    assert run(tmp_path / "by_row", "--dataset=prepared", f"--data_dir={path}", stages="data") == 0
    prepared = open_run(tmp_path / "by_row")
    rows = np.arange(len(prepared.pictures("train")))
    assert {image.tobytes() for image in prepared.pictures("train").images[rows]} == train
    assert {image.tobytes() for image in prepared.pictures("validation").images} == validation


def test_copies_of_validation_are_left_out_on_every_road(folders, tmp_path, capsys):
    """Of a set with its own validation: read at once, prepared as it comes, prepared with its copies."""
    leaky = tmp_path / "leaky"
    shutil.copytree(folders, leaky)
    for expression in ("sad", "fear"):
        shutil.copy(next((leaky / "validation" / expression).iterdir()), leaky / "train" / expression / "again.png")
    sets = {
        "by_row": build("class_folders", leaky, tmp_path / "dropped").data_path,
        "later": build("class_folders", leaky, tmp_path / "kept", dedupe=False).data_path,
    }
    told = {
        "at_once": "train: 2 of 98 pictures are in validation or test, too; they were left out",
        "by_row": "train: 2 pictures were left out when the set was built",
        "later": "train: 2 of 98 pictures are in validation or test, too; they were left out",
    }
    trained = {}
    for road, line in told.items():
        where = [f"--dataset={'prepared' if road in sets else 'class_folders'}", f"--data_dir={sets.get(road, leaky)}"]
        assert run(tmp_path / road, *where, stages="data") == 0
        assert line in capsys.readouterr().err
        study = open_run(tmp_path / road)
        train = study.pictures("train")
        trained[road] = [image.tobytes() for image in train.images[np.arange(len(train))]]
        assert " 2 training pictures that are in validation or test, too, were left out." in _of_pictures(
            tmp_path / road
        )
        if road != "by_row":
            table = pd.read_csv(tmp_path / road / "rejected.csv")
            assert [name.rpartition("/")[2] for name in table.path] == ["again.png"] * 2
            assert set(table.detail) == {"the same picture is in validation"}
    assert len(trained["at_once"]) == 96 and trained["at_once"] == trained["by_row"] == trained["later"]
    everything = ["--dataset=prepared", f"--data_dir={sets['later']}", "--nodedupe"]
    assert run(tmp_path / "all", *everything, stages="data") == 0
    assert len(open_run(tmp_path / "all").pictures("train")) == 98
    assert "were not looked for (--nodedupe)." in _of_pictures(tmp_path / "all")


def test_twins_of_study_images_are_no_evaluation_pictures(folders, tmp_path):
    twins = tmp_path / "twins"
    shutil.copytree(folders, twins)
    for path in sorted((twins / "validation").rglob("*.png")):
        shutil.copy(path, path.with_name(f"{path.stem} again.png"))
    assert run(tmp_path / "run", "--dataset=class_folders", f"--data_dir={twins}", stages="data,design") == 0
    study = open_run(tmp_path / "run")
    shown, others = ({image.tobytes() for image in p.images} for p in (study.study_pictures, study.evaluation_pictures))
    assert len(study.study_pictures) == 56 and not shown & others
    path = build("class_folders", twins, tmp_path / "tfds", stimuli="seeded", dedupe=True)
    hashes = [{e["content_hash"] for e in path.as_data_source(s)} for s in ("stimuli", "validation_minus_stimuli")]
    assert not hashes[0] & hashes[1]


def test_a_copy_without_training_pictures(folders, tmp_path, capsys):
    shutil.copytree(folders / "validation", tmp_path / "half" / "validation")
    assert run(tmp_path / "run", "--dataset=class_folders", f"--data_dir={tmp_path / 'half'}", stages="data") == 2
    assert "has no training pictures, only validation" in capsys.readouterr().err


def test_a_prepared_pool_is_parted_like_the_one_that_is_read_at_once(folders, tmp_path):
    path = build("class_folders", folders / "train", tmp_path / "tfds").data_path
    assert run(tmp_path / "a", "--dataset=prepared", f"--data_dir={path}", stages="data") == 0
    assert run(tmp_path / "b", "--dataset=class_folders", f"--data_dir={folders / 'train'}", stages="data") == 0
    prepared, at_once = open_run(tmp_path / "a"), open_run(tmp_path / "b")
    assert prepared.pictures("validation").names.tolist() == at_once.pictures("validation").names.tolist()
    for split in ("train", "validation"):
        rows = np.arange(len(at_once.pictures(split)))
        np.testing.assert_array_equal(prepared.pictures(split).labels, at_once.pictures(split).labels)
        np.testing.assert_array_equal(prepared.pictures(split).images[rows], at_once.pictures(split).images[rows])


def test_a_category_missing_in_a_split_is_refused_at_once(folders, tmp_path, capsys):
    shutil.copytree(folders, tmp_path / "seven")
    shutil.rmtree(tmp_path / "seven" / "train" / "contempt")
    assert run(tmp_path / "run", "--dataset=class_folders", f"--data_dir={tmp_path / 'seven'}", stages="data") == 2
    assert "wanted pictures of every category in train, got none of contempt" in capsys.readouterr().err


def test_too_few_pictures_for_a_study_are_told_with_what_to_add(folders, tmp_path, capsys):
    given = ("--dataset=class_folders", f"--data_dir={folders / 'train'}")
    assert run(tmp_path / "run", *given, stages="data,design") == 2
    assert (
        "`--data_dir`: too few pictures in validation: a balanced study takes at least 7 images of each category and "
        "at most 0.6 of those there are to choose from, which makes 12; got 2 of neutral. Add some (of a set without a "
        "validation folder a 20% share is drawn for it), or leave the category out by --categories in another --out."
    ) in capsys.readouterr().err


def test_what_the_pictures_are_is_on_record(read_at_once):
    record = json.loads((read_at_once / "data" / "pictures.json").read_text())
    assert (record["release"], record["crop"], record["synthetic"]) == ("folders", "square", False)
    assert {split: len(digest) for split, digest in record["fingerprint"].items()} == {"train": 64, "validation": 64}


def test_a_copy_of_affectnet_is_cropped_by_its_boxes(tmp_path):
    root = copies.write_original(tmp_path / "copy", each=2)
    out = tmp_path / "run"
    assert run(out, "--dataset=affectnet", f"--data_dir={root}", stages="data") == 0
    image = open_run(out).pictures("train").images[2]
    np.testing.assert_array_equal(image, data.crop_box(copies.picture(1), copies.FACE, size=32, margin=1.25).image)


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--dataset=prepared"], 1, "`--data_dir`: --dataset=prepared wants the folder"),
        (["--dataset=prepared", "--data_dir={tmp}"], 2, "wanted a prepared set"),
        (["--dataset=class_folders", "--data_dir={tmp}/empty"], 2, "has no pictures in folders"),
        (
            ["--dataset=class_folders", "--data_dir={tmp}"],
            2,
            "`--data_dir`: the folder 'empty' is no expression's: wanted",
        ),
        (["--dataset=ckplus", "--data_dir={tmp}"], 2, "is no CK+"),
        (["--dataset=affectnet", "--data_dir={tmp}/nowhere"], 2, "nowhere, which does not exist"),
    ],
    ids=range(6),
)
def test_wrong_calls_end_in_one_line(options, code, told, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    if options == ["--dataset=class_folders", "--data_dir={tmp}"]:
        (tmp_path / "empty" / "x.png").write_bytes(b"x")
    found = run(tmp_path / "run", *(option.format(tmp=tmp_path) for option in options), stages="data")
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert (found, error.startswith("error: ")) == (code, True)
    assert told in error


def test_faces_are_cropped_where_asked_and_told_where_not(folders, tmp_path, monkeypatch, capsys):
    """A detector that sees a face in bright pictures only, and its eyes."""

    class Detector:
        def __call__(self, picture):
            return np.array([[4.0, 4.0, 20.0, 20.0]])[: int(picture[0, 0, 0] >= 128)]

        def landmarks(self, picture, box):
            places = np.zeros((68, 2), np.float32)
            places[36:42], places[42:48] = (8, 10), (20, 12)
            return places

    monkeypatch.setattr("fer_jax.data.face_detector", lambda name: Detector())
    for crop in ("box", "eyes"):
        out = tmp_path / crop
        given = (f"--data_dir={folders}", "--dataset=class_folders", f"--crop={crop}", "--detector=face_api=x.tgz")
        assert run(out, *given, stages="data") == 0
        told = capsys.readouterr().err
        assert "no box of a face in" in told and "their central squares were kept" in told
        assert ("they were not turned" in told) == (crop == "eyes")
        record = json.loads((out / "data" / "pictures.json").read_text())
        assert (record["crop"], record["detector"]) == (crop, "face_api=x.tgz")
        assert "Faces were found by the detector face_api." in _of_pictures(out)
        # Simulated people aim at what the detector found, in the frame of the crop.
        with np.load(out / "data" / "pictures.npz") as arrays:
            found = arrays["validation_landmarks"]
        known = np.isfinite(found).all((1, 2))
        assert 0 < known.sum() < len(known) and np.isnan(found[~known]).all()
        if crop == "eyes":
            eyes = np.array([(0.375, 0.37), (0.625, 0.37)]) * 32 - 0.5
            np.testing.assert_allclose(found[known][:, [36, 42]], np.broadcast_to(eyes, (known.sum(), 2, 2)), atol=1e-3)
    assert run(tmp_path / "given", *given[:2], "--crop=box", stages="data") == 0
    assert "in 96 of 96 pictures; their central squares were kept (--detector=face_api=" in capsys.readouterr().err
    out = tmp_path / "square"
    assert run(out, f"--data_dir={folders}", "--dataset=class_folders", stages="data") == 0
    assert "each one's central square, scaled to 32 px" in capsys.readouterr().err
    assert "its central square, whatever that shows" in _of_pictures(out)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (
            ("--crop=eyes",),
            "`--crop`: goes with photographs read at once; of --dataset=procedural_faces they are drawn",
        ),
        (("--dataset=prepared", "--data_dir=x", "--detector=lbp"), "--dataset=prepared prepare_data cropped them"),
        (("--dataset=class_folders", "--data_dir=x", "--detector=lbp"), "got lbp with --crop=square"),
        (
            ("--data_dir=x",),
            "`--data_dir`: goes with --dataset=ferplus or fer2013 or affectnet or ckplus",
        ),
        (("--dataset=class_folders", "--data_dir=x", "--target=majority"), "`--target`: goes with --dataset=ferplus"),
        (
            ("--dataset=prepared", "--data_dir=x", "--max_reject_frac=0.1"),
            "`--max_reject_frac`: goes with --dataset=ferplus",
        ),
        (
            ("--dataset=prepared", "--data_dir=x", "--categories=happy,sad"),
            "`--categories`: goes with --dataset=procedural_faces or ferplus",
        ),
        (
            ("--dataset=ferplus", "--data_dir=x", "--faces=hard"),
            "goes with --dataset=procedural_faces, got --dataset=f",
        ),
    ],
)
def test_flags_that_do_not_fit_the_pictures(flags, told, tmp_path, capsys):
    assert run(tmp_path / "run", *flags) == 1
    assert told in capsys.readouterr().err
