"""The builders of photographs: every layout, what is stored, study images held out, duplicates, faults, kills."""

import json
import os
import signal
import subprocess
import time
import zipfile

import numpy as np
import pandas as pd
import pytest

from fer_jax import data, frame
from fer_jax.data.listing import Quality
from fer_jax.errors import DataError, UsageError
from fer_jax.expressions import EXPRESSIONS
from tests.data import affectnet_copies as copies
from tests.data import faults, miniature
from tests.data.sources.test_other_sets import write_ckplus, write_rafdb
from tests.datasets.sets import BUILDERS, PREPARE_WITHOUT_TENSORFLOW, build, digests, tfds

LAYOUTS = {
    "original": ("affectnet", "original", copies.write_original, {"train": 8, "validation": 8}, 6),
    "set8": ("affectnet", "set8", copies.write_arrays, {"train": 8, "validation": 8}, 0),
    "folders": (
        "affectnet",
        "folders",
        lambda root: copies.write_folders(root, names=True),
        {"train": 8, "validation": 8},
        0,
    ),
    "named": ("affectnet", "named", copies.write_named, {"train": 8, "validation": 8}, 0),
    "relabelled": ("affectnet", "relabelled", copies.write_relabelled, {"train": 8}, 0),
    "ckplus": ("ckplus", "apex", lambda root: write_ckplus(root, people=40), {"train": 60, "validation": 4}, 8),
    "rafdb": ("rafdb", "aligned", write_rafdb, {"train": 7, "test": 7}, 0),
    "class_folders": (
        "class_folders",
        "named",
        lambda root: copies.write_folders(root, names=True),
        {"train": 8, "validation": 8},
        0,
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_built_and_read_back_without_our_code(layout, tmp_path):
    dataset, config, write, wanted, rejected = LAYOUTS[layout]
    root = write(tmp_path / "copy") or tmp_path / "copy"
    builder = build(dataset, root, tmp_path / "tfds", config=config)
    read = data.read(builder.name, root, size=copies.SIDE, crop="square")
    assert {split: info.num_examples for split, info in builder.info.splits.items()} == wanted
    for split, faces in read.splits.items():
        for index, example in enumerate(builder.as_data_source(split)):
            np.testing.assert_array_equal(example["image"], faces.images[index])
            assert example["expression"] == faces.labels[index]
            assert example["file_name"].decode() == str(faces.names[index])
            assert example["soft_label"].sum() == 1
    table = pd.read_csv(builder.data_path / "rejected.csv")
    assert len(table) == len(read.rejected) == rejected
    assert builder.info.metadata["release"].startswith(dataset.replace("class_folders", "folders"))


def test_grey_photographs_keep_their_bytes_and_are_read_with_three_channels(tmp_path):
    for label, name in enumerate(EXPRESSIONS):
        (tmp_path / "copy" / name).mkdir(parents=True)
        (tmp_path / "copy" / name / "a.jpg").write_bytes(faults.encoded(faults.grey(copies.picture(label)), ".jpg"))
    builder = build("class_folders", tmp_path / "copy", tmp_path / "tfds")
    skip = builder.as_data_source("train", decoders={"image": tfds.decode.SkipDecoding()})
    prepared = data.PreparedSplit(builder.data_path, "train")
    for row, (example, raw) in enumerate(zip(builder.as_data_source("train"), skip, strict=True)):
        content = (tmp_path / "copy" / example["file_name"].decode()).read_bytes()
        assert raw["image"] == content
        np.testing.assert_array_equal(example["image"], data.decode(content))
        np.testing.assert_array_equal(prepared[row]["image"], data.decode(content))
        assert Quality(int(example["quality"])) == Quality.WAS_GREY


def test_numbered_folders_are_built_with_the_table_that_is_named(tmp_path):
    root = copies.write_folders(tmp_path / "copy")
    with pytest.raises(DataError, match="'0' is a number; say whose numbering it is with `label_table`"):
        build("affectnet", root, tmp_path / "tfds", config="folders")
    options = {"release": "folders", "label_table": "affectnet"}
    builder = build("affectnet", root, tmp_path / "tfds", config="folders", options=options)
    assert builder.info.config_name == "folders_label_tableaffectnet"
    assert [example["expression"] for example in builder.as_data_source("train")] == list(range(8))


def test_progress_is_of_all_rows(tmp_path):
    root, told = write_study_set(tmp_path / "copy"), []
    module = BUILDERS["class_folders"].Builder
    builder = module(
        config=module.BUILDER_CONFIGS[0].variant(stimuli="seeded"),
        source=root,
        data_dir=tmp_path / "tfds",
        workers=1,
        progress=lambda done: told.append((done, builder.in_all)),
    )
    builder.download_and_prepare()
    surveyed, rows = 12 * 8, 16 * 8  # study images are chosen from validation first, then all is stored
    assert told == [(done, surveyed) for done in range(1, surveyed + 1)] + [(done, rows) for done in range(1, rows + 1)]


def test_box_landmarks_and_affect_are_stored_after_the_crop(tmp_path):
    copies.write_original(tmp_path / "copy")
    builder = build("affectnet", tmp_path / "copy", tmp_path / "tfds", crop="box", image_size=40)
    example = builder.as_data_source("train")[1]
    crop = data.crop_box(copies.picture(1), copies.FACE, size=40, margin=1.25)
    np.testing.assert_array_equal(example["image"], crop.image)
    np.testing.assert_allclose(example["landmarks"], frame.transform(copies.landmarks(), crop.matrix), atol=0.01)
    left, top, width, height = frame.transform_box(copies.FACE, crop.matrix)
    box = np.array([top, left, top + height, left + width]) / 40
    np.testing.assert_allclose(example["bbox"], box, atol=1e-6)
    assert (example["valence"], example["arousal"]) == (0.5, np.float32(0.1))
    assert example["quality"] == Quality.RE_ENCODED
    assert example["release"] == b"affectnet original" and example["crop"] == b"box"
    metadata = builder.info.metadata
    assert (metadata["crop"], metadata["image_size"], metadata["exif"]) == ("box", 40, "source")
    assert (
        metadata["differs_from_published"]["train"][1]
        == "happy: 1 of 134416 published; left out: none; 134415 not listed"
    )


def test_what_is_odd_is_listed_beside_the_shards(tmp_path):
    odd = copies.line("2/0001.jpg", 1)
    odd[1] = "NULL"
    root = copies.write_original(tmp_path / "copy", split_rows={"training.csv": [odd]})
    builder = build("affectnet", root, tmp_path / "tfds")
    flagged = pd.read_csv(builder.data_path / "flagged.csv").query("split == 'train' and row == 11").iloc[0]
    assert flagged["flags"] == "bad_box"  # another face of the same picture is no duplicate
    assert flagged.detail == "Manually_Annotated_file_lists/training.csv:13:face_x: wanted a number, got 'NULL'"
    example = builder.as_data_source("train")[8]
    np.testing.assert_array_equal(example["bbox"], [0, 0, 1, 1])


def write_study_set(root):
    """Twelve validation pictures of each expression, four to train on, two of which are in validation, too."""
    for label, name in enumerate(EXPRESSIONS):
        for number in range(12):
            copies.write_picture(
                root / "val" / name / f"v{label}_{number}.png", copies.picture(1000 + 20 * label + number)
            )
        for number in range(4):
            seed = 1000 + 20 * label + number if number < 2 else 20 * label + number
            copies.write_picture(root / "train" / name / f"t{label}_{number}.png", copies.picture(seed))
    return root


def test_a_stand_in_study_is_held_out(tmp_path):
    builder = build("class_folders", write_study_set(tmp_path / "copy"), tmp_path / "tfds", stimuli="seeded", seed=3)
    splits = {split: info.num_examples for split, info in builder.info.splits.items()}
    assert splits == {"train": 16, "validation_minus_stimuli": 40, "stimuli": 56}
    assert builder.info.metadata["stimuli"] == "stand-in drawn by seed 3, 1 for each ordered pair"
    table = pd.read_csv(builder.data_path / "stimuli.csv")
    assert table.groupby(["true_label", "false_label"]).size().tolist() == [1] * 56
    shown = {example["file_name"].decode(): example for example in builder.as_data_source("stimuli")}
    assert set(table.image) == set(shown)
    for image, true in zip(table.image, table.true_label, strict=True):
        assert EXPRESSIONS[shown[image]["expression"]] == true
    rest = {example["file_name"].decode() for example in builder.as_data_source("validation_minus_stimuli")}
    assert not rest & set(shown) and len(rest) == 40
    assert len(builder.as_data_source("validation_minus_stimuli+stimuli")) == 96
    again = build("class_folders", tmp_path / "copy", tmp_path / "again", stimuli="seeded", seed=3)
    other = build("class_folders", tmp_path / "copy", tmp_path / "other", stimuli="seeded", seed=4)
    assert (again.data_path / "stimuli.csv").read_text() == (builder.data_path / "stimuli.csv").read_text()
    assert (other.data_path / "stimuli.csv").read_text() != (builder.data_path / "stimuli.csv").read_text()


def test_a_researchers_list_is_held_out(tmp_path):
    root = write_study_set(tmp_path / "copy")
    seeded = build("class_folders", root, tmp_path / "seeded", stimuli="seeded")
    table = pd.read_csv(seeded.data_path / "stimuli.csv")[["image", "true_label", "false_label"]]
    table.loc[0, "image"] = table.loc[0, "image"].rpartition("/")[2]  # a unique file name will do
    table.to_csv(tmp_path / "images.csv", index=False)
    listed = build("class_folders", root, tmp_path / "listed", stimuli=str(tmp_path / "images.csv"))
    assert listed.info.metadata["stimuli"] == "list images.csv"
    wanted = pd.read_csv(seeded.data_path / "stimuli.csv").sort_values("row", ignore_index=True)
    found = pd.read_csv(listed.data_path / "stimuli.csv").sort_values("row", ignore_index=True)
    pd.testing.assert_frame_equal(found, wanted)


@pytest.mark.parametrize(
    ("row", "column", "value", "told"),
    [
        (0, "image", "gone.png", r"images.csv:2:image: wanted once in validation, found 0 times: 'gone.png'"),
        (3, "image", "train/happy/t1_2.png", r"images.csv:5:image: wanted once in validation, found 0 times"),
        (1, "image", "v7_10.png", r"images.csv:3:true_label: wanted contempt, as the source says, got neutral"),
        (2, "false_label", "bored", r"images.csv:4:false_label: wanted one of neutral, happy, .* got 'bored'"),
        (2, "false_label", "neutral", r"row 2: wanted a foil that differs from the truth, got neutral twice"),
    ],
    ids=range(5),
)
def test_lists_that_do_not_fit(row, column, value, told, tmp_path):
    root = write_study_set(tmp_path / "copy")
    rows = []
    for true, name in enumerate(EXPRESSIONS):
        foils = [foil for foil in EXPRESSIONS if foil != name]
        rows += [(f"v{true}_{number}.png", name, foil) for number, foil in enumerate(foils)]
    table = pd.DataFrame(rows, columns=["image", "true_label", "false_label"])
    table.loc[row, column] = value
    table.to_csv(tmp_path / "images.csv", index=False)
    with pytest.raises(DataError, match=told) as caught:
        build("class_folders", root, tmp_path / "tfds", stimuli=str(tmp_path / "images.csv"))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("*.array_record*"))


def test_a_list_as_people_write_it(tmp_path):
    """Aliases, blanks, Windows' line ends and paths, a byte order mark."""
    root = write_study_set(tmp_path / "copy")
    seeded = build("class_folders", root, tmp_path / "seeded", stimuli="seeded")
    table = pd.read_csv(seeded.data_path / "stimuli.csv")
    words = {"happy": "Happiness", "anger": " angry", "neutral": "NEUTRAL "}
    lines = ["\ufeffImage, True_Label,false_label"]
    for image, true, false in zip(table.image, table.true_label, table.false_label, strict=True):
        name = image.replace("/", "\\") if true == "fear" else f"./{image}"
        lines.append(f"{name},{words.get(true, true)},{words.get(false, false)}")
    (tmp_path / "images.csv").write_bytes("\r\n".join(lines).encode())
    listed = build("class_folders", root, tmp_path / "listed", stimuli=str(tmp_path / "images.csv"))
    assert listed.info.splits["stimuli"].num_examples == 56


def test_equal_pictures_in_test_and_validation_are_told(tmp_path):
    root = write_rafdb(tmp_path / "copy")
    for number in range(3):
        source = root / "Image" / "aligned" / f"train_{number + 1:05d}_aligned.jpg"
        (root / "Image" / "aligned" / f"test_{number + 1:05d}_aligned.jpg").write_bytes(source.read_bytes())
    kept = build("rafdb", root, tmp_path / "kept", dedupe=False)
    assert kept.info.metadata["duplicates"] == {"train": {"test": 3}, "test": {}}
    dropped = build("rafdb", root, tmp_path / "dropped")
    assert {split: info.num_examples for split, info in dropped.info.splits.items()} == {"train": 4, "test": 7}


def test_names_that_are_no_utf8(tmp_path):
    root = write_study_set(tmp_path / "copy")
    for split, label in (("train", 1), ("val", 2)):
        raw = os.fsencode(root / split / EXPRESSIONS[label]) + b"/caf\xe9.png"
        with open(raw, "wb") as stream:
            stream.write(faults.encoded(copies.picture(7000 + label)))
    builder = build("class_folders", root, tmp_path / "tfds", stimuli="seeded")
    names = {example["file_name"].decode() for example in builder.as_data_source("train")}
    assert "train/happy/caf\\xe9.png" in names
    assert sum(split.num_examples for split in builder.info.splits.values()) == 16 + 96 + 2


def test_study_images_want_a_list_and_a_validation_split(tmp_path):
    with pytest.raises(
        UsageError, match=r"`stimuli`: wanted a csv with image,true_label,false_label, or seeded, got no"
    ):
        build("class_folders", write_study_set(tmp_path / "copy"), tmp_path / "tfds", stimuli="nowhere.csv")
    with pytest.raises(UsageError, match="`stimuli`: rafdb basic aligned has no validation split"):
        build("rafdb", write_rafdb(tmp_path / "rafdb"), tmp_path / "tfds", stimuli="seeded")


def test_pictures_that_are_in_validation_too_are_counted_and_dropped_or_flagged_when_asked(tmp_path):
    root = write_study_set(tmp_path / "copy")
    kept = build("class_folders", root, tmp_path / "kept", dedupe=False)
    assert kept.data_path.parent.name == "named_nodedupe"
    assert kept.info.metadata["duplicates"]["train"] == {"validation": 16}
    flags = [Quality(int(example["quality"])) for example in kept.as_data_source("train")]
    assert sum(Quality.DUPLICATE in one for one in flags) == 16
    dropped = build("class_folders", root, tmp_path / "dropped")
    assert dropped.info.splits["train"].num_examples == 16
    assert dropped.info.metadata["rejected"] == {"train/duplicate": 16}
    assert (pd.read_csv(dropped.data_path / "rejected.csv").detail == "the same picture is in validation").all()


def test_equal_pictures_with_two_labels_are_told_apart(tmp_path):
    root = write_study_set(tmp_path / "copy")
    for name, seed in (("sad/x.png", 1000), ("fear/y.png", 20 * 7 + 3)):  # of validation's neutral, train's contempt
        copies.write_picture(root / "train" / name, copies.picture(seed))
    builder = build("class_folders", root, tmp_path / "tfds", dedupe=False)
    assert builder.info.metadata["labelled_otherwise"] == {"train": 2, "validation": 0}
    flagged = pd.read_csv(builder.data_path / "flagged.csv").dropna(subset="detail").set_index("path").detail
    assert flagged["train/sad/x.png"] == "the same picture is in validation as neutral"
    assert flagged["train/fear/y.png"] == "the same picture is in train as contempt"  # the later of two, by name


def test_counts_are_compared_with_the_study_images_put_back(tmp_path, monkeypatch):
    root = write_study_set(tmp_path / "copy")
    monkeypatch.setitem(data.published.PUBLISHED, "folders", {"validation": (12,) * 8})
    builder = build("class_folders", root, tmp_path / "tfds", stimuli="seeded")
    assert builder.info.metadata["differs_from_published"]["validation_minus_stimuli"] == []


def test_too_much_damage_leaves_nothing_but_its_account(tmp_path):
    root = copies.write_folders(tmp_path / "copy", names=True)
    (root / "train" / "SURPRISE" / "3.jpg").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"1 of 8 rows of train cannot be used .* All of them: .*-folders-rejected.csv"):
        build("affectnet", root, tmp_path / "tfds", config="folders", max_reject_frac=0.01)
    assert not list((tmp_path / "tfds").rglob("*1.0.0*"))
    table = pd.read_csv(tmp_path / "tfds" / "affectnet-folders-rejected.csv")
    assert (table.path[0], table.reason[0]) == ("train/SURPRISE/3.jpg", "not_image")
    builder = build("affectnet", root, tmp_path / "tfds", config="folders", max_reject_frac=0.2)
    assert pd.read_csv(builder.data_path / "rejected.csv").path[0] == "train/SURPRISE/3.jpg"
    assert not list((tmp_path / "tfds").glob("*rejected.csv"))  # it was the refused build's


