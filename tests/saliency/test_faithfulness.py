import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fer_jax import saliency
from fer_jax.errors import UsageError
from fer_jax.saliency import faithfulness

SHAPE = (12, 10, 3)
KEY = jax.random.key(0)
STATED = [faithfulness.deletion, faithfulness.insertion]


@pytest.fixture(scope="module")
def arrays(goldens):
    return goldens("metrics")


def noise(seed, shape=SHAPE):
    return jax.random.normal(jax.random.key(seed), shape)


WEIGHTS = noise(1)
IMAGE, HEAT = noise(2), noise(3, SHAPE[:2])


def linear(image):
    return (WEIGHTS * image).sum()


def curved(image):
    """A score without any network that is not linear: how bright a patch is, against how bright the rest is."""
    return jnp.tanh(image[2:6, 3:8].mean()) - 0.2 * jnp.sin(image.sum())


def bright_patch():
    """An image whose patch, and nothing else, makes the score `patch_score`; and the patch."""
    patch = jnp.zeros(SHAPE[:2]).at[2:6, 3:8].set(1.0)
    return 0.1 * noise(4) + patch[..., None], patch


def patch_score(image):
    return image[2:6, 3:8].mean()


@pytest.mark.parametrize("name", ["del", "ins"])
def test_curves_equal_the_reference(tiny_cnn, arrays, name):
    curve_of = {"del": faithfulness.deletion, "ins": faithfulness.insertion}[name]

    def one(image, heat, target):
        score_fn = lambda x: saliency.class_score(tiny_cnn(x), target, score="probability")  # noqa: E731
        return curve_of(score_fn, image, heat, steps=16, baseline="zero", chunk=5)

    images, heats = arrays["del_x"].transpose(0, 2, 3, 1), arrays["del_attr"][:, 0]
    got = jax.jit(jax.vmap(one))(jnp.asarray(images), jnp.asarray(heats), jnp.asarray(arrays["del_y"], jnp.int32))
    np.testing.assert_allclose(got.scores, arrays[f"{name}_curve"], atol=1e-5)
    np.testing.assert_allclose(got.area, arrays[f"{name}_auc_f64"], atol=1e-6)
    np.testing.assert_array_equal(got.fractions[0], np.arange(17) / 16)


@pytest.mark.parametrize("baseline", ["zero", "mean", noise(5)], ids=["zero", "mean", "image"])
def test_deleting_from_a_linear_score_has_a_closed_form(baseline):
    other = {"zero": jnp.zeros(SHAPE), "mean": jnp.broadcast_to(IMAGE.mean((0, 1)).reshape(1, 1, 3), SHAPE)}
    other = other[baseline] if isinstance(baseline, str) else baseline
    evidence = (WEIGHTS * (IMAGE - other)).sum(-1)
    curve = jax.jit(lambda heat: faithfulness.deletion(linear, IMAGE, heat, steps=120, baseline=baseline))(evidence)
    lost = np.concatenate([[0], np.cumsum(np.sort(np.ravel(evidence))[::-1])])
    np.testing.assert_allclose(curve.scores, linear(IMAGE) - lost, atol=2e-4)
    np.testing.assert_allclose(curve.area, float(jnp.trapezoid(curve.scores, dx=1 / 120)), rtol=1e-5)


@pytest.mark.parametrize("steps", [1, 7, 24])
def test_curves_run_from_end_to_end_and_insertion_is_deletion_backwards(steps):
    blurred = saliency.gaussian_blur(IMAGE, sigma=2.0, edges="reflect")
    options = {"steps": steps, "baseline": "blur", "blur_sigma": 2.0}
    down = jax.jit(lambda heat: faithfulness.deletion(curved, IMAGE, heat, **options))(-HEAT)
    up = jax.jit(lambda heat: faithfulness.insertion(curved, IMAGE, heat, **options))(HEAT)
    np.testing.assert_allclose(down.scores[jnp.array([0, -1])], [curved(IMAGE), curved(blurred)], rtol=1e-5)
    assert down.fractions[0] == 0
    assert down.fractions[-1] == 1
    np.testing.assert_allclose(
        jnp.diff(down.fractions), 1 / steps, atol=1 / 120 + 1e-6
    )  # to a whole pixel at both ends
    if 120 % steps == 0:
        np.testing.assert_allclose(up.scores[::-1], down.scores, rtol=1e-5)
        np.testing.assert_allclose(up.area, down.area, rtol=1e-5)


