"""Prepared sets by row and in batches: exact positions, balanced pairs, flat memory, no code of ours needed."""

import pathlib
import re
import shutil

import numpy as np
import pytest

from fer_jax import data
from fer_jax.data import prepared
from fer_jax.errors import DataError, StorageError, UsageError
from fer_jax.expressions import EXPRESSIONS
from tests.data import miniature
from tests.datasets.sets import build
from tests.datasets.test_photographs import write_study_set


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("prepared")
    return build("class_folders", write_study_set(root / "copy"), root / "tfds", dedupe=False).data_path


@pytest.fixture
def split(place):
    return data.PreparedSplit(place, "validation")


def test_rows_are_what_tfds_reads(place, split):
    source = prepared.open_prepared(place).as_data_source("validation")
    assert len(split) == len(source) == 96
    rows = np.array([5, 0, 95, 5])
    np.testing.assert_array_equal(split.images(rows), np.stack([source[int(row)]["image"] for row in rows]))
    np.testing.assert_array_equal(split.labels, [example["expression"] for example in source])
    assert split.labels.dtype == np.int32
    assert split[-1]["expression"] == source[95]["expression"]
    assert split.examples([7])[0]["file_name"] == source[7]["file_name"]


def test_labels_are_read_from_the_records_where_no_list_of_them_fits(place, tmp_path):
    part = data.PreparedSplit(place, "validation[10%:50%]+train")
    assert len(part.labels) == len(part)
    whole = data.PreparedSplit(place, "validation").labels
    np.testing.assert_array_equal(part.labels[:38], whole[10:48])


def test_sizes_and_workers(place):
    small = data.PreparedSplit(place, "train", size=20, workers=3)
    plain = data.PreparedSplit(place, "train")
    rows = np.arange(12)
    assert small.images(rows).shape == (12, 20, 20, 3)
    np.testing.assert_array_equal(small.images(rows)[3], data.square(plain.images([3])[0], 20))
    assert small.images([]).shape == (0, 20, 20, 3)


def test_landmarks_of_a_set_without_any_are_unknown(place):
    found = data.PreparedSplit(place, "train", size=20).landmarks([3, 0])
    assert found.shape == (2, 68, 2) and found.dtype == np.float32 and np.isnan(found).all()
    assert data.PreparedSplit(place, "train").landmarks([]).shape == (0, 68, 2)


def test_batches_show_every_picture_once_an_epoch(split):
    batches = data.Batches(split, batch_size=32, seed=1)
    assert batches.images_per_epoch == 96
    seen = [next(batches) for _ in range(6)]
    for epoch in (seen[:3], seen[3:]):
        assert sorted(np.concatenate([batch["row"] for batch in epoch])) == list(range(96))
    assert not np.array_equal(seen[0]["row"], seen[3]["row"])
    np.testing.assert_array_equal(seen[4]["image"], split.images(seen[4]["row"]))
    np.testing.assert_array_equal(seen[4]["label"], split.labels[seen[4]["row"]])


@pytest.mark.parametrize("undersample", ["fixed", "per_epoch"])
def test_a_pairs_batches_are_balanced_and_its_own(split, undersample):
    pair = EXPRESSIONS.pair_index(2, 5)
    batches = data.Batches(split, batch_size=24, seed=1, pair=pair, undersample=undersample)
    batch = next(batches)
    assert batch["label"].sum() == 12
    np.testing.assert_array_equal(split.labels[batch["row"]], np.asarray(EXPRESSIONS.pairs[pair])[batch["label"]])


@pytest.mark.parametrize("ahead", [0, 3])
def test_going_on_is_exact(split, ahead):
    unbroken = data.Batches(split, batch_size=10, seed=2, ahead=0)
    wanted = [next(unbroken)["row"] for _ in range(12)]
    first = data.Batches(split, batch_size=10, seed=2, ahead=ahead)
    for _ in range(7):
        next(first)
    state = first.state()
    assert state == {"step": 7, "images": 96, "batch_size": 10, "seed": 2, "pair": None, "undersample": "fixed"}
    second = data.Batches(split, batch_size=10, seed=2, ahead=ahead)
    next(second)
    second.restore(state)
    np.testing.assert_array_equal([next(second)["row"] for _ in range(5)], wanted[7:])
    other = data.Batches(split, batch_size=10, seed=3)
    with pytest.raises(StorageError, match="`state`: seed: wanted 3, got 2; it is of another stream"):
        other.restore(state)
    with pytest.raises(StorageError, match="`state`: step: wanted a whole number from 0, got None"):
        second.restore({**state, "step": None})


def test_one_pass_in_order_keeps_every_picture(split):
    batches = list(data.evaluation_batches(split, batch_size=40))
    assert [len(batch["image"]) for batch in batches] == [40, 40, 40]
    rows = np.concatenate([batch["row"][batch["weight"] == 1] for batch in batches])
    np.testing.assert_array_equal(rows, np.arange(96))
    assert batches[-1]["weight"].sum() == 16


