import numpy as np
import pytest

from fer_jax import action_units
from fer_jax.faces.geometry import head as geometry
from fer_jax.faces.geometry.camera import Camera, Pose
from fer_jax.faces.geometry.head import Surface
from fer_jax.faces.person import identity
from tests.faces.mirrored import FLIP

BROWS, NOSE, EYES, MOUTH, JAW = range(17, 27), range(27, 36), range(36, 48), range(48, 68), range(17)
OUTER_LIPS = range(48, 60)


def _landmarks(units=None, *, person=None, side=None):
    au = action_units.vector(units or {}, side=side)
    return geometry.build(person or identity.average(), au).landmarks[:, :2]


def _people(count):
    for seed in range(count):
        yield identity.draw_identity(np.random.Generator(np.random.PCG64(seed)))


@pytest.mark.parametrize(
    ("unit", "landmark", "move"),
    [
        (1, 21, (0, -0.17)),
        (2, 18, (0, -0.17)),
        (4, 22, (-0.075, 0.135)),
        (5, 37, (0, -0.088)),
        (9, 31, (-0.024, -0.075)),
        (10, 51, (0, -0.085)),
        (12, 54, (0.13, -0.145)),
        (15, 48, (0, 0.115)),
        (20, 54, (0.13, 0.07)),
        (26, 8, (0, 0.34)),
    ],
)
def test_a_unit_moves_its_landmark_by_the_stated_amount(unit, landmark, move):
    moved = (_landmarks({unit: 1.0}) - _landmarks())[landmark]
    # Lids move less beside their middle and landmarks on bows ride along: a fifth of tolerance in size.
    np.testing.assert_allclose(moved, move, atol=0.2 * np.abs(move).max() + 1e-6)


@pytest.mark.parametrize(
    ("unit", "own"),
    [
        (1, BROWS),
        (2, BROWS),
        (5, EYES),
        (7, EYES),
        (43, EYES),
        (9, {*BROWS, *EYES, *NOSE, *MOUTH}),
        (10, {*NOSE, *MOUTH}),
        (12, {*NOSE, *MOUTH}),
        (14, MOUTH),
        (15, MOUTH),
        (16, MOUTH),
        (17, {*MOUTH, *JAW}),
        (20, MOUTH),
        (23, MOUTH),
        (24, MOUTH),
        (25, MOUTH),
        (26, {*MOUTH, *JAW}),
        (27, {*MOUTH, *JAW}),
        (64, ()),
    ],
)
def test_a_unit_moves_nothing_beyond_its_region(unit, own):
    moved = np.abs(_landmarks({unit: 1.0}) - _landmarks()).max(1)
    others = [row for row in range(68) if row not in own]
    assert moved[others].max() < 1e-6
    if len(own):
        assert moved[list(own)].max() > 0.01


def test_sad_brows_are_oblique_and_angry_brows_the_other_way():
    rest = _landmarks()
    sad, angry = _landmarks({1: 1.0, 4: 0.8}) - rest, _landmarks({4: 1.0}) - rest
    assert sad[21, 1] < -0.05 < 0 < sad[17, 1]
    assert angry[21, 1] > angry[17, 1] + 0.08


@pytest.mark.parametrize("seed", range(4))
def test_mirrored_units_give_mirrored_landmarks(seed):
    rng = np.random.Generator(np.random.PCG64(seed))
    au = action_units.sample_open_set(rng, count=8)
    person = identity.average()
    straight = geometry.build(person, au).landmarks[:, :2]
    mirrored = geometry.build(person, au[::-1].copy()).landmarks[:, :2]
    flipped = mirrored[FLIP] * np.array([-1, 1], np.float32)
    np.testing.assert_allclose(flipped, straight, atol=2e-6)


def test_parts_never_cross_in_any_expression_of_many_people():
    rng = np.random.Generator(np.random.PCG64(1))
    for person in _people(40):
        for expression in range(8):
            au = action_units.sample(rng, expression, intensity=1.2)
            face = geometry.build(person, au)
            assert (face.anchors.lid_top <= face.anchors.lid_bottom).all()
            inner_top, inner_bottom = face.curves["lip_inner_top"], face.curves["lip_inner_bottom"]
            assert (face.curves["lip_top"][:, 1] <= inner_top[:, 1] + 1e-6).all()
            assert (inner_top[:, 1] <= inner_bottom[:, 1] + 1e-6).all()
            assert (inner_bottom[:, 1] <= face.curves["lip_bottom"][:, 1] + 1e-6).all()
            points = face.landmarks
            assert (np.diff(points[:9, 1]) > 0).all() and (np.diff(points[8:17, 1]) < 0).all(), "the jaw turns once"
            assert (np.diff(points[3:14, 0]) > 0).all(), "and runs from left to right"
            assert points[8, 1] > points[57, 1] > points[51, 1] > points[33, 1] > points[27, 1]
            assert np.isfinite(points).all()


def test_disgust_leaves_the_eyes_half_open():
    rng = np.random.Generator(np.random.PCG64(2))
    shares = []
    for person in _people(60):
        opening = [
            (face.anchors.lid_bottom - face.anchors.lid_top).max(1).mean()
            for face in (geometry.build(person, au) for au in (action_units.sample(rng, 5), action_units.zeros()))
        ]
        shares.append(opening[0] / opening[1])
    assert 0.45 <= np.median(shares) <= 0.62


def test_people_differ_more_than_weak_expressions_do():
    people = np.array([_landmarks(person=person) for person in _people(80)])
    rng = np.random.Generator(np.random.PCG64(3))
    average = identity.average()
    faces = [geometry.build(average, action_units.sample(rng, i % 8, intensity=0.5)) for i in range(160)]
    expressions = np.array([face.landmarks[:, :2] for face in faces])
    assert people.std(0).mean() > expressions.std(0).mean()


def test_frontal_projection_puts_the_eyes_where_the_frame_wants_them():
    face = geometry.build(identity.average(), action_units.zeros())
    pixels = Camera(Pose(), 200).project(face.landmarks)
    left, right = pixels[36:42].mean(0), pixels[42:48].mean(0)
    np.testing.assert_allclose((left + right) / 2, [99.5, 73.5], atol=1.5)
    assert abs((right - left)[0] - 50) < 2


def test_unprojecting_finds_the_place_that_was_projected():
    surface = Surface()
    rng = np.random.Generator(np.random.PCG64(4))
    x, y = rng.uniform(-0.6, 0.6, (2, 200)).astype(np.float32)
    y = y + 0.5
    for pose in (Pose(), Pose(yaw=0.25, pitch=-0.1, roll=0.1), Pose(yaw=-0.3, pitch=0.15)):
        camera = Camera(pose, 224)
        pixels = camera.project(np.column_stack([x, y, surface(x, y)]))
        found = camera.unproject(pixels[:, 0], pixels[:, 1], surface, rounds=12)
        off = np.hypot(found[0] - x, found[1] - y)
        # The far wing of the nose hides what lies behind it; elsewhere the place comes back.
        assert np.quantile(off, 0.9) < 0.03