def test_the_true_evidence_beats_its_negation_in_every_probe():
    image, patch = bright_patch()
    heat = patch + 0.01 * HEAT
    probes = {
        "deletion": lambda heat: -faithfulness.deletion(patch_score, image, heat).area,
        "insertion": lambda heat: faithfulness.insertion(patch_score, image, heat, baseline="zero").area,
        "road": lambda heat: faithfulness.road(KEY, patch_score, image, heat).score,
        "mu_fidelity": lambda heat: faithfulness.mu_fidelity(KEY, patch_score, image, heat),
        "kept": lambda heat: patch_score(faithfulness.masked_image(image, heat)),
    }
    for name, probe in probes.items():
        right, wrong = jax.jit(jax.vmap(probe))(jnp.stack([heat, -heat]))
        assert right > wrong + 0.2, name


def test_equal_pixels_go_in_row_major_order():
    heat = jnp.asarray([[0.0, 1.0], [1.0, 0.0]])
    image = jnp.asarray([[1.0, 2.0], [4.0, 8.0]])[..., None]
    curve = faithfulness.deletion(jnp.sum, image, heat, steps=4)
    np.testing.assert_array_equal(curve.scores, [15, 13, 9, 8, 0])


@pytest.mark.parametrize("chunk", [1, 5, 100])
def test_chunks_change_nothing(chunk):
    got, wanted = (
        jax.jit(lambda heat: faithfulness.deletion(curved, IMAGE, heat, steps=17, **options).scores)(HEAT)  # noqa: B023
        for options in ({"chunk": chunk}, {})
    )
    assert got.shape == (18,)
    np.testing.assert_allclose(got, wanted, atol=1e-5)


def probes():
    """Every probe of an image by a map, small."""
    return {
        "deletion": lambda image, heat: faithfulness.deletion(curved, image, heat, steps=6),
        "insertion": lambda image, heat: faithfulness.insertion(curved, image, heat, steps=6),
        "road": lambda image, heat: faithfulness.road(KEY, curved, image, heat, shares=(0.2, 0.7)),
        "mu_fidelity": lambda image, heat: faithfulness.mu_fidelity(KEY, curved, image, heat, subsets=8, grid=(4, 5)),
        "masked_image": faithfulness.masked_image,
    }


@pytest.mark.parametrize("name", probes())
def test_compiled_and_batched_probes_equal_a_single_eager_one(name):
    probe = probes()[name]
    images, heats = noise(6, (2, *SHAPE)), noise(7, (2, *SHAPE[:2]))
    batched = jax.jit(jax.vmap(probe))(images, heats)
    alone = probe(images[1], heats[1])
    jax.tree.map(lambda rows, one: np.testing.assert_allclose(rows[1], one, atol=2e-5), batched, alone)


@pytest.mark.parametrize("name", ["deletion", "insertion", "road", "mu_fidelity"])
def test_a_map_without_order_is_nan(name):
    heats = jnp.stack([jnp.full(SHAPE[:2], 0.3), HEAT.at[0, 0].set(jnp.nan), HEAT])
    results = jax.jit(jax.vmap(probes()[name], (None, 0)))(IMAGE, heats)
    if name in ("deletion", "insertion"):
        results = (results.scores, results.area)
    for leaf in jax.tree.leaves(results):
        assert jnp.isnan(leaf[:2]).all()
        assert jnp.isfinite(leaf[2]).all()


@pytest.mark.parametrize("grid", [None, (4, 5)])
def test_mu_fidelity_of_a_linear_score_is_one_for_its_own_evidence(grid):
    def fidelity(heat, score_fn=linear):
        return faithfulness.mu_fidelity(KEY, score_fn, IMAGE, heat, subsets=32, grid=grid, size_share=0.2)

    evidence = (WEIGHTS * IMAGE).sum(-1)
    heats = jnp.stack([evidence, 3 * evidence + 1, -evidence, HEAT])  # all subsets are of one size
    own, moved, turned, foreign = jax.jit(jax.vmap(fidelity))(heats)
    np.testing.assert_allclose([own, moved, turned], [1, 1, -1], atol=1e-5)
    assert abs(foreign) < 0.9
    assert jnp.isnan(jax.jit(lambda heat: fidelity(heat, lambda image: 0 * image.sum()))(evidence))


