import cv2
import numpy as np
import pytest

from fer_jax import action_units, faces
from fer_jax.categories import Categories
from fer_jax.errors import UsageError
from fer_jax.expressions import EXPRESSIONS
from fer_jax.faces.geometry.camera import Camera, Pose
from fer_jax.faces.geometry.head import build
from fer_jax.faces.painting import surroundings
from fer_jax.faces.presets import Preset
from tests.faces.mirrored import flip_landmarks


def test_a_face_has_what_it_promises():
    face = faces.render(faces.draw(0, "train", 1, preset="easy"))
    assert face.image.dtype == np.uint8 and face.image.shape == (96, 96, 3) and face.image.flags.c_contiguous
    assert face.landmarks.dtype == np.float32 and face.landmarks.shape == (68, 2)
    assert face.visible.dtype == bool and face.visible.shape == (68,)
    assert face.au.shape == (2, len(faces.ACTION_UNITS)) and face.au.dtype == np.float32
    assert face.expression == face.label == 1 and face.soft_label.sum() == 1
    assert face.image.std() > 20


def test_equal_parameters_give_equal_bytes_whatever_came_before():
    parameters = [faces.draw(2, "train", index) for index in range(6)]
    first = [faces.render(each).image for each in parameters]
    for each, image in list(zip(parameters, first, strict=True))[::-1]:
        np.testing.assert_array_equal(faces.render(each).image, image)


@pytest.mark.parametrize("size", [32, 33, 64, 224])
def test_any_size_shows_the_same_scene(size):
    parameters = faces.draw(0, "train", 3, preset="easy")
    small, large = (faces.render(parameters, size=side, photometry=False) for side in (size, 128))
    assert small.image.shape == (size, size, 3)
    np.testing.assert_allclose((small.landmarks + 0.5) / size, (large.landmarks + 0.5) / 128, atol=1e-5)
    np.testing.assert_allclose(small.image.mean((0, 1)), large.image.mean((0, 1)), atol=7)


@pytest.mark.parametrize("intensity", [0.0, 1.2])
def test_no_weather_makes_nan_or_leaves_the_scale(intensity):
    storm = Preset(nuisance=1.5, intensity=(intensity, intensity), glasses=0.5, occluders=0.2)
    with np.errstate(all="raise", under="ignore"):
        for index in range(16):
            face = faces.render(faces.draw(9, "train", index, preset=storm))
            assert np.isfinite(face.landmarks).all()
            assert 5 < face.image.mean() < 250


def test_landmarks_stay_in_the_frame_and_in_order():
    """1,000 scenes at nuisance 1, as the camera sees them."""
    inside, ordered = [], []
    for index in range(1000):
        scene = faces.draw(3, "train", index, preset="hard")
        points = Camera(scene.pose, 224).project(build(scene.identity, scene.au).landmarks)
        inside.append(((points >= 0) & (points <= 223)).all())
        # Where a head rolls, down is no longer the picture's down.
        upright = points @ np.array(
            [(np.cos(scene.pose.roll), -np.sin(scene.pose.roll)), (np.sin(scene.pose.roll), np.cos(scene.pose.roll))]
        )
        lids = upright[[41, 40, 47, 46], 1] - upright[[37, 38, 43, 44], 1]
        lips = np.diff(upright[[51, 62, 66, 57], 1])
        jaw = np.diff(upright[3:14, 0])
        ordered.append((lids > -0.5).all() and (lips > -0.5).all() and (jaw > -0.5).all())
    assert np.mean(inside) >= 0.99
    assert np.mean(ordered) >= 0.99


def test_mirrored_units_give_the_mirrored_picture():
    """Of a symmetric person under a light from the front; hair and fine skin texture have sides of their own."""
    symmetric = faces.draw(0, "train", 0, preset="easy", size=160).replace(
        identity=faces.average(), pose=Pose(), light=faces.Light((0.0, -0.42, 0.9075)), occluder=0
    )
    one_sided = action_units.vector({12: 0.9, 2: 0.8, 14: 1.0}, side=0) + action_units.vector({4: 0.7, 25: 0.6})
    face, mirrored = (
        faces.render(symmetric.replace(au=units), photometry=False) for units in (one_sided, one_sided[::-1].copy())
    )
    np.testing.assert_allclose(flip_landmarks(mirrored.landmarks, 160), face.landmarks, atol=1e-3)
    region = faces.region_mask(face, 160) > 0
    off = np.abs(face.image.astype(float) - mirrored.image[:, ::-1])[region]
    unlike = np.abs(face.image.astype(float) - mirrored.image)[region]
    assert off.mean() < 3 and off.mean() < 0.6 * unlike.mean()


