import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fer_jax import saliency
from fer_jax.errors import AreaWarning, UsageError
from fer_jax.saliency._extremal import area_weight, descend

# Few iterations do not reach their area; the warning has a test of its own.
pytestmark = pytest.mark.filterwarnings("ignore::fer_jax.errors.AreaWarning")

# The reference's habits, which are not our defaults.
REFERENCE = {"area_of": "padded_mask", "flip_jitter": True}
CASES = {
    "a": {"image": 0, "area": (0.1,), "step": 7, "sigma": 21.0},
    "b": {"image": 1, "area": (0.05, 0.2), "step": 4, "sigma": 8.0, "score": "difference"},
    "c": {"image": 2, "area": (0.1,), "step": 4, "sigma": 8.0, "variant": "dual"},
    "d": {"image": 3, "area": (0.1,), "step": 4, "sigma": 8.0, "variant": "delete"},
    "e": {"image": 0, "area": (0.15,), "step": 5, "sigma": 10.0, "perturbation": "fade", "flip_jitter": False},
    "f": {"image": 1, "area": (0.03, 0.06, 0.12), "step": 4, "sigma": 8.0},
}
SMALL = {"step": 4, "sigma": 4.0, "max_blur": 5.0, "levels": 4}


@pytest.fixture(scope="module")
def arrays(goldens):
    return goldens("ep_tinycnn")


def problem_of(tiny_cnn, tiny_images, case):
    options = REFERENCE | CASES[case]
    index, score = options.pop("image"), options.pop("score", "logit")
    images, classes = tiny_images
    target = int(classes[index])

    def score_fn(image):
        return saliency.class_score(tiny_cnn(image), target, score=score)

    return score_fn, images[index], options


def bright_spot(image):
    """A score without any network: how bright the patch at rows 6..13, columns 10..17 is, of a logit's size."""
    return 100 * image[6:14, 10:18].mean()


def noise(seed=0, shape=(24, 24, 3)):
    return 1 + 0.1 * jax.random.normal(jax.random.key(seed), shape)


def small(score_fn=bright_spot, *, initial=None, **options):
    options = saliency.ExtremalOptions(**({"iterations": 20, "area": 0.15} | SMALL | options))
    return functools.partial(saliency.extremal_perturbation, score_fn, options=options, initial=initial)


