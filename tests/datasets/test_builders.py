"""TFDS builders without TensorFlow: build, read back, the same bytes each time."""

import hashlib
import json
import os
import subprocess

import cv2
import numpy as np
import pandas as pd
import pytest

from fer_jax import data, faces
from fer_jax.categories import Categories
from fer_jax.errors import DataError, UsageError
from fer_jax.expressions import EXPRESSIONS, LABEL_TABLES
from tests.data import miniature
from tests.datasets.sets import PREPARE_WITHOUT_TENSORFLOW, digests

tfds = pytest.importorskip("tensorflow_datasets")
pytest.importorskip("array_record", reason="no array_record on this platform: the readers work without it")

from ferplus import ferplus_dataset_builder as ferplus  # noqa: E402
from procedural_faces import procedural_faces_dataset_builder as procedural  # noqa: E402


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    root = tmp_path_factory.mktemp("ferplus")
    folder = miniature.write_folder(root / "data", miniature.rows())
    (folder / "FER2013Train" / "fer0000004.png").write_bytes(b"broken")
    return miniature.write_zip(root / "ferplus.zip", folder)


def build(builder):
    builder.download_and_prepare()
    return tfds.builder_from_directory(builder.data_path)


@pytest.fixture(scope="module", params=["plurality", "votes"])
def built(request, source, tmp_path_factory):
    place = tmp_path_factory.mktemp("tfds")
    builder = ferplus.Builder(config=request.param, source=source, data_dir=place, max_reject_frac=0.2)
    return build(builder), data.read("ferplus", source, target=request.param, max_reject_frac=0.2)


def test_ferplus_round_trip(built):
    builder, read = built
    assert builder.name == "ferplus"
    assert list(builder.info.splits) == ["train", "validation", "test"]
    for split, wanted in read.splits.items():
        source = builder.as_data_source(split)
        assert len(source) == len(wanted)
        for index, example in enumerate(source):
            np.testing.assert_array_equal(example["image"], wanted.images[index])
            assert example["expression"] == wanted.labels[index]
            expression = EXPRESSIONS[LABEL_TABLES["ferplus"][example["source_label"]]]
            assert expression == wanted.categories[wanted.labels[index]]
            assert example["file_name"].decode() == wanted.names[index]
            assert example["row"] == wanted.rows[index]
            assert example["content_hash"].decode() == hashlib.sha256(wanted.images[index].tobytes()).hexdigest()
            soft = (
                np.eye(len(wanted.categories))[wanted.labels[index]]
                if wanted.soft_labels is None
                else wanted.soft_labels[index]
            )
            np.testing.assert_array_equal(example["soft_label"], soft.astype(np.float32))
    assert builder.info.features["expression"].names == list(read.categories)
    assert len(builder.as_data_source("train[:2]")) == 2


def test_ferplus_leaves_an_account(built):
    builder, read = built
    pd.testing.assert_frame_equal(pd.read_csv(builder.data_path / "rejected.csv"), read.rejected)
    metadata = json.loads((builder.data_path / "metadata.json").read_text())
    assert metadata["rejected"]["train/not_image"] == 1
    assert len(metadata["fingerprint"]["train"]) == 64
    stored = sum(split.num_examples for split in builder.info.splits.values())
    assert stored + len(read.rejected) == 30


def test_procedural_faces_round_trip(tmp_path):
    config = procedural.ProceduralFacesConfig(
        name="tiny", preset="easy", image_size=48, seed=3, images={"train": 9, "validation": 8, "stimuli": 0}
    )
    builder = build(procedural.Builder(config=config, data_dir=tmp_path))
    assert list(builder.info.splits) == ["train", "validation"]
    assert builder.info.metadata["synthetic"] is True
    for index, example in enumerate(builder.as_data_source("train")):
        face = faces.render(faces.draw(3, "train", index, preset="easy", size=48))
        np.testing.assert_array_equal(example["image"], face.image)
        assert example["expression"] == face.label
        assert example["shown_expression"] == face.expression
        for name in ("soft_label", "landmarks"):
            np.testing.assert_array_equal(example[name], getattr(face, name))
        np.testing.assert_array_equal(example["action_units"], face.au)
        np.testing.assert_array_equal(example["landmarks_visible"], face.visible)
        np.testing.assert_array_equal(example["region_mask"][..., 0], faces.region_mask(face, 48))
        pose = example["pose"]
        assert [pose[name] for name in ("yaw", "pitch", "roll", "scale")] == pytest.approx(
            [face.pose.yaw, face.pose.pitch, face.pose.roll, face.pose.scale]
        )
        assert (pose["centre_x"], pose["centre_y"]) == pytest.approx(face.pose.centre)
        assert example["identity"] == face.identity_seed
        assert example["occluder"] == face.occluder
        assert example["row"] == index
    assert builder.info.metadata["regions"][1:] == list(faces.REGIONS)


def test_procedural_faces_of_some_expressions_have_labels_of_their_own(tmp_path):
    some = Categories(("fear", "neutral", "happy"))
    config = procedural.ProceduralFacesConfig(name="tiny", image_size=32, images={"train": 4}, categories=some)
    builder = build(procedural.Builder(config=config, data_dir=tmp_path))
    assert builder.info.features["expression"].names == list(some)
    examples = list(builder.as_data_source("train"))
    assert [example["expression"] for example in examples] == [0, 1, 2, 0]
    assert [example["soft_label"].argmax() for example in examples] == [0, 1, 2, 0]


