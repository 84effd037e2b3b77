import re

import numpy as np
import pytest

from fer_jax import faces
from fer_jax.expressions import EXPRESSIONS
from fer_jax.faces import table

MIXED = faces.Preset(nuisance=1.2, intensity=(0, 1.2), label_noise=0.5, blend=0.5, open_set=0.2, occluders=0.5)


def test_a_row_says_what_the_face_is():
    face = faces.render(faces.draw(2, "train", 7, preset=MIXED, size=64))
    row = faces.face_row(face)
    scene = face.parameters
    assert (row["seed"], row["split"], row["index"], row["identity"]) == (2, "train", 7, 7)
    assert row["label"] == EXPRESSIONS[face.label] and row["expression"] == EXPRESSIONS[face.expression]
    np.testing.assert_allclose([row[f"soft_{name}"] for name in EXPRESSIONS], face.soft_label)
    for side, name in enumerate(("left", "right")):
        np.testing.assert_allclose([row[f"au{unit}_{name}"] for unit in faces.ACTION_UNITS], face.au[side])
    np.testing.assert_allclose([[row[f"x{i}"], row[f"y{i}"]] for i in range(68)], face.landmarks)
    assert [row[f"visible{i}"] for i in range(68)] == face.visible.astype(int).tolist()
    assert (row["yaw"], row["scale"], row["centre_y"]) == (scene.pose.yaw, scene.pose.scale, scene.pose.centre[1])
    assert (row["light_x"], row["jpeg"]) == (scene.light.direction[0], scene.photometry.jpeg)
    assert row["occluder"] == faces.OCCLUDERS[face.occluder]
    assert row["shape_jaw"] == scene.identity.shape["jaw"] and row["beard"] in ("none", "stubble", "full")


@pytest.mark.parametrize("index", range(4))
def test_every_face_has_the_same_columns_of_plain_values(index):
    rows = [faces.face_row(faces.render(faces.draw(0, "train", i, preset=MIXED, size=32))) for i in (0, index)]
    assert list(rows[0]) == list(rows[1])
    assert {type(value) for value in rows[1].values()} <= {str, int, float}


def test_every_column_is_explained():
    """Each name of a row matches one in the module's own table, with the placeholders filled in."""
    rows = [line.split("|")[1] for line in table.__doc__.splitlines() if line.startswith("| `")]
    known = [
        re.sub(r"<\w+>", r"[a-z0-9_]+", name.replace("67", "[0-9]+"))
        for row in rows
        for name in re.findall(r"`(.+?)`", row)
    ]
    row = faces.face_row(faces.render(faces.draw(0, "train", 0, size=32)))
    unexplained = [name for name in row if not any(re.fullmatch(pattern, name) for pattern in known)]
    assert not unexplained
    assert all(any(re.fullmatch(pattern, name) for name in row) for pattern in known)