@pytest.mark.parametrize("kind", ["face_api=", "yunet="])
def test_sets_are_told_apart_by_the_content_of_their_detectors_file(kind, tmp_path):
    base, names = BUILDERS["class_folders"].Builder.BUILDER_CONFIGS[0], []
    for folder, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file").write_bytes(content)
        names.append(base.variant(detector=f"{kind}{tmp_path / folder / 'file'}").name)
    assert names[0] == names[1] != names[2]


def test_a_list_whose_pictures_are_nowhere_ends_early_and_one_that_begins_with_dropped_rows_does_not(tmp_path):
    good = [copies.line("2/0001.jpg", 1, box=(number % 20, 10, 30, 30)) for number in range(30)]
    dropped = [copies.line("9/0008.jpg", 8)] * 1100
    rows = {"validation.csv": [], "training.csv": [*dropped, *good]}
    root = copies.write_original(tmp_path / "sorted", split_rows=rows)
    path = root / "Manually_Annotated_file_lists" / "training.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *lines[12:]]))  # the dropped ones come first
    assert build("affectnet", root, tmp_path / "a").info.splits["train"].num_examples == 30
    gone = [copies.line(f"1/{number}.jpg", 1) for number in range(3000)]
    lost = copies.write_original(tmp_path / "lost", split_rows={"training.csv": gone})
    with pytest.raises(DataError, match=r"\d+ of 1000 rows of train cannot be used \(\d+ missing\)"):
        build("affectnet", lost, tmp_path / "b", max_reject_frac=0.01)


