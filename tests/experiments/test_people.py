"""The clicks of a run as one checked set: what fits is read, what is odd or hostile is refused in one line."""

import io
import json
import pathlib
import zipfile

import numpy as np
import pytest

from experiments import prepare_data
from experiments.config import StudyConfig, resolve
from experiments.harness import command
from experiments.study.people import click_set
from experiments.study.run_folder import FinishedFiles
from fer_jax import human
from fer_jax.errors import DataError, FerError, StorageError, UsageError
from fer_jax.expressions import EXPRESSIONS
from tests.human.clicks.test_dataset import SIZE, assert_equal

SIDE = "data/study-fer2afc_description-"


@pytest.fixture(scope="module")
def pictures(small_study):
    return np.random.default_rng(0).integers(0, 256, (len(small_study), SIZE, SIZE, 3), np.uint8)


@pytest.fixture
def run(small_cohort, small_study, pictures, tmp_path):
    """What a run leaves of its stages data, design and people: validation pictures in an order of their own."""
    place = tmp_path / "run"
    human.trials.write(place / "people", small_cohort)
    order = np.random.default_rng(2).permutation(len(small_study))
    for part in ("tables", "data"):
        (place / part).mkdir()
    small_study.assign(row=np.argsort(order)).to_csv(place / "tables" / "study_images.csv", index=False)
    nothing = {"images": pictures[:0], "labels": np.zeros(0, np.int32), "names": np.zeros(0, "U1")}
    validation = {
        "images": pictures[order],
        "labels": np.asarray([EXPRESSIONS.index(name) for name in small_study["true_label"]], np.int32)[order],
        "names": small_study["image"].to_numpy(str)[order],
    }
    splits = {"train": nothing, "validation": validation}
    arrays = {f"{split}_{name}": value for split, each in splits.items() for name, value in each.items()}
    np.savez(place / "data" / "pictures.npz", **arrays)
    config = resolve(StudyConfig(out=str(place), image_size=SIZE))
    (place / "run.json").write_text(json.dumps({"config": vars(config)}))
    return place


def refused(told, run, kind=FerError):
    with pytest.raises(kind, match=told) as found:
        click_set(str(run))
    assert "\n" not in str(found.value)


def test_a_run_is_the_set_of_its_tables_and_pictures(run, small_cohort, small_study, pictures):
    found = click_set(str(run))
    assert_equal(found, human.clicks.assemble(small_cohort, pictures, small_study))
    assert found.provenance.drawn and found.provenance.people == "simulated"
    assert (found.provenance.num_pictures, found.provenance.num_people) == (56, 6)


def test_grey_pictures_of_a_run(run, pictures):
    with np.load(run / "data" / "pictures.npz") as arrays:
        found = dict(arrays)
    np.savez(run / "data" / "pictures.npz", **found | {"validation_images": found["validation_images"][..., :1]})
    np.testing.assert_array_equal(click_set(str(run)).pictures, np.repeat(pictures[..., :1], 3, -1))


def test_neither_a_run_nor_pictures_beside_one(tmp_path, run, capsys):
    refused("which has no run.json", tmp_path, UsageError)
    argv = ["prepare_data", "--dataset=click_study", f"--manual_dir={run}", f"--images={tmp_path}"]
    options = [*argv, f"--data_dir={tmp_path / 'tfds'}"]
    assert command.run(prepare_data.main, prepare_data.PrepareConfig, usage="", argv=options) == 1
    assert f"`--images`: the run {run} brings its own pictures" in capsys.readouterr().err


def test_a_run_prepares_as_one_set(run, tmp_path, capsys):
    pytest.importorskip("array_record")
    argv = ["prepare_data", "--dataset=click_study", f"--manual_dir={run}", f"--data_dir={tmp_path / 'tfds'}"]
    assert command.run(prepare_data.main, prepare_data.PrepareConfig, usage="", argv=argv) == 0
    assert "simulated: all" in capsys.readouterr().out.splitlines()
    metadata = json.loads((tmp_path / "tfds" / "click_study" / "1.0.0" / "metadata.json").read_text())
    assert (metadata["synthetic"], metadata["participants"], metadata["images"]) == (True, 6, 56)


