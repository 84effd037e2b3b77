import numpy as np
import pytest

from fer_jax import faces
from fer_jax.categories import Categories
from fer_jax.errors import UsageError
from fer_jax.expressions import EXPRESSIONS


def test_a_batch_is_its_pictures_in_the_order_asked():
    images, labels = faces.render_batch(4, "validation", [9, 2, 5], size=48)
    assert images.shape == (3, 48, 48, 3) and images.dtype == np.uint8 and labels.dtype == np.int32
    assert labels.tolist() == [1, 2, 5]
    for image, index in zip(images, (9, 2, 5), strict=True):
        np.testing.assert_array_equal(image, faces.render(faces.draw(4, "validation", index, size=48)).image)


def test_workers_do_not_change_a_byte():
    indices = range(70)
    alone = faces.render_batch(0, "train", indices, size=32)
    together = faces.render_batch(0, "train", indices, size=32, workers=2)
    np.testing.assert_array_equal(alone[0], together[0])
    np.testing.assert_array_equal(alone[1], together[1])


def test_nothing_asked_is_nothing_drawn():
    images, labels = faces.render_batch(0, "train", [], size=40)
    assert images.shape == (0, 40, 40, 3) and labels.shape == (0,)


def test_no_worker_is_refused():
    with pytest.raises(UsageError, match="`workers`: wanted at least 1, or None, got 0"):
        faces.render_batch(0, "train", [0], workers=0)


def test_labels_of_some_expressions_are_indices_into_them():
    some = Categories(("contempt", "sad"))
    images, labels = faces.render_batch(4, "train", range(3), size=32, categories=some)
    assert labels.tolist() == [0, 1, 0]
    known = faces.render(faces.draw(4, "train", 1, size=32, expression=EXPRESSIONS.index("sad")))
    np.testing.assert_array_equal(images[1], known.image)
