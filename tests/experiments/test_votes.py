"""Networks that learn the shares of people's votes, from a small FER+ at once and prepared, and sets without votes."""

import json

import numpy as np
import pytest

from experiments import prepare_data, reproduce
from experiments.config import StudyConfig
from experiments.harness import command
from experiments.study.feed import Feed
from experiments.study.run import open_run
from experiments.study.train import batches_of, votes_of
from tests.data import miniature

THREE = {"happiness": 1, "sadness": 3, "anger": 4}  # columns of FER+
TINY = (
    "--image_size=32",
    "--per_ordered_pair=1",
    "--batch_size=8",
    "--max_images=16",
    "--model=tiny",
    "--learning_rate=1e-3",
    "--class_weights=sqrt",
)


def rows(*, certain=False):
    """Sixteen training and twelve validation pictures of each of three, named by ten people."""
    rng = np.random.default_rng(0)
    for usage, count in (("Training", 16), ("PublicTest", 12)):
        for place, column in enumerate(THREE.values()):
            for number in range(count):
                votes = [0] * 10
                stray = 0 if certain else number % 4
                votes[column] = 10 - stray
                votes[list(THREE.values())[(place + 1) % 3]] += stray // 2
                votes[8] += stray - stray // 2  # unknown
                name = f"fer{usage[0]}{place}{number:05d}.png"
                yield usage, name, tuple(votes), rng.integers(0, 256, (48, 48), np.uint8)


@pytest.fixture(scope="module")
def ferplus(tmp_path_factory):
    return miniature.write_folder(tmp_path_factory.mktemp("ferplus"), rows())


def run(out, *options, stages="data,design,members,multiclass"):
    argv = ["reproduce", f"--out={out}", f"--stages={stages}", *TINY, "--multiclass_epochs=1", *options]
    return command.run(reproduce.main, StudyConfig, usage="", argv=argv)


def arrays_of(out, name="ensemble"):
    return json.loads((out / name / "manifest.json").read_text())["arrays"]


@pytest.fixture(scope="module")
def voted(ferplus, tmp_path_factory):
    out = tmp_path_factory.mktemp("voted") / "run"
    assert run(out, "--dataset=ferplus", f"--data_dir={ferplus}") == 0
    return out


@pytest.fixture(scope="module")
def labelled(ferplus, tmp_path_factory):
    out = tmp_path_factory.mktemp("labelled") / "run"
    assert run(out, "--dataset=ferplus", f"--data_dir={ferplus}", "--targets=labels") == 0
    return out


def test_the_pictures_are_the_same_and_what_is_learnt_is_not(voted, labelled):
    ours, theirs = (np.load(out / "data" / "pictures.npz") for out in (voted, labelled))
    assert set(ours.files) - set(theirs.files) == {"train_votes"}
    for name in set(theirs.files) - {"_run"}:
        np.testing.assert_array_equal(ours[name], theirs[name])
    for network in ("ensemble", "multiclass"):
        assert arrays_of(voted, network) != arrays_of(labelled, network)


def test_members_see_shares_within_their_pair(voted):
    study = open_run(voted)
    train, categories = study.pictures("train"), study.categories
    assert list(categories) == ["happy", "sad", "anger"]
    np.testing.assert_allclose(train.votes.sum(1), 1, rtol=1e-6)
    # Of ten people one or two did not know. Of the rest one named another expression for half of the pictures.
    np.testing.assert_allclose(np.unique(train.votes.max(1)), [7 / 8, 8 / 9, 1], rtol=1e-6)
    for pair, (first, second) in enumerate(categories.pairs):
        seen = batches_of(study, pair, Feed(study.config, train)).first_epoch
        assert sorted(set(train.labels[seen])) == [first, second]
        shares = votes_of(study, pair)[seen]
        two = train.votes[seen][:, [first, second]]
        np.testing.assert_allclose(shares, two / two.sum(1, keepdims=True), rtol=1e-6)
        np.testing.assert_array_equal(shares.argmax(1), train.labels[seen] == second)
    assert votes_of(study, None) is train.votes


def test_a_prepared_set_of_votes_trains_the_same_networks(ferplus, voted, tmp_path, capsys):
    pytest.importorskip("array_record", reason="no array_record on this platform: the readers work without it")
    preparing = ["--dataset=ferplus", f"--manual_dir={ferplus}", f"--data_dir={tmp_path}", "--target=votes"]
    argv = ["prepare_data", *preparing]
    assert command.run(prepare_data.main, prepare_data.PrepareConfig, usage="", argv=argv) == 0
    path = next(tmp_path.rglob("dataset_info.json")).parent
    assert run(tmp_path / "run", "--dataset=prepared", f"--data_dir={path}", "--targets=votes") == 0
    ours, theirs = (open_run(out).pictures("train") for out in (tmp_path / "run", voted))
    np.testing.assert_array_equal(ours.votes, theirs.votes)
    assert arrays_of(tmp_path / "run") == arrays_of(voted)
    # Another folder's labels cannot be had from this one's votes.
    assert run(tmp_path / "run", "--dataset=prepared", f"--data_dir={path}") == 1
    assert "--targets was 'votes', is 'labels'" in capsys.readouterr().err


def test_sets_without_votes_are_refused(tmp_path, capsys):
    assert run(tmp_path / "drawn", "--targets=votes") == 1
    told = capsys.readouterr().err.strip()
    assert told.startswith("error: `--targets`: votes wants pictures that several people have named: --dataset=ferplus")
    assert told.count("\n") == 0 and "got --dataset=procedural_faces" in told
    certain = miniature.write_folder(tmp_path / "certain", rows(certain=True))
    assert run(tmp_path / "run", "--dataset=ferplus", f"--data_dir={certain}", "--targets=votes") == 1
    assert "have one label each. Give --targets=labels" in capsys.readouterr().err
