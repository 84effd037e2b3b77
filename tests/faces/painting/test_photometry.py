import numpy as np
import pytest

from fer_jax import faces
from fer_jax.faces.painting.photometry import develop

GREY = np.full((128, 128, 3), 128, np.uint8)


def test_neutral_settings_lose_next_to_nothing():
    ramp = np.broadcast_to(np.arange(128, dtype=np.uint8)[None, :, None] + 60, (128, 128, 3)).copy()
    assert np.abs(develop(ramp, faces.Photometry(jpeg=100)).astype(int) - ramp).max() <= 2


@pytest.mark.parametrize("sigma", [2.0, 6.0])
def test_noise_has_the_deviation_asked_and_its_own_offset(sigma):
    noisy = develop(GREY, faces.Photometry(noise=sigma, jpeg=100, noise_offset=77)).astype(float)
    assert noisy.mean() == pytest.approx(128, abs=0.3)
    luma = noisy.mean(2).std()
    assert 0.75 * sigma < luma * np.sqrt(3) < 1.25 * sigma
    other = develop(GREY, faces.Photometry(noise=sigma, jpeg=100, noise_offset=78))
    assert (other != noisy).mean() > 0.3


def test_noise_wraps_at_the_end_of_its_table():
    late = develop(GREY, faces.Photometry(noise=5.0, noise_offset=2**20 - 5))
    assert late[3:].astype(float).std() > 2


def test_warm_light_is_redder_gamma_darkens_and_blur_smooths():
    warm = develop(GREY, faces.Photometry(temperature=1.0)).mean((0, 1))
    assert warm[0] > 135 > 128 > warm[2]
    assert develop(GREY, faces.Photometry(gamma=1.5)).mean() < 110
    assert develop(GREY, faces.Photometry(brightness=1.1)).mean() > 138
    edge = GREY.copy()
    edge[:, 64:] = 20
    blurred = develop(edge, faces.Photometry(blur=4.0, jpeg=100)).astype(int)
    assert np.abs(np.diff(blurred[64, :, 0])).max() < 40