def test_masked_images_and_what_they_score():
    heat = jnp.asarray([[2.0, 1.0], [0.0, -2.0]])
    image = jnp.ones((2, 2, 3))
    np.testing.assert_array_equal(faithfulness.masked_image(image, heat)[..., 1], [[1, 0.5], [0, 0]])
    np.testing.assert_array_equal(
        faithfulness.masked_image(image, heat, baseline=jnp.full((2, 2, 3), 3.0), how="minmax")[..., 0],
        [[1, 1.5], [2, 3]],
    )
    np.testing.assert_array_equal(faithfulness.masked_image(image, jnp.zeros((2, 2))), jnp.zeros((2, 2, 3)))
    full, masked = jnp.asarray([0.8, 0.5, 0.4]), jnp.asarray([0.6, 0.5, 0.9])
    assert faithfulness.average_drop(full, masked) == pytest.approx(0.25 / 3)
    assert faithfulness.increase(full, masked) == pytest.approx(1 / 3)
    assert jnp.isnan(faithfulness.average_drop(full - 0.4, masked))
    assert jnp.isnan(faithfulness.increase(full.at[0].set(jnp.nan), masked))
    assert jnp.isnan(faithfulness.average_drop(full[:0], full[:0]))
    assert jnp.isnan(faithfulness.increase(full[:0], full[:0]))


@jax.jit
def impute(image, keep, noise=0.0):
    return faithfulness.noisy_linear_impute(KEY, image, keep, noise=noise)


def test_imputation_equals_the_reference(arrays):
    keep = jnp.asarray(arrays["road_mask"] > 0)
    got = impute(jnp.asarray(arrays["road_img"].transpose(1, 2, 0)), keep)
    np.testing.assert_allclose(got.transpose(2, 0, 1), arrays["road_imputed"], atol=1e-5)