@pytest.mark.parametrize("name", ["../evil.png", "/evil.png", "train/../../evil.png", "C:\\evil.png"])
def test_zips_that_lead_out_are_refused_whole(name, tmp_path):
    path = miniature.write_zip(tmp_path / "x.zip", copies.write_folders(tmp_path / "copy", names=True), prefix="")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"evil")
    with pytest.raises(DataError, match=r"which (leads out of its folder|is an absolute name). Nothing was read"):
        build("class_folders", path, tmp_path / "tfds")
    assert not list(tmp_path.rglob("evil*"))


def run_build(root, place, *options, workers=1, env=None):
    arguments = [f"--manual_dir={root}", f"--data_dir={place}", f"--workers={workers}", "--max_reject_frac=1", *options]
    return subprocess.Popen(
        [*PREPARE_WITHOUT_TENSORFLOW, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | (env or {}),
    )


def test_the_number_of_workers_changes_no_byte(tmp_path):
    root = copies.write_original(tmp_path / "copy", each=6)
    found = []
    for workers in (1, 8):
        place = tmp_path / str(workers)
        options = ("--dataset=affectnet", "--crop=box", "--image_size=48")
        done = run_build(root, place, *options, workers=workers, env={"PYTHONHASHSEED": str(workers)})
        assert done.wait() == 0, done.stderr.read()
        done.communicate()
        found.append(digests(place))
    assert found[0] == found[1]
    assert any("array_record" in path.name for path in found[0])


def killed_builds(root, tmp_path, times):
    """Builds killed after a part of the time that a whole one takes; whether any half set was ever visible."""
    options = ("--dataset=class_folders", "--crop=square", "--image_size=48")
    env = {"SHARD_BYTES": "100000"}
    start = time.monotonic()
    whole = run_build(root, tmp_path / "whole", *options, env=env)
    assert whole.wait() == 0
    whole.communicate()
    wanted, seconds = digests(tmp_path / "whole"), time.monotonic() - start
    killed = 0
    for number in range(times):
        place = tmp_path / f"killed{number}"
        process = run_build(root, place, *options, env=env)
        cue = place / "class_folders"
        while not cue.is_dir() and process.poll() is None:
            time.sleep(0.005)
        time.sleep(0.3 * seconds * number / times)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        process.communicate()
        visible = list(place.rglob("[0-9]*.[0-9]*.[0-9]*/dataset_info.json"))
        if visible:  # the kill came after the last rename
            assert digests(place) == wanted
        else:
            with pytest.raises(DataError, match="wanted a prepared set"):
                data.open_prepared(place)
        again = run_build(root, place, *options, env=env)
        assert again.wait() == 0
        again.communicate()
        assert digests(place) == wanted, "leftovers, or another set"
    return killed


@pytest.mark.slow
def test_twenty_killed_builds(tmp_path):
    root = write_study_set(tmp_path / "copy")
    for label, name in enumerate(EXPRESSIONS):
        for number in range(100):
            copies.write_picture(
                root / "train" / name / f"more{number}.png", copies.picture(5000 + 100 * label + number)
            )
    assert killed_builds(root, tmp_path, 20) >= 15


def write_faulty(root, *, files, share, seed=0):
    """Class folders of tiny pictures, a share of which has one of 25 faults; how many of each."""
    rng = np.random.default_rng(seed)
    kinds = list(faults.KINDS)
    made = dict.fromkeys(kinds, 0)
    bad = {
        int(number): kinds[place % 25] for place, number in enumerate(rng.permutation(files)[: round(share * files)])
    }
    rows = []
    for number in range(files):
        label = number % 8
        path = root / "Manually_Annotated_Images" / str(label) / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        small = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
        kind = bad.get(number)
        content = faults.encoded(small) if kind is None else faults.KINDS[kind].make(small)
        if kind is not None:
            made[kind] += 1
        if content is not None:
            path.write_bytes(content)
        rows.append(copies.line(f"{label}/{number}.jpg", label, box=(2, 2, 10, 10)))
    copies.write_csv(root / "training.csv", rows)
    return made


def check_faulty(root, place, files, made):
    builder = build("affectnet", root, place, max_reject_frac=1.0)
    stored, table = builder.info.splits["train"].num_examples, pd.read_csv(builder.data_path / "rejected.csv")
    assert stored + len(table) == files
    wanted = {}
    for kind, count in made.items():
        reason = faults.KINDS[kind].reason
        if reason and count:
            wanted[reason] = wanted.get(reason, 0) + count
    assert table.reason.value_counts().to_dict() == wanted
    assert json.loads((builder.data_path / "metadata.json").read_text())["rejected"] == {
        f"train/{reason}": count for reason, count in sorted(wanted.items())
    }
    return stored


def test_every_kind_of_fault_among_500_files(tmp_path):
    made = write_faulty(tmp_path / "copy", files=500, share=0.05)
    assert set(made.values()) == {1}
    check_faulty(tmp_path / "copy", tmp_path / "tfds", 500, made)


@pytest.mark.slow
def test_ten_thousand_files_with_one_in_a_hundred_faulty(tmp_path):
    made = write_faulty(tmp_path / "copy", files=10_000, share=0.01)
    assert set(made.values()) == {4}
    assert check_faulty(tmp_path / "copy", tmp_path / "tfds", 10_000, made) == 10_000 - 4 * 15


def test_every_builder_has_its_papers():
    for name, module in BUILDERS.items():
        builder = module.Builder
        assert builder.SOURCE in data.SOURCES
        assert builder.DESCRIPTION and "Give" in builder.MANUAL_DOWNLOAD_INSTRUCTIONS
        folder = os.path.dirname(module.__file__)
        assert {"README.md", "TAGS.txt", "CITATIONS.bib"} <= set(os.listdir(folder)), name
