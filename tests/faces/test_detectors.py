"""Face detectors that were trained on photographs must take drawn faces for faces."""

import cv2
import numpy as np
import pytest

from fer_jax import faces
from fer_jax.expressions import EXPRESSIONS
from fer_jax.faces.painting import surroundings

BORDER, SMALLEST = 40, 90


def _has_cascades():
    return hasattr(cv2, "CascadeClassifier")


needs_cascades = pytest.mark.skipif(
    not _has_cascades(), reason="OpenCV 5 has no cascades; install 'opencv-python-headless<5' to run this"
)


def _pictures(nuisance, count):
    preset = faces.Preset(nuisance=nuisance, intensity=(0.8, 1.0))
    for index in range(count):
        scene = faces.draw(5, "train", index, preset=preset, size=224)
        grey = cv2.cvtColor(faces.render(scene).image, cv2.COLOR_RGB2GRAY)
        yield scene, cv2.copyMakeBorder(grey, BORDER, BORDER, BORDER, BORDER, cv2.BORDER_REPLICATE)


def _cascade(name):
    return cv2.CascadeClassifier(f"{cv2.data.haarcascades}haarcascade_frontalface_{name}.xml")


def _fires(cascade, grey):
    return len(cascade.detectMultiScale(grey, 1.05, 4, minSize=(SMALLEST, SMALLEST))) > 0


@needs_cascades
def test_haar_fires_on_faces_and_not_on_their_backdrops():
    cascade = _cascade("default")
    assert np.mean([_fires(cascade, grey) for _, grey in _pictures(0.3, 40)]) >= 0.98
    backdrops = (surroundings.paint_backdrop(224, seed).transpose(1, 2, 0).astype(np.uint8) for seed in range(40))
    alone = [_fires(cascade, cv2.cvtColor(np.ascontiguousarray(each), cv2.COLOR_RGB2GRAY)) for each in backdrops]
    assert np.mean(alone) <= 0.05, "a detector that takes anything says nothing"


def _check(found):
    """At least 98 % of all, and no expression nor skin anchor below 90 %."""
    assert np.mean([hit for _, hit in found]) >= 0.98
    for group in (lambda scene: EXPRESSIONS[scene.expression], lambda scene: round(scene.identity.skin_anchor)):
        hits = {}
        for scene, hit in found:
            hits.setdefault(group(scene), []).append(hit)
        assert len(hits) == 8
        assert min(map(np.mean, hits.values())) >= 0.9, {name: np.mean(each) for name, each in hits.items()}


@pytest.mark.slow
@needs_cascades
@pytest.mark.parametrize("nuisance", [0.3, 0.6, 1.0])
@pytest.mark.parametrize("name", ["default", "alt2"])
def test_haar_fires_at_every_nuisance(name, nuisance):
    cascade = _cascade(name)
    _check([(scene, _fires(cascade, grey)) for scene, grey in _pictures(nuisance, 160)])


@pytest.mark.slow
@pytest.mark.parametrize("nuisance", [0.3, 0.6, 1.0])
def test_local_binary_patterns_fire(nuisance):
    """Another cascade, trained on other pictures."""
    feature = pytest.importorskip("skimage.feature", reason="install scikit-image to run this")
    from skimage import data

    cascade = feature.Cascade(data.lbp_frontal_face_cascade_filename())

    def fires(grey):
        largest = grey.shape
        return len(cascade.detect_multi_scale(grey, 1.05, 1, (SMALLEST, SMALLEST), largest)) > 0

    _check([(scene, fires(grey)) for scene, grey in _pictures(nuisance, 160)])