def impute_densely(image, keep):
    """Independent: the means themselves as a system, each row of weights divided by its sum, in float64."""
    height, width, channels = image.shape
    means = np.eye(height * width)
    for row, column in zip(*np.nonzero(~keep), strict=True):
        around = np.zeros((height, width))
        around[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = 1
        around[row] *= 2
        around[:, column] *= 2
        around[row, column] = 0
        means[row * width + column] -= np.ravel(around / around.sum())
    known = np.where(keep[..., None], image, 0).reshape(-1, channels)
    return np.linalg.solve(means, known).reshape(image.shape)


@pytest.mark.parametrize("removed", [0.02, 0.5, 0.95])
def test_imputation_equals_a_dense_solution(removed):
    rng = np.random.default_rng(8)
    image, keep = (rng.random((15, 21, 3)) + 5).astype(np.float32), rng.random((15, 21)) > removed
    got = impute(jnp.asarray(image), jnp.asarray(keep))
    np.testing.assert_allclose(got, impute_densely(image, keep), atol=2e-5)
    np.testing.assert_array_equal(got[keep], image[keep])


def test_a_plane_with_a_hole_is_mended_and_noise_falls_on_the_hole_alone():
    rows, columns = jnp.meshgrid(jnp.arange(30.0), jnp.arange(40.0), indexing="ij")
    plane = jnp.stack([0.1 * rows - 0.05 * columns, jnp.ones((30, 40))], -1)
    keep = jnp.ones((30, 40), bool).at[3:27, 4:36].set(False)
    np.testing.assert_allclose(impute(plane, keep), plane, atol=1e-4)
    rough = impute(plane, keep, 0.5) - plane
    assert float(jnp.abs(jnp.where(keep[..., None], rough, 0)).max()) == 0
    assert float(rough[3:27, 4:36].std()) == pytest.approx(0.5, rel=0.1)
    assert impute(plane.astype(jnp.bfloat16), keep).dtype == jnp.bfloat16
    assert jnp.isnan(impute(plane, jnp.zeros((30, 40), bool))).all()
    np.testing.assert_array_equal(impute(plane, jnp.ones((30, 40), bool)), plane)


def test_road_scores_the_imputed_images():
    shares = (0.25, 0.6)

    def road(heat):
        return faithfulness.road(KEY, curved, IMAGE, heat, shares=shares, noise=0.0)

    got = jax.jit(jax.vmap(road))(jnp.stack([HEAT, -HEAT]))
    order = np.argsort(-np.ravel(HEAT))
    for index, share in enumerate(shares):
        count = round(share * 120)
        for scores, removed in ((got.most_first, order[:count]), (got.least_first, order[-count:])):
            keep = np.ones(120, bool)
            keep[removed] = False
            wanted = curved(impute(IMAGE, jnp.asarray(keep.reshape(12, 10))))
            np.testing.assert_allclose(scores[0, index], wanted, atol=1e-5)
    np.testing.assert_allclose(got.score[0], (got.least_first - got.most_first)[0].mean() / 2, atol=1e-6)
    np.testing.assert_allclose(got.score[1], -got.score[0], atol=1e-5)


BAD_MAPS = [
    (lambda f: f(linear, IMAGE[None], HEAT), r"`image`: wanted \(H, W, C\) of one image, got shape \(1, 12, 10, 3\)"),
    (lambda f: f(linear, jnp.ones(SHAPE, jnp.uint8), HEAT), "`image`: wanted floating point, got uint8"),
    (lambda f: f(linear, IMAGE, HEAT[1:]), r"`heat`: wanted \(H, W\) of the image, \(12, 10\), got \(11, 10\)"),
    (lambda f: f(linear, IMAGE, HEAT[None]), r"`heat`: wanted \(H, W\) of the image"),
    (lambda f: f(linear, IMAGE, HEAT + 1j), "`heat`: wanted real numbers, got complex64"),
    (lambda f: f(linear, IMAGE, HEAT.at[0, 0].set(jnp.nan)), "`heat`: wanted numbers, got 1 NaN"),
    (lambda f: f(lambda x: x, IMAGE, HEAT), r"`score_fn`: wanted a scalar for one image, it returned shape"),
    (lambda f: f(linear, IMAGE, HEAT, chunk=0), "`chunk`: wanted a whole number from 1, got 0"),
]
KEYED = [functools.partial(probe, KEY) for probe in (faithfulness.road, faithfulness.mu_fidelity)]


@pytest.mark.parametrize("probe", [*STATED, *KEYED], ids=["deletion", "insertion", "road", "mu_fidelity"])
@pytest.mark.parametrize(("call", "message"), BAD_MAPS)
def test_every_probe_refuses_what_is_not_one_image_and_its_map(probe, call, message):
    with pytest.raises(UsageError, match=message):
        call(probe)


SCORED = (linear, IMAGE, HEAT)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: faithfulness.deletion(*SCORED, steps=0), "`steps`: wanted a whole number from 1, got 0"),
        (lambda: faithfulness.insertion(*SCORED, steps=-1), "`steps`: wanted a whole number from 1, got -1"),
        (lambda: faithfulness.insertion(*SCORED, steps=121), "`steps`: wanted at most the pixels of the image, 120"),
        (lambda: faithfulness.deletion(*SCORED, baseline="grey"), "`baseline`: wanted an image or one of zero, mean"),
        (lambda: faithfulness.deletion(*SCORED, baseline=IMAGE[0]), r"`baseline`: wanted an image \(12, 10, 3\)"),
        (lambda: faithfulness.insertion(*SCORED, blur_sigma=0.0), "`blur_sigma`: wanted a width above 0 px"),
        (lambda: faithfulness.masked_image(IMAGE, HEAT, how="up"), "`how`: wanted one of minmax"),
        (lambda: faithfulness.average_drop(jnp.ones(3), jnp.ones(2)), r"`score_masked`: wanted \(N,\)"),
        (lambda: faithfulness.increase(jnp.ones(()), jnp.ones(())), r"`score_masked`: .* got \(\) for \(\)"),
        (lambda: faithfulness.road(KEY, *SCORED, shares=()), "`shares`: wanted at least one share"),
        (lambda: faithfulness.road(KEY, *SCORED, shares=(0.5, 1.0)), r"`shares`: wanted a share .* in \(0, 1\), got 1"),
        (lambda: faithfulness.noisy_linear_impute(KEY, IMAGE, HEAT), "`keep`: wanted a boolean mask"),
        (lambda: faithfulness.noisy_linear_impute(KEY, IMAGE, HEAT > 0, noise=-1.0), "`noise`: wanted at least 0"),
        (lambda: faithfulness.mu_fidelity(KEY, *SCORED, subsets=1), "`subsets`: wanted at least 2"),
        (lambda: faithfulness.mu_fidelity(KEY, *SCORED, size_share=10), "`size_share`: wanted a share"),
        (lambda: faithfulness.mu_fidelity(KEY, *SCORED, size_share=0.001), "`size_share`: wanted some of the 12 x 10"),
        (lambda: faithfulness.mu_fidelity(KEY, *SCORED, grid=(13, 2)), r"`grid`: wanted \(rows, columns\)"),
    ],
)
def test_bad_calls_name_the_argument(call, message):
    with pytest.raises(UsageError, match=message):
        call()