class Trap:
    """Pickled into an array; would make a file if anybody unpickled it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def arrays(run, **changes):
    with np.load(run / "data" / "pictures.npz") as found:
        kept = dict(found) | changes
    np.savez(run / "data" / "pictures.npz", **{name: value for name, value in kept.items() if value is not None})


@pytest.mark.parametrize("name", ["validation_images", "validation_names"])
def test_a_pickle_in_a_run_is_not_opened(run, tmp_path, name):
    trap = np.empty(56, object)
    trap[:] = [Trap(tmp_path / "sprung")] * 56
    arrays(run, **{name: trap})
    refused(r"pictures\.npz`: is damaged \(Object arrays cannot be loaded", run, StorageError)
    np.save(run / "data" / "pictures.npz", trap)
    (run / "data" / "pictures.npz.npy").rename(run / "data" / "pictures.npz")
    refused(r"pictures\.npz`: is damaged ", run, StorageError)
    assert not (tmp_path / "sprung").exists()


def bomb():
    """An npy header that claims a petabyte."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": (10**15,)})
    return buffer.getvalue()


def test_damaged_pictures_of_a_run(run):
    path = run / "data" / "pictures.npz"
    whole = path.read_bytes()
    arrays(run, validation_images=None)
    refused(r"pictures\.npz`: is damaged: it lacks 'validation_", run, StorageError)
    path.write_bytes(whole)
    arrays(run, validation_images=np.zeros((56, 8, 8, 3), np.float32))
    refused(r"wanted uint8 \(56, S, S, 3\), .* got float32 \(56, 8, 8, 3\)", run, DataError)
    path.write_bytes(whole)
    for changes in ({"validation_names": np.zeros(3, "U1")}, {"validation_images": np.zeros((3, 64, 64, 3), np.uint8)}):
        arrays(run, **changes)
        refused("a row of the 3 validation pictures, got others", run, StorageError)
        path.write_bytes(whole)
    for damaged in (
        whole[:-40],
        whole[: len(whole) // 2],
        b"",
        b"PK\x05\x06" + bytes(18),
        whole[:3000] + b"x" * 9 + whole[3009:],
    ):
        path.write_bytes(damaged)
        refused(r"pictures\.npz`: is damaged", run, StorageError)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("validation_images.npy", bomb())
        archive.writestr("validation_names.npy", bomb())
    with pytest.raises((StorageError, MemoryError)):
        click_set(str(run))
    path.unlink()
    refused(r"wanted a run whose stage data has ended, got .*, without data/pictures\.npz", run, UsageError)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("image,true_label\na,fear\n", "wanted image, true_label, false_label and a row of the 56 validation"),
        ("image,true_label,false_label,row\na,fear,sad,first\n", "a row of the 56 validation pictures, got others"),
        ("image,true_label,false_label,row\na,fear,sad,56\n", "a row of the 56 validation pictures, got others"),
        ("image,true_label,false_label,row\na,fear,sad,-1\n", "a row of the 56 validation pictures, got others"),
        ("image,true_label,false_label,row\na,fear,sad,3\n", "wanted 'a' as validation picture 3, got 'face_"),
        ("", "is damaged"),
        ('image,true_label,false_label,row\n"a,fear\n', "is damaged"),
        (b"\xff\xfe\x00image", "is damaged|wanted image"),
        (None, "wanted a run whose stage design has ended, got .*study_images"),
    ],
)
def test_damaged_study_tables_of_a_run(run, content, told):
    path = run / "tables" / "study_images.csv"
    path.unlink() if content is None else path.write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(told, run)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"config": 3}'])
def test_a_run_without_a_record(run, content):
    (run / "run.json").write_text(content)
    refused(r"run\.json`: cannot be read", run, StorageError)


def test_a_run_without_people(run):
    (run / f"people/{SIDE}clicks_data.csv").unlink()
    refused("wanted a study written by `human.trials.write`, got no file", run, DataError)


def test_a_run_says_its_categories(run):
    assert FinishedFiles(run).categories == click_set(str(run)).categories == EXPRESSIONS
    record = run / "data" / "pictures.json"
    record.write_text(json.dumps({"categories": list(EXPRESSIONS[:3])}))
    assert list(FinishedFiles(run).categories) == ["neutral", "happy", "sad"]
    refused("true_label: wanted one of neutral, happy, sad, got", run, DataError)
    assert click_set(str(run), categories=EXPRESSIONS).categories == EXPRESSIONS
    record.write_text("{")
    refused(r"data.pictures\.json`: is damaged", run, StorageError)