@pytest.mark.parametrize("case", CASES)
def test_first_fifty_iterations_equal_the_reference(tiny_cnn, tiny_images, arrays, case):
    score_fn, image, options = problem_of(tiny_cnn, tiny_images, case)
    problem = saliency.extremal(score_fn, image, saliency.ExtremalOptions(**options))
    state, step = problem.init(jnp.asarray(arrays[f"{case}_pmask0"][:, 0])), jax.jit(problem.step)
    history = arrays[f"{case}_hist"]
    for iteration in range(50):
        state, energies = step(state)
        # The reference mixes rewards of several areas; their sum is right.
        np.testing.assert_allclose(energies.reward.sum(), history[:, 0, iteration].sum(), atol=5e-3)
        if iteration + 1 in arrays[f"{case}_iters"]:
            at = list(arrays[f"{case}_iters"]).index(iteration + 1)
            tolerance = 2e-2 if case in "af" else 5e-5  # all-ones starts sort rounding noise
            np.testing.assert_allclose(state.mask, arrays[f"{case}_mask"][at][:, 0], atol=tolerance)
            np.testing.assert_allclose(state.parameters, arrays[f"{case}_pmask"][at][:, 0], atol=tolerance)
        if case not in "af":
            np.testing.assert_allclose(energies.area_term, history[:, 1, iteration], rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_whole_runs_equal_the_reference(tiny_cnn, tiny_images, arrays, case):
    score_fn, image, options = problem_of(tiny_cnn, tiny_images, case)
    for at, iterations in enumerate(arrays[f"{case}_iters"]):
        if iterations < 200:
            continue
        start = jnp.asarray(arrays[f"{case}_pmask0"][:, 0])
        chosen = saliency.ExtremalOptions(iterations=int(iterations), pace=1.0, **options)
        mask, _ = saliency.extremal_perturbation(score_fn, image, chosen, initial=start)
        wanted = arrays[f"{case}_mask"][at][:, 0]
        np.testing.assert_allclose(mask, wanted, atol=2e-2)
        assert abs(mask - wanted).mean() < 1e-3
        assert np.corrcoef(np.ravel(mask), wanted.ravel())[0, 1] > 0.999


@pytest.mark.parametrize(
    ("name", "post"),
    [
        ("smooth", {"smooth": 0.09}),
        ("resize_smooth", {"resize": (30, 40), "smooth": 0.05}),
    ],
)
def test_post_processing_equals_the_reference(tiny_cnn, tiny_images, arrays, name, post):
    score_fn, image, _ = problem_of(tiny_cnn, tiny_images, "a")
    start = jnp.asarray(arrays["post_pmask0"][:, 0])
    options = saliency.ExtremalOptions(area=(0.1, 0.3), iterations=5, pace=1.0, step=4, sigma=8.0, **REFERENCE, **post)
    mask, _ = saliency.extremal_perturbation(score_fn, image, options, initial=start)
    np.testing.assert_allclose(mask, arrays[f"post_{name}"][:, 0], atol=5e-5)


def test_descent_weights_and_clipping_equal_the_reference(goldens):
    """The reference's trajectory with the identity in place of the mask generator: the optimiser alone."""
    arrays = goldens("area_reward")
    wanted = arrays["traj_pmask"][:, :, 0]
    parameters, options = jnp.asarray(wanted[0]), saliency.ExtremalOptions()
    velocity = jnp.zeros_like(parameters)
    areas = [float(a) for a in arrays["areas_f64"]]
    for iteration in jnp.arange(6):
        weight = area_weight(iteration, options, jnp.float32)
        terms = [
            jax.value_and_grad(functools.partial(saliency.area_term, area=a))(p)
            for a, p in zip(areas, parameters, strict=True)
        ]
        np.testing.assert_allclose(
            [-weight * v for v, _ in terms], arrays["traj_area_term"][:, int(iteration)], rtol=1e-5
        )
        slopes = weight * jnp.stack([slope for _, slope in terms])
        parameters, velocity = descend(parameters, velocity, slopes, iteration, options)
        np.testing.assert_allclose(parameters, wanted[int(iteration) + 1], rtol=1e-5, atol=1e-7)


def test_the_planted_patch_is_found(goldens, tiny_cnn, tiny_images):
    """The class was decided by a patch that covers 12 % of the image; most of a small mask must fall inside it."""
    images, classes = (each[:2] for each in tiny_images)
    boxes = goldens("tinycnn_cam")["boxes"][:2]

    def explain(image, target):
        def score_fn(x):
            return saliency.class_score(tiny_cnn(x), target, score="difference")

        options = saliency.ExtremalOptions(area=0.06, iterations=100, step=4, sigma=8.0)
        return saliency.extremal_perturbation(score_fn, image, options)[0]

    for mask, (top, left, bottom, right) in zip(jax.jit(jax.vmap(explain))(images, classes), boxes, strict=True):
        assert mask[top:bottom, left:right].sum() / mask.sum() > 0.6


@pytest.mark.parametrize("variant", saliency.VARIANTS)
def test_a_score_that_is_no_network_is_explained(variant):
    mask, info = jax.jit(small(variant=variant, perturbation="fade", iterations=80, area=0.12))(noise())
    inside = jnp.zeros((24, 24), bool).at[6:14, 10:18].set(True)
    assert mask[inside].mean() > 2 * mask[~inside].mean()
    assert ((mask >= 0) & (mask <= 1)).all()
    assert info.finite
    assert info.reward.shape == info.area_term.shape == (80,)
    assert (info.area_term <= 0).all()


@pytest.mark.parametrize(
    ("area_of", "shape", "dtype"),
    [
        ("image", (18, 31, 1), jnp.float32),
        ("padded_mask", (24, 24, 3), jnp.float32),
        ("image", (24, 24, 3), jnp.bfloat16),
    ],
)
def test_jit_vmap_and_loop_agree(area_of, shape, dtype):
    images = jnp.stack([noise(seed, shape) for seed in range(2)]).astype(dtype)
    method = small(lambda x: x[4:10, 3:9].mean(), area_of=area_of, initial=jax.random.key(3), iterations=6, pace=1.0)
    masks, infos = jax.jit(jax.vmap(method))(images)
    assert masks.shape == (2, *shape[:2])
    assert masks.dtype == jnp.float32
    alone, info = method(images[1])
    np.testing.assert_allclose(masks[1], alone, atol=1e-5)
    np.testing.assert_allclose(infos.parameters[1], info.parameters, atol=1e-5)


def test_a_size_that_breaks_the_reference_works():
    mask, info = small(step=6, sigma=9.0, area_of="padded_mask", iterations=3)(noise(0, (72, 72, 3)))
    assert mask.shape == (72, 72)
    assert info.finite


def test_areas_together_equal_areas_alone():
    start = jax.random.uniform(jax.random.key(1), (2, 6, 6))
    together, info = small(area=(0.1, 0.3), initial=start)(noise())
    assert together.shape == (2, 24, 24)
    assert info.reward.shape == (20, 2)
    for index, area in enumerate((0.1, 0.3)):
        alone, _ = small(area=area, initial=start[index])(noise())
        np.testing.assert_allclose(together[index], alone, atol=1e-5)


def test_constant_score_leaves_the_area_alone_to_be_reached():
    mask, _ = small(lambda image: 0 * image.sum(), area=0.3, iterations=150, initial=jax.random.key(0))(noise())
    assert mask.mean() == pytest.approx(0.3, abs=0.05)


def test_a_faster_pace_goes_the_way_of_the_whole_schedule():
    """Four published iterations at a time: the same end in a quarter, where a cut schedule is still on its way."""
    image, start = noise(), jax.random.key(0)
    whole = jax.jit(small(iterations=400, initial=start, pace=1.0))(image)[0]
    paced = jax.jit(small(iterations=100, initial=start, pace=4.0))(image)[0]
    cut = jax.jit(small(iterations=100, initial=start, pace=1.0))(image)[0]
    assert jnp.abs(paced - whole).mean() < 0.5 * jnp.abs(cut - whole).mean()
    options = saliency.ExtremalOptions(pace=4.0)
    assert area_weight(jnp.asarray(50), options, jnp.float32) == pytest.approx(300 * 1.0035**200, rel=1e-5)
    parameters, velocity = descend(jnp.ones(1), jnp.ones(1), jnp.zeros(1), jnp.asarray(7), options)
    assert velocity == pytest.approx(0.6)
    assert parameters == pytest.approx(1 - 4 * 0.01 * 0.6)


def test_fewer_iterations_take_the_whole_schedule_unless_they_may_stop():
    image, start = noise(), jax.random.key(0)
    for options, pace in (({}, 80.0), ({"stop": "converged", "patience": 20}, 1.0)):
        method = functools.partial(small, iterations=10, initial=start, **options)
        np.testing.assert_array_equal(method()(image)[0], method(pace=pace)(image)[0])


@pytest.mark.parametrize("area_of", saliency.AREAS_OF)
def test_a_mask_far_from_its_area_warns_outside_jit_alone(area_of):
    def method(image):
        return small(lambda x: 1e4 * (x**2).mean(), iterations=30, area=(0.3, 0.1), area_of=area_of)(image)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        masks, info = jax.jit(method)(noise())
        np.testing.assert_allclose(info.area, masks.mean((1, 2)), rtol=1e-6)
        small(iterations=60, area_of=area_of)(noise())
    with pytest.warns(
        AreaWarning, match=r"asked for 0.\d+ of the image, the mask opens 0.\d+ after 30 iterations"
    ) as told:
        method(noise())
    assert len(told) == 1
    assert told[0].filename == __file__


@pytest.mark.parametrize("variant", saliency.VARIANTS)
def test_the_start_follows_the_score_whatever_its_scale(variant):
    options = saliency.ExtremalOptions(area=(0.1, 0.3), variant=variant, perturbation="fade", **SMALL)
    starts = [
        saliency.extremal(lambda x, s=scale: s * bright_spot(x), noise(), options).gradient_start()
        for scale in (0.01, 1.0)
    ]
    np.testing.assert_allclose(*starts, atol=1e-5)
    assert starts[0].shape == (2, 6, 6)
    assert starts[0].max() == 1
    assert (starts[0][:, 2:4, 3:5] > 0.7).all()  # parameters at rows 8, 12 and columns 12, 16: in the bright spot
    assert (abs(starts[0][:, 5] - 0.5) < 0.05).all()
    flat = saliency.extremal(lambda x: 0 * x.sum(), noise(), options).gradient_start()
    np.testing.assert_array_equal(flat, 0.5)


def test_targets_and_members_are_vmapped_too():
    weights = jnp.asarray([[1.0, 0.0], [0.0, 1.0]])

    def of_member(weight, image):
        return small(lambda x: weight @ jnp.stack([bright_spot(x), 100 * x[16:22, 2:8].mean()]), iterations=40)(image)[
            0
        ]

    masks = jax.jit(jax.vmap(of_member, (0, None)))(weights, noise())
    assert masks[0, 6:14, 10:18].mean() > 2 * masks[1, 6:14, 10:18].mean()
    assert masks[1, 16:22, 2:8].mean() > 2 * masks[0, 16:22, 2:8].mean()


def test_flipping_a_symmetric_problem_flips_the_mask():
    """25 columns at step 4 put parameters symmetrically."""
    image, start = noise(0, (25, 25, 3)), jax.random.uniform(jax.random.key(0), (7, 7))
    method = functools.partial(small, iterations=5, pace=1.0, area=0.2)
    plain, _ = method(lambda x: (x[:, 3:9] ** 2).mean(), initial=start)(image)
    flipped, _ = method(lambda x: (x[:, ::-1][:, 3:9] ** 2).mean(), initial=start[:, ::-1])(image[:, ::-1])
    np.testing.assert_allclose(flipped[:, ::-1], plain, atol=5e-4)


def test_jitter_is_seen_by_asymmetric_scores_only():
    image, start = noise(), jax.random.key(0)
    rows = functools.partial(small, lambda x: x[6:14].mean(), initial=start, iterations=3)
    symmetric = [rows(flip_jitter=jitter)(image)[0] for jitter in (False, True)]
    np.testing.assert_allclose(*symmetric, atol=1e-6)
    info = small(flip_jitter=True, initial=start, iterations=3)(image)[1]
    plain = small(initial=start, iterations=3)(image)[1]
    assert info.reward[0] != plain.reward[0]


def test_stopping_on_convergence_reports_where_and_changes_little():
    image, start = noise(), jax.random.key(0)
    whole, _ = jax.jit(small(iterations=400, initial=start, pace=1.0))(image)
    early, info = jax.jit(small(iterations=400, initial=start, stop="converged", patience=25))(image)
    stopped = int(info.iterations)
    assert stopped % 25 == 0
    assert 25 < stopped < 400
    assert jnp.isfinite(info.reward[:stopped]).all()
    assert jnp.isnan(info.reward[stopped:]).all()
    assert info.finite
    on, wanted = early > 0.5, whole > 0.5
    assert 2 * (on & wanted).sum() / (on.sum() + wanted.sum()) > 0.9


def test_a_mask_that_the_score_holds_open_has_not_converged():
    image, start = noise(), jax.random.key(0)
    method = functools.partial(small, iterations=60, initial=start, stop="converged", patience=10)
    with pytest.warns(AreaWarning, match=r"`area`: asked for 0.15 of the image, the mask opens 0.9.* after 60 it"):
        held, info = method(lambda x: 1e4 * (x**2).mean())(image)
    assert info.area == held.mean()
    assert info.iterations == 60 and (held > 0.5).mean() > 1.2 * 0.15
    _, free = method(lambda x: 0.0 * x.sum())(image)
    assert free.iterations < 60


def test_going_on_from_the_parameters_repeats_a_longer_run_without_momentum():
    method = functools.partial(small, momentum=0.0, growth=1.0, pace=1.0)
    first = method(iterations=4, initial=jax.random.key(0))(noise())[1]
    second = method(iterations=3, initial=first.parameters)(noise())[1]
    whole = method(iterations=7, initial=jax.random.key(0))(noise())[1]
    np.testing.assert_allclose(second.parameters, whole.parameters, atol=1e-6)


def test_run_is_a_scan_over_step():
    problem = saliency.extremal(bright_spot, noise(), saliency.ExtremalOptions(area=(0.1,), **SMALL))
    state = problem.init(jax.random.uniform(jax.random.key(0), (1, 6, 6)))
    end, energies = jax.jit(problem.run, static_argnums=1)(state, 3)
    step = jax.jit(problem.step)
    for iteration in range(3):
        state, now = step(state)
        np.testing.assert_allclose(now.reward, energies.reward[iteration], rtol=1e-5)
    np.testing.assert_allclose(state.parameters, end.parameters, atol=1e-6)
    assert end.iteration == 3


def test_extremal_area_is_the_smallest_that_reaches_the_threshold():
    image = noise()
    # Masks of less than the patch still swing when sixty long steps end, and rounding decides where they are.
    options = saliency.ExtremalOptions(area=(0.15, 0.5), iterations=60, **SMALL)
    search = jax.jit(functools.partial(saliency.extremal_area, bright_spot, image, options))
    area, mask, scores = search(threshold=0.8 * bright_spot(image))
    assert scores[1] > scores[0] > 0.8 * bright_spot(image)
    np.testing.assert_allclose(area, 0.15, rtol=1e-6)
    assert mask.shape == (24, 24)
    area, larger, _ = search(threshold=scores.mean())  # which the smaller one misses
    np.testing.assert_allclose(area, 0.5, rtol=1e-6)
    assert (larger > 0.5).mean() > 2 * (mask > 0.5).mean()
    assert jnp.isnan(search(threshold=jnp.asarray(1e6))[0])


def test_over_images_in_chunks_equals_all_at_once():
    images, starts = jnp.stack([noise(seed) for seed in range(5)]), jax.random.uniform(jax.random.key(0), (5, 6, 6))

    def method(image, start):
        return small(initial=start, iterations=3)(image)[0]

    chunked = jax.jit(functools.partial(saliency.over_images, method, chunk=2))(images, starts)
    np.testing.assert_allclose(chunked, jax.jit(jax.vmap(method))(images, starts), atol=1e-5)


@pytest.mark.parametrize(("how", "devices"), [("shard_map", 1), ("shard_map", 4), ("pmap", 2)])
def test_over_images_on_several_devices_equals_one_also_where_images_do_not_divide(how, devices):
    images, starts = jnp.stack([noise(seed) for seed in range(5)]), jax.random.uniform(jax.random.key(0), (5, 6, 6))
    kept = jnp.zeros((24, 24, 3)).at[2:6, 2:6].set(1)  # closed over: it goes to every device

    def method(image, start):
        return small(lambda x: 20 * (x * kept).mean(), initial=start, iterations=3, stop="converged")(image)[0]

    over = functools.partial(saliency.over_images, method, chunk=2)
    split = jax.jit(functools.partial(over, over_devices=how, devices=devices))(images, starts)
    np.testing.assert_allclose(split, jax.jit(over)(images, starts), atol=1e-5)


def test_a_score_that_is_not_finite_is_flagged_inside_jit_and_named_outside():
    def bad(image):
        return bright_spot(image) / 0

    assert not jax.jit(small(bad, iterations=2))(noise())[1].finite
    with pytest.raises(UsageError, match=r"`score_fn`: wanted finite scores .* in iteration 0"):
        small(bad, iterations=2)(noise())


def test_options_are_a_static_argument_of_jit():
    def method(image, options):
        return saliency.extremal_perturbation(bright_spot, image, options)[0]

    options = saliency.ExtremalOptions(area=[0.1, 0.3], iterations=3, resize=[12, 12], **SMALL)
    assert options == saliency.ExtremalOptions(area=(0.1, 0.3), iterations=3, resize=(12, 12), **SMALL)
    masks = jax.jit(method, static_argnames="options")(noise(), options=options)
    np.testing.assert_allclose(masks, method(noise(), options), atol=1e-5)


def _smallest_area(**options):
    return saliency.extremal_area(bright_spot, noise(), saliency.ExtremalOptions(**options), threshold=0.1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: small()(noise()[None]), r"`image`: wanted \(H, W, C\) of one image, got shape \(1, 24, 24, 3\); use"),
        (lambda: small()(jnp.ones((24, 24, 3), jnp.uint8)), "`image`: wanted floating point, got uint8"),
        (lambda: small(area=0.0)(noise()), "`area`: wanted a share strictly between 0 and 1"),
        (lambda: small(area=(0.1, 1.0))(noise()), "`area`: wanted a share .* got 1.0"),
        (lambda: small(area=())(noise()), "`area`: wanted at least one share"),
        (
            lambda: jax.jit(lambda a: small(area=a)(noise())[0])(0.1),
            "`area`: wanted .* known when the program is traced",
        ),
        (lambda: small(lambda x: x.mean((0, 1)))(noise()), r"`score_fn`: wanted a scalar .* returned shape \(3,\)"),
        (lambda: small(lambda x: x @ jnp.ones((5, 2)))(noise()), "`score_fn`: wanted a function of one image"),
        (lambda: small(variant="keep")(noise()), "`variant`: wanted one of preserve, delete, dual"),
        (lambda: small(area_of="all")(noise()), "`area_of`: wanted one of image, padded_mask"),
        (lambda: small(stop="early")(noise()), "`stop`: wanted one of never, converged"),
        (lambda: small(start="zeros")(noise()), "`start`: wanted one of gradient, ones, got 'zeros'"),
        (lambda: small(sigma=jnp.ones(()))(noise()), "`sigma`: wanted a plain value"),
        (lambda: small(iterations=0)(noise()), "`iterations`: wanted a whole number from 1, got 0"),
        (lambda: small(momentum=1.0)(noise()), r"`momentum`: wanted a number in \[0, 1\)"),
        (lambda: small(smooth=2.0)(noise()), r"`smooth`: wanted a share of the side in \[0, 1\)"),
        (lambda: small(initial=jnp.ones((3, 3)))(noise()), r"`parameters`: wanted \(1, 6, 6\), one grid for each area"),
        (
            lambda: _smallest_area(area=(0.2, 0.1)),
            "`area`: wanted rising",
        ),
        (
            lambda: _smallest_area(variant="dual"),
            "`variant`: not an option",
        ),
        (lambda: saliency.over_images(bright_spot, noise()[None], chunk=0), "`chunk`: wanted a whole number"),
        (
            lambda: saliency.over_images(bright_spot, noise()[None], chunk=1, over_devices="jit"),
            "`over_devices`: wanted one of none, shard_map, pmap, got 'jit'",
        ),
        (lambda: saliency.over_images(bright_spot, chunk=1), "`arguments`: wanted at least one array"),
    ],
)
def test_bad_calls_name_the_argument(call, message):
    with pytest.raises(UsageError, match=message):
        call()
