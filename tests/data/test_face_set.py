"""A set of faces: what it accepts, how it is cut, weighed and identified."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_jax import data
from fer_jax.errors import DataError


@pytest.fixture
def faces():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (8, 5, 4, 3), np.uint8)
    names = [f"{row}.png" for row in range(8)]
    soft = np.eye(8, dtype=np.float32)
    return data.FaceSet(images, np.arange(8, dtype=np.int32), names, "train", soft, np.arange(8, dtype=np.int32))


def test_select_keeps_what_belongs_together(faces):
    part = faces.select([6, 1])
    assert len(part) == 2
    assert part.names.tolist() == ["6.png", "1.png"]
    assert part.labels.tolist() == part.rows.tolist() == part.soft_labels.argmax(1).tolist() == [6, 1]
    np.testing.assert_array_equal(part.images, faces.images[[6, 1]])
    assert len(faces.select([])) == 0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"images": np.zeros((8, 5, 4, 3), np.float32)}, "`images`"),
        ({"images": np.zeros((8, 5, 4, 1), np.uint8)}, "`images`"),
        ({"labels": np.zeros(7, np.int32)}, "`labels`"),
        ({"labels": np.full(8, 8, np.int32)}, "`labels`"),
        ({"labels": np.full(8, -1, np.int32)}, "`labels`"),
        ({"names": ["a"] * 8}, "`names`"),
        ({"soft_labels": np.zeros((8, 7), np.float32)}, "`soft_labels`"),
        ({"rows": np.zeros(3, np.int32)}, "`rows`"),
    ],
)
def test_what_does_not_fit_together_is_refused(faces, change, named):
    with pytest.raises(DataError, match=named):
        dataclasses.replace(faces, **change)


def test_a_picture_twice_is_refused(faces):
    with pytest.raises(DataError, match="wanted 2 different names, got 1"):
        faces.select([3, 3])


@given(counts=st.lists(st.integers(1, 1000), min_size=8, max_size=8))
def test_class_weights_average_to_one_and_balance_the_classes(counts):
    labels = np.repeat(np.arange(8), counts)
    weights = data.class_weights(labels)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights[labels].mean(), 1, rtol=1e-5)
    np.testing.assert_allclose(weights * counts, len(labels) / 8, rtol=1e-6)


def test_class_weights_of_affectnet():
    counts = np.array([74874, 134415, 25459, 14090, 6378, 3803, 24882, 3750])
    found = data.class_weights(np.repeat(np.arange(8), counts))
    wanted = [0.4802, 0.2675, 1.4123, 2.5519, 5.6376, 9.4547, 1.4451, 9.5884]
    np.testing.assert_allclose(found, wanted, atol=5e-5)


def test_class_weights_want_all_eight():
    with pytest.raises(DataError, match="got none of contempt"):
        data.class_weights(np.arange(7))


def test_fingerprint_knows_every_pixel_label_and_name(faces):
    same = dataclasses.replace(faces, images=np.asfortranarray(faces.images), split="other")
    assert data.fingerprint(same) == data.fingerprint(faces)
    assert len(data.fingerprint(faces)) == 64
    images, labels, names = faces.images.copy(), faces.labels.copy(), faces.names.copy()
    images[7, 4, 3, 2] ^= 1
    labels[[0, 1]] = labels[[1, 0]]
    names[0] = "x"
    changed = [dataclasses.replace(faces, **one) for one in ({"images": images}, {"labels": labels}, {"names": names})]
    changed += [
        dataclasses.replace(faces, images=faces.images.reshape(8, 4, 5, 3)),
        dataclasses.replace(faces, names=["0.png1.png", "", *faces.names[2:]]),
        faces.select(range(7)),
        faces.select([1, 0, *range(2, 8)]),
    ]
    assert len({data.fingerprint(one) for one in [faces, *changed]}) == 1 + len(changed)


def test_pictures_that_are_held_out_too_are_dropped_and_listed():
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (6, 4, 4, 3), np.uint8)
    labels = np.arange(6, dtype=np.int32)
    train = data.FaceSet(
        pictures[:5], labels[:5], [f"t{n}" for n in range(5)], "train", rows=np.arange(5, dtype=np.int32)
    )
    held = data.FaceSet(pictures[[1, 5, 1]], labels[[1, 5, 2]], ["v0", "v1", "v2"], "validation")
    test = data.FaceSet(pictures[[3]], labels[[5]], ["x0"], "test")
    nothing = pd.DataFrame(columns=list(data.REJECTED_COLUMNS))
    found = data.without_shared(data.Read({"train": train, "validation": held, "test": test}, nothing))
    assert found.splits["train"].names.tolist() == ["t0", "t2", "t4"]
    assert found.splits["validation"] is held and found.splits["test"] is test
    assert found.rejected.to_numpy().tolist() == [
        ["train", 1, "t1", "duplicate", "the same picture is in validation"],
        ["train", 3, "t3", "duplicate", "the same picture is in test as disgust"],
    ]
    assert found.left_out == {"train": {(1, "duplicate"): 1, (3, "duplicate"): 1}}
    alone = data.Read({"train": train}, nothing)
    assert data.without_shared(alone).splits["train"] is train