def test_landmarks_lie_on_what_they_name():
    """Eyes hold the brightest and darkest places near them, and an open mouth is darker than the cheeks."""
    for index in range(3):
        parameters = faces.draw(1, "train", index, preset="easy", expression=3, size=224).replace(occluder=0)
        face = faces.render(parameters, photometry=False)
        grey = face.image.mean(2)
        for rows in (slice(36, 42), slice(42, 48)):
            x0, y0 = face.landmarks[rows].min(0).astype(int)
            x1, y1 = face.landmarks[rows].max(0).astype(int)
            eye = grey[y0 : y1 + 1, x0 : x1 + 1]
            assert eye.min() < 60 and np.ptp(eye) > 110
        mouth = face.landmarks[60:68].mean(0).astype(int)
        cheek = ((face.landmarks[2] + face.landmarks[31]) / 2).astype(int)
        assert grey[mouth[1], mouth[0]] < grey[cheek[1], cheek[0]]


def test_people_can_be_told_apart_by_their_neutral_faces():
    """24 people, each seen twice in other poses, lights and backdrops: whose face is nearest within the jaw?"""
    seen = []
    for view in (0, 1):
        for person in range(24):
            scene = faces.draw(6, "train", 2 * person + view, preset="easy", expression=0, identity=person, size=64)
            face = faces.render(scene.replace(occluder=0), photometry=False)
            x0, y0 = face.landmarks.min(0).astype(int)
            x1, y1 = face.landmarks.max(0).astype(int)
            patch = cv2.resize(face.image[y0 : y1 + 1, x0 : x1 + 1], (24, 24), interpolation=cv2.INTER_AREA)
            # Colour within the face's own scale: no use of how bright the light was.
            seen.append((patch - patch.mean((0, 1))).ravel() / patch.std())
    first, second = np.array(seen[:24]), np.array(seen[24:])
    nearest = ((first[:, None] - second[None]) ** 2).sum(2).argmin(1)
    assert (nearest == np.arange(24)).mean() >= 0.5, "chance is 1/24"


def test_photometry_is_a_separate_last_stage():
    parameters = faces.draw(0, "train", 5)
    with_it, without = faces.render(parameters), faces.render(parameters, photometry=False)
    assert (with_it.image != without.image).any()
    np.testing.assert_array_equal(with_it.landmarks, without.landmarks)
    other = faces.draw(0, "train", 6).photometry
    changed = faces.render(parameters.replace(photometry=other), photometry=False)
    np.testing.assert_array_equal(changed.image, without.image)


@pytest.mark.parametrize("occluder", range(1, 5))
def test_occluders_cover_and_say_what_they_cover(occluder):
    parameters = faces.draw(0, "train", 0, preset="easy")
    bare = faces.render(parameters.replace(occluder=0), photometry=False)
    covered = faces.render(parameters.replace(occluder=occluder), photometry=False)
    changed = (bare.image != covered.image).any(2)
    assert 0.005 < changed.mean() < 0.5
    name = faces.OCCLUDERS[occluder]
    assert bare.visible.all()
    hidden = {"glasses": 0, "mask": 20, "hand": 20, "patch": 6}[name]
    assert (~covered.visible).sum() >= hidden and (name != "glasses" or covered.visible.all())


def test_dark_skin_keeps_the_contrast_of_lids_and_lips():
    """Relative contrast of lids and lips against the cheek, over the ramp: none below .8 of its mean."""
    contrast = []
    for anchor in range(8):
        parameters = faces.draw(0, "train", 8, preset="easy", size=128).replace(occluder=0)
        person = faces.average()
        fields = {name: getattr(person, name) for name in person.__dataclass_fields__}
        from fer_jax.faces.person.identity import SKIN

        dark = faces.Identity(**{**fields, "skin": SKIN[anchor], "skin_anchor": float(anchor)})
        face = faces.render(parameters.replace(identity=dark), photometry=False)
        grey = face.image.astype(np.float64).mean(2)

        def around(point, reach=6, picture=grey):
            x, y = point.astype(int)
            patch = picture[y - reach : y + reach + 1, x - reach : x + reach + 1]
            return np.quantile(patch, 0.95) / max(np.quantile(patch, 0.05), 1)

        contrast.append(np.mean([around(face.landmarks[row]) for row in (37, 44, 51, 57)]))
    contrast = np.log(contrast)
    assert contrast.min() >= 0.8 * contrast.mean()


def test_backgrounds_say_nothing_of_the_expression():
    """Nearest class mean on backdrops alone stays near chance, 1/8."""
    seeds = [faces.draw(0, "train", index).background_seed for index in range(640)]
    pictures = np.array([surroundings.paint_backdrop(32, seed)[:, ::4, ::4].ravel() for seed in seeds])
    labels = np.arange(640) % 8
    train, test = pictures[:320], pictures[320:]
    means = np.array([train[labels[:320] == label].mean(0) for label in range(8)])
    guess = ((test[:, None] - means[None]) ** 2).sum(2).argmin(1)
    assert (guess == labels[320:]).mean() < 0.125 + 4 * np.sqrt(0.125 * 0.875 / 320)


def test_too_small_a_picture_is_refused():
    with pytest.raises(UsageError, match="`size`: wanted at least 32 pixels, got 16"):
        faces.render(faces.draw(0, "train", 0), size=16)


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