def test_grain_reads_it(split):
    grain = pytest.importorskip("grain", reason="grain is an extra")
    pipeline = data.grain_source(split).shuffle(seed=1).batch(8)
    batch = pipeline[0]
    assert batch["image"].shape == (8, 64, 64, 3)
    assert len(pipeline) == 12
    assert isinstance(pipeline, grain.MapDataset)


def train(place, **options):
    return data.PreparedSplit(place, "train", **options)


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        (lambda place: data.PreparedSplit(place, "test"), UsageError, "`split`: wanted some of train, validation, got"),
        (lambda place: train(place, size=0), UsageError, "`size`: wanted a side in pixels, got 0"),
        (lambda place: train(place, size=1.5), UsageError, "`size`: wanted a side in pixels, got 1.5"),
        (lambda place: train(place).images([0.7]), UsageError, "`rows`: wanted whole numbers"),
        (lambda place: train(place).images([[0, 1]]), UsageError, "`rows`: wanted whole numbers"),
        (
            lambda place: data.Draw(train(place).labels, pair=None, seed=0, batch_size=1, undersample="x"),
            UsageError,
            "`u",
        ),
        (lambda place: train(place.parent).images([99]), IndexError, r"`rows`: wanted 0\.\.31"),
        (lambda place: train(place / "x"), DataError, "wanted a prepared set .a folder with"),
        (lambda place: data.Batches(train(place), batch_size=0, seed=0), UsageError, "`batch_size`"),
        (lambda place: data.Batches(train(place), batch_size=33, seed=0), UsageError, "at most the 32 pictures there"),
        (lambda place: data.Batches(train(place), batch_size=1, seed=-1), UsageError, "`seed`"),
        (lambda place: next(data.evaluation_batches(train(place), batch_size=0)), UsageError, "`batch_size`"),
    ],
    ids=range(12),
)
def test_wrong_calls(call, error, told, place):
    with pytest.raises(error, match=told):
        call(place)


class LongSplit:
    """450 thousand rows of one small picture, without a disk."""

    def __init__(self):
        self.labels = (np.arange(450_000) % 8).astype(np.int32)
        self.picture = np.zeros((16, 16, 3), np.uint8)

    def images(self, rows):
        return np.broadcast_to(self.picture, (len(rows), 16, 16, 3)).copy()


def test_memory_stays_flat_over_a_long_set():
    batches = data.Batches(LongSplit(), batch_size=64, seed=0)
    for _ in range(200):
        next(batches)
    before = _resident_kb()
    for _ in range(4800):
        next(batches)
    assert _resident_kb() - before < 50_000


def _resident_kb():
    """Now, not at most: a larger test before this one must not hide what it takes."""
    return int(re.search(r"VmRSS:\s+(\d+) kB", pathlib.Path("/proc/self/status").read_text())[1])


@pytest.mark.parametrize("damage", ["truncated", "garbage", "pickled", "of_another_set", "out_of_range"])
def test_a_list_of_labels_that_is_not_these_shards_is_passed_over(damage, place, tmp_path):
    copy = tmp_path / "1.0.0"
    shutil.copytree(place, copy)
    file, whole = copy / "expressions-train.npy", data.PreparedSplit(place, "train").labels
    content = file.read_bytes()
    if damage == "pickled":
        np.save(file, np.array([{}], object), allow_pickle=True)
    elif damage in ("of_another_set", "out_of_range"):
        np.save(file, np.full(len(whole), 2 if damage == "of_another_set" else 200, np.uint8))
    else:
        file.write_bytes(content[:20] if damage == "truncated" else b"garbage")
    np.testing.assert_array_equal(data.PreparedSplit(copy, "train").labels, whole)


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json"])
@pytest.mark.parametrize("content", [b"{", b"{}", b""])
def test_a_damaged_description_is_named(name, content, place, tmp_path):
    copy = tmp_path / "1.0.0"
    shutil.copytree(place, copy)
    (copy / name).write_bytes(content)
    with pytest.raises((StorageError, DataError)) as caught:
        data.PreparedSplit(copy, "train")
    assert "\n" not in str(caught.value) and str(copy) in str(caught.value)


def test_a_shard_that_was_damaged_is_named(tmp_path):
    root = miniature.write_folder(tmp_path / "copy", miniature.rows())
    from ferplus import ferplus_dataset_builder as ferplus

    builder = ferplus.Builder(source=root, data_dir=tmp_path / "tfds")
    builder.download_and_prepare()
    shard = next(builder.data_path.glob("*train.array_record*"))
    content = shard.read_bytes()
    place = content.index(b"IDAT") + 40
    silent = 0
    whole = data.PreparedSplit(builder.data_path, "train").images(range(7))
    for offset in range(20):
        shard.write_bytes(
            content[: place + offset] + bytes([content[place + offset] ^ 255]) + content[place + offset + 1 :]
        )
        try:
            found = data.PreparedSplit(builder.data_path, "train").images(range(7))
        except StorageError as error:
            assert "Build the set anew" in str(error)
            continue
        silent += not np.array_equal(found, whole)
    assert silent == 0