def test_region_masks_are_stored_without_loss_as_one_channel(tmp_path):
    config = procedural.ProceduralFacesConfig(name="tiny", image_size=40, images={"train": 8})
    builder = build(procedural.Builder(config=config, data_dir=tmp_path))
    raw = builder.as_data_source("train", decoders={"region_mask": tfds.decode.SkipDecoding()})[5]["region_mask"]
    assert raw[:8] == b"\x89PNG\r\n\x1a\n" and raw[24:26] == b"\x08\x00", "eight bits, grey"
    drawn = faces.render(faces.draw(0, "train", 5, size=40))
    np.testing.assert_array_equal(
        cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_UNCHANGED), faces.region_mask(drawn, 40)
    )


def test_shards_do_not_depend_on_the_number_of_workers(tmp_path):
    images = {"train": 40, "validation": 20, "stimuli": 3}
    contents = []
    for workers in (None, 2):
        config = procedural.ProceduralFacesConfig(name="tiny", image_size=32, images=images)
        place = tmp_path / str(workers)
        builder = procedural.Builder(config=config, data_dir=place, workers=workers)
        builder.download_and_prepare()
        contents.append({path.relative_to(place): path.read_bytes() for path in place.rglob("*") if path.is_file()})
    assert contents[0] == contents[1]
    assert sum("array_record" in path.name for path in contents[0]) == 3


def test_a_fault_in_a_worker_leaves_no_half_set(tmp_path):
    config = procedural.ProceduralFacesConfig(name="tiny", image_size=8, images={"train": 40})
    with pytest.raises(UsageError, match="`size`: wanted at least 32 pixels, got 8"):
        procedural.Builder(config=config, data_dir=tmp_path, workers=2).download_and_prepare()
    assert not [path for path in tmp_path.rglob("*") if path.name == "2.0.0"]


def test_every_preset_has_a_config_of_two_sizes():
    configs = procedural.Builder.builder_configs
    assert set(configs) == {*faces.PRESETS, *(f"{name}_96px" for name in faces.PRESETS)}
    for name, config in configs.items():
        assert config.preset == name.removesuffix("_96px")
        assert config.image_size == (96 if name.endswith("_96px") else 224)
        assert config.images == {"train": 8_000, "validation": 1_600, "stimuli": 8 * 7 * 5}
    with pytest.raises(UsageError, match="`images`: wanted numbers for some of train, validation, stimuli"):
        config = procedural.ProceduralFacesConfig(name="odd", images={"holdout": 3})
        procedural.Builder(config=config)._split_generators(None)


def test_only_array_record():
    with pytest.raises(UsageError, match="`file_format`: wanted array_record, got 'parquet'"):
        procedural.Builder(file_format="parquet")


def test_faults_end_in_our_words_and_leave_no_half_set(source, tmp_path):
    with pytest.raises(DataError, match="train cannot be used"):
        build(ferplus.Builder(source=source, data_dir=tmp_path))
    with pytest.raises(DataError, match=r"`manual_dir`: no ferplus there. Give one of a zip or folder"):
        build(ferplus.Builder(data_dir=tmp_path))
    assert not [path for path in tmp_path.rglob("*") if "1.0.0" in path.name]


def test_manual_dir_is_read_too(tmp_path):
    miniature.write_folder(tmp_path / "manual", miniature.rows())
    builder = ferplus.Builder(config="majority", data_dir=tmp_path / "tfds")
    download = tfds.download.DownloadConfig(manual_dir=tmp_path / "manual")
    builder.download_and_prepare(download_config=download)
    assert builder.info.splits["train"].num_examples == 6
    assert len(builder.info.features["expression"].names) < 8  # those of the copy
    again = ferplus.Builder(config="majority", data_dir=tmp_path / "tfds")
    for one in (builder, again, tfds.builder_from_directory(builder.data_path)):
        names = one.info.features["expression"].names
        assert names == builder.info.features["expression"].names
        assert [row["soft_label"].shape for row in one.as_data_source("train")] == [(len(names),)] * 6


@pytest.mark.parametrize("dataset", ["ferplus", "procedural_faces"])
def test_two_processes_build_the_same_bytes_without_tensorflow(dataset, source, tmp_path, root):
    options = {
        "ferplus": [f"--manual_dir={source}", "--max_reject_frac=.2"],
        "procedural_faces": ["--train_images=8", "--validation_images=8", "--stimuli_images=0", "--image_size=32"],
    }[dataset]
    built = []
    for number in range(2):
        place = tmp_path / str(number)
        subprocess.run(
            [*PREPARE_WITHOUT_TENSORFLOW, f"--dataset={dataset}", f"--data_dir={place}", *options],
            check=True,
            capture_output=True,
            cwd=root,
            env=os.environ | {"PYTHONHASHSEED": str(number)},
        )
        built.append(digests(place))
    assert built[0] == built[1]
    assert any("array_record" in path.name for path in built[0])
