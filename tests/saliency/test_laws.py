"""Laws of every explanation: each over every method × model × dtype, and every batch shape where batches come in.

A diagonal of the products, in which every value of every axis comes up, runs with the fast tests; the rest is `slow`.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fer_jax import saliency

from .explained import CLASSES, KINDS, SIZE, Explained, build

# A few iterations are enough for laws, not to reach an area.
pytestmark = pytest.mark.filterwarnings("ignore::fer_jax.errors.AreaWarning")

DTYPES = ("float32", "bfloat16", "float64")
BATCHES = ((3,), (2, 1))  # and single pictures
# Absolute tolerances on maps of order 1.
TOLERANCES = {"float32": 1e-5, "bfloat16": 5e-2, "float64": 1e-12}
PERTURBATION = {"area": 0.2, "iterations": 4, "step": 4, "sigma": 4.0, "levels": 3, "max_blur": 3.0}


def _cam(model, image, target):
    return saliency.cam(model.features(image), model.weights, target)


def _grad_cam(model, image, target, **options):
    return saliency.grad_cam(model.head, model.features(image), target, **options)


def _of_features(method, model, image, target, **options):
    return method(model.head, model.features(image), target, **options)


def _of_image(method, model, image, target, **options):
    return method(lambda view: saliency.class_score(model(view).astype(jnp.float32), target), image, **options)


def _extremal(model, image, target, *, initial=None, **options):
    def score(view):
        return 10 * saliency.class_score(model(view).astype(jnp.float32), target)

    options = saliency.ExtremalOptions(**(PERTURBATION | options))
    return saliency.extremal_perturbation(score, image, options, initial=initial)[0]


METHODS = {
    "cam": _cam,
    "grad_cam": _grad_cam,
    "grad_cam_signed_difference": functools.partial(_grad_cam, rectify=False, score="difference"),
    "grad_cam_probability": functools.partial(_grad_cam, score="probability"),
    "hires_cam": functools.partial(_of_features, saliency.hires_cam),
    "grad_cam_plus_plus": functools.partial(_of_features, saliency.grad_cam_plus_plus),
    "layer_cam": functools.partial(_of_features, saliency.layer_cam),
    "input_x_gradient": functools.partial(_of_image, saliency.input_x_gradient),
    "integrated_gradients": functools.partial(_of_image, saliency.integrated_gradients, steps=4),
    "smooth_grad": functools.partial(
        _of_image, functools.partial(saliency.smooth_grad, jax.random.key(11)), samples=3, noise=0.1
    ),
    "rise": functools.partial(_of_image, functools.partial(saliency.rise, jax.random.key(12)), samples=6, cells=3),
    "preserve": _extremal,
    "delete": functools.partial(_extremal, variant="delete", perturbation="fade"),
    "dual": functools.partial(_extremal, variant="dual", area_of="padded_mask", pooling="sigmoid"),
}
PERTURBING = ("preserve", "delete", "dual")
ON_IMAGE = ("input_x_gradient", "integrated_gradients", "smooth_grad", "rise")
RECTIFIED = ("grad_cam", "grad_cam_probability", "hires_cam", "grad_cam_plus_plus", "layer_cam")
# Their noise is no mirror image of itself; and a gradient alone says how sensitive a score is, not what it saw.
RANDOM = ("smooth_grad", "rise")


def over(**axes):
    """Parametrise by a product of axes; all but a diagonal of the cases are slow, as each compiles programs."""
    cases = []
    lengths = [len(axis) for axis in axes.values()]
    for places in itertools.product(*map(range, lengths)):
        values = [list(axis)[place] for axis, place in zip(axes.values(), places, strict=True)]
        diagonal = any(places == tuple(step % length for length in lengths) for step in range(max(lengths)))
        cases.append(pytest.param(*values, marks=() if diagonal else pytest.mark.slow))
    return pytest.mark.parametrize(tuple(axes), cases)


@pytest.fixture(autouse=True)
def precision(request):
    with jax.enable_x64(request.node.callspec.params.get("dtype") == "float64"):
        yield


def explainer(method, kind, dtype):
    """(image, target) -> map, or a skip where the method is not defined."""
    model = build(kind, dtype)
    if method == "cam" and model.weights is None:
        pytest.skip("CAM is defined for a pooled linear head only")
    return functools.partial(METHODS[method], model)


def pictures(dtype, batch=()):
    # A dark corner besides noise, so that maps are not all alike.
    noise = jax.random.normal(jax.random.key(7), (*batch, SIZE, SIZE, 3), jnp.float32)
    return noise.at[..., :6, :7, :].add(2).astype(dtype)


@over(method=METHODS, kind=KINDS, dtype=DTYPES)
def test_maps_are_finite_in_range_and_the_same_eager_jitted_and_vmapped(method, kind, dtype):
    explain = explainer(method, kind, dtype)
    alone = jax.jit(explain)
    eager = explain(pictures(dtype), 0)
    side = SIZE if method in PERTURBING + ON_IMAGE else eager.shape[0]
    if kind == "linen" or method in PERTURBING + ON_IMAGE:
        assert eager.dtype == jnp.promote_types(dtype, "float32")
    else:
        assert eager.dtype == dtype
    # In bfloat16 iterations follow how a score is rounded: its masks are up to 1 away from those of float32.
    same = method not in PERTURBING or dtype != "bfloat16"
    if same:
        np.testing.assert_allclose(*_float64(alone(pictures(dtype), 0), eager), atol=TOLERANCES[dtype])
    for batch in BATCHES:
        images = pictures(dtype, batch)
        targets = jnp.arange(int(np.prod(batch))).reshape(batch) % CLASSES
        mapped = functools.reduce(lambda function, _: jax.vmap(function), batch, explain)
        heats = jax.jit(mapped)(images, targets)
        assert heats.shape == (*batch, side, side)
        assert heats.dtype == eager.dtype
        assert jnp.isfinite(heats).all()
        if method in PERTURBING:
            assert ((heats >= 0) & (heats <= 1)).all()
        elif method in RECTIFIED:
            assert (heats >= 0).all()
        for at in np.ndindex(*batch) if same else ():
            wanted = alone(images[at], targets[at])
            np.testing.assert_allclose(*_float64(heats[at], wanted), atol=TOLERANCES[dtype])


@over(kind=[kind for kind in KINDS if kind != "nonlinear_head"], dtype=DTYPES)
def test_for_a_pooled_linear_head_grad_cam_is_cam_over_its_cells(kind, dtype):
    model = build(kind, dtype)
    features = model.features(pictures(dtype))
    logits = model.head(features)
    cells = features.shape[0] * features.shape[1]
    for target in range(CLASSES):
        cam = saliency.cam(features, model.weights, target)
        signed = saliency.grad_cam(model.head, features, target, rectify=False)
        rectified = saliency.grad_cam(model.head, features, target)
        near = functools.partial(np.testing.assert_allclose, atol=TOLERANCES[dtype], rtol=TOLERANCES[dtype])
        near(*_float64(signed * cells, cam))
        near(*_float64(rectified * cells, jax.nn.relu(cam)))
        near(*_float64(cam.mean() + model.bias[target], logits[target]))
    difference = saliency.grad_cam(model.head, features, 0, rectify=False, score="difference")
    runner_up = 1 + int(jnp.argmax(logits[1:]))
    both = saliency.cam(features, model.weights, 0) - saliency.cam(features, model.weights, runner_up)
    np.testing.assert_allclose(*_float64(difference * cells, both), atol=2 * TOLERANCES[dtype])


@over(method=[method for method in METHODS if method not in RANDOM], kind=KINDS, dtype=DTYPES)
def test_a_flipped_picture_has_the_flipped_map(method, kind, dtype):
    explain, image = explainer(method, kind, dtype), pictures(dtype)
    # From random parameters: the mask of all ones has ties, which are sorted from left to right.
    start = jax.random.uniform(jax.random.key(9), (5, 5), jnp.promote_types(dtype, "float32"))
    starts = [{"initial": start}, {"initial": start[:, ::-1]}] if method in PERTURBING else [{}, {}]
    plain, flipped = (
        jax.jit(functools.partial(explain, **options))(x, 1)
        for x, options in zip((image, image[:, ::-1]), starts, strict=True)
    )
    assert not jnp.allclose(plain, plain[:, ::-1], atol=1e-6), "a symmetric map would prove nothing"
    # A pixel whose mask lies on a level of the pyramid may take either slope.
    kinks = 1e-2 if method in PERTURBING else 0
    np.testing.assert_allclose(*_float64(flipped[:, ::-1], plain), atol=max(kinks, 4 * TOLERANCES[dtype]))


@over(method=METHODS, kind=KINDS, dtype=DTYPES)
def test_a_constant_picture_gives_no_nan(method, kind, dtype):
    explain = jax.jit(explainer(method, kind, dtype))
    for level in (0, 1):
        heat = explain(jnp.full((SIZE, SIZE, 3), level, dtype), 0)
        for how in saliency.NORMALISATIONS:
            assert jnp.isfinite(saliency.normalise(heat, how=how)).all()
        assert jnp.isfinite(saliency.resize(heat, (20, 23))).all()


@over(variant=saliency.VARIANTS, kind=KINDS, dtype=DTYPES)
def test_areas_together_equal_areas_apart(variant, kind, dtype):
    model, image = build(kind, dtype), pictures(dtype)
    starts = jax.random.uniform(jax.random.key(8), (2, 5, 5), jnp.promote_types(dtype, "float32"))
    masks = _extremal(model, image, 0, area=(0.1, 0.4), variant=variant, initial=starts)
    for area, start, mask in zip((0.1, 0.4), starts, masks, strict=True):
        alone = _extremal(model, image, 0, area=area, variant=variant, initial=start)
        np.testing.assert_allclose(*_float64(mask, alone), atol=TOLERANCES[dtype])


@over(method=[method for method in METHODS if method not in RANDOM], dtype=DTYPES)
@pytest.mark.parametrize(("top", "left"), [(2, 9), (8, 3)])
def test_a_planted_patch_is_found(method, dtype, top, left):
    """A detector of brightness and a bright patch: the evidence can lie nowhere else."""
    weights = jnp.asarray([[1.0, 0.0], [0.0, 1.0]], dtype)

    def features(image):
        bright = image.mean(-1)
        return jnp.stack([jax.nn.relu(bright), jax.nn.relu(-bright)], -1)

    model = Explained(features, lambda cells: 100 * cells.mean((0, 1)) @ weights, 100 * weights)
    image = jnp.zeros((SIZE, SIZE, 3), dtype).at[top : top + 6, left : left + 6].set(1)
    longer = {"iterations": 200, "pace": 1.0, "perturbation": "fade", "area": 0.12, "pooling": "smooth_max"}
    longer = longer if method in PERTURBING else {}
    heat = METHODS[method](model, image, 0, **longer)
    inside = jnp.zeros((SIZE, SIZE), bool).at[top : top + 6, left : left + 6].set(True)
    heat = heat.astype(jnp.float32)
    assert heat[inside].mean() > 2 * heat[~inside].mean()
    places = jnp.arange(SIZE, dtype=jnp.float32)
    centre = [(heat.sum(1 - axis) * places).sum() / heat.sum() for axis in (0, 1)]
    assert abs(centre[0] - (top + 2.5)) < 2
    assert abs(centre[1] - (left + 2.5)) < 2


def _float64(*arrays):
    return [np.asarray(array, np.float64) for array in arrays]
