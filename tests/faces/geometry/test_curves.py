import numpy as np
import pytest

from fer_jax.faces.geometry import curves


@pytest.mark.parametrize("closed", [False, True])
def test_a_curve_passes_through_its_control_points(closed):
    controls = np.random.Generator(np.random.PCG64(0)).normal(size=(2, 6, 2)).astype(np.float32)
    curve = curves.catmull_rom(controls, 5, closed=closed)
    assert curve.dtype == np.float32
    assert curve.shape == (2, 30 if closed else 26, 2)
    np.testing.assert_allclose(curve[:, ::5], controls, atol=1e-6)


def test_a_straight_line_stays_straight_and_evenly_spaced():
    controls = np.stack([np.arange(5.0), 2 * np.arange(5.0)], 1).astype(np.float32)
    curve = curves.catmull_rom(controls, 4)
    np.testing.assert_allclose(np.diff(curve, axis=0), np.broadcast_to([0.25, 0.5], (16, 2)), atol=1e-6)


def test_equal_arcs_of_a_quarter_circle_are_equal_angles():
    angle = np.linspace(0, np.pi / 2, 2000) ** 1.5 / (np.pi / 2) ** 0.5
    arc = np.column_stack([np.cos(angle), np.sin(angle)]).astype(np.float32)
    points = curves.equal_arcs(arc, 7)
    np.testing.assert_allclose(np.arctan2(points[:, 1], points[:, 0]), np.linspace(0, np.pi / 2, 7), atol=1e-4)
