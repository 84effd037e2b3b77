"""Sanity checks of maps (`faithfulness.cascading_randomisation`), on a small network trained here."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from fer_jax import saliency
from fer_jax.errors import UsageError
from fer_jax.saliency import faithfulness

KEY = jax.random.key(0)
SIDE = 16
LAYERS = (("params", "fc"), ("params", "second"), ("params", "first"))


def bars(key, count):
    """Noisy images of one bar, (N, 16, 16, 1), and whether it lies, int (N,)."""
    place, turn, speck = jax.random.split(key, 3)
    row, column = jax.random.randint(place, (2, count, 1, 1), 3, SIDE - 3)
    rows, columns = jnp.arange(SIDE).reshape(1, SIDE, 1), jnp.arange(SIDE).reshape(1, 1, SIDE)
    lies = jax.random.bernoulli(turn, shape=(count, 1, 1))
    along, across = jnp.where(lies, columns - column, rows - row), jnp.where(lies, rows - row, columns - column)
    bar = (jnp.abs(along) <= 3) & (across == 0)
    return (bar + 0.1 * jax.random.normal(speck, bar.shape))[..., None], lies[:, 0, 0].astype(jnp.int32)


def features(variables, image):
    for name in ("first", "second"):
        layer = variables["params"][name]
        # Convolution as one product with the nine shifted images: the compiler's own is slow inside a loop on a CPU.
        around = jnp.pad(image, ((1, 1), (1, 1), (0, 0)))
        shifted = [around[row : row + SIDE, column : column + SIDE] for row in range(3) for column in range(3)]
        kernel = layer["kernel"].reshape(-1, layer["kernel"].shape[-1])
        image = jax.nn.relu(jnp.concatenate(shifted, -1) @ kernel + layer["bias"].reshape(1, 1, -1))
    return image


def head(variables, maps):
    return maps.mean((0, 1)) @ variables["params"]["fc"]["kernel"] + variables["params"]["fc"]["bias"]


@pytest.fixture(scope="module")
def trained():
    """Variables of a network that tells lying from standing bars, by plain gradient descent."""
    keys = jax.random.split(jax.random.key(1), 3)
    shapes = {"first": (3, 3, 1, 8), "second": (3, 3, 8, 8), "fc": (8, 2)}
    params = {
        name: {
            "kernel": jax.random.normal(key, shape) * np.sqrt(2 / np.prod(shape[:-1])),
            "bias": jnp.zeros(shape[-1]),
        }
        for key, (name, shape) in zip(keys, shapes.items(), strict=True)
    }

    def loss(variables, images, labels):
        logits = jax.vmap(lambda image: head(variables, features(variables, image)))(images)
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1).mean()

    def step(carry, batch):
        variables, velocity = carry
        slope = jax.grad(loss)(variables, *batch)
        velocity = jax.tree.map(lambda v, s: 0.9 * v + s, velocity, slope)
        return (jax.tree.map(lambda p, v: p - 0.1 * v, variables, velocity), velocity), None

    @jax.jit
    def train(variables):
        start = (variables, jax.tree.map(jnp.zeros_like, variables))
        images, labels = bars(jax.random.key(2), 201 * 32)
        batches = (images.reshape(201, 32, SIDE, SIDE, 1), labels.reshape(201, 32))
        (variables, _), _ = lax.scan(step, start, jax.tree.map(lambda leaf: leaf[:-1], batches))
        return variables, loss(variables, *jax.tree.map(lambda leaf: leaf[-1], batches))

    variables, left = train({"params": params})
    assert left < 0.1, "the network has to have learnt something"
    return variables


def grad_cam_of(image, target):
    """An explanation that looks at the network: from variables to a map."""
    return lambda variables: saliency.grad_cam(
        functools.partial(head, variables), features(variables, image), target, rectify=False
    )


def edges_of(image):
    """An explanation that looks at the picture only."""
    shade = image[..., 0]
    return lambda variables: jnp.abs(shade - jnp.roll(shade, 1, 0)) + jnp.abs(shade - jnp.roll(shade, 1, 1))


def test_grad_cam_forgets_its_map_with_the_weights(trained):
    images, labels = bars(jax.random.key(4), 64)

    def one(key, image, label):
        return faithfulness.cascading_randomisation(key, grad_cam_of(image, label), trained, LAYERS)

    got = jax.jit(jax.vmap(one))(jax.random.split(KEY, 64), images, labels)
    assert got.heats.shape == (64, 4, SIDE, SIDE)
    for similarity, most in ((got.spearman, 0.35), (got.absolute, 0.75), (got.ssim, 0.35)):
        assert similarity.shape == (64, 3)
        assert (jnp.abs(similarity.mean(0)) < most).all(), "the head's weights alone decide the sign of the map"


def test_an_edge_detector_does_not_notice(trained):
    image = bars(jax.random.key(5), 1)[0][0]
    explain = edges_of(image)
    got = jax.jit(lambda v: faithfulness.cascading_randomisation(KEY, explain, v, LAYERS))(trained)
    for similarity in got[1:]:
        np.testing.assert_allclose(similarity, 1, atol=1e-6)


def leaves(variables):
    """A map that is the leaves themselves, one in each row: what is drawn anew, and when, can be read from it."""
    rows = [*variables["params"].values(), variables["steps"].astype(jnp.float32)]
    return jnp.stack([row for row in rows for _ in range(4)])


ROWS = {
    "params": {name: jax.random.normal(jax.random.key(at), (12,)) for at, name in enumerate("abc")},
    "steps": jnp.arange(12),
}


@pytest.mark.parametrize("first", [("params", "b"), lambda path: path == ("params", "b")], ids=["path", "function"])
def test_layers_fall_one_after_another_and_stay_fallen(first):
    # The last layer holds everything: what fell before must stay as it is, and counters are no weights.
    def cascade(key):
        return faithfulness.cascading_randomisation(key, leaves, ROWS, [first, ("params", "a"), ()])

    got, again = (jax.jit(cascade)(key) for key in jax.random.split(KEY))
    rows = got.heats[:, ::4]
    names = ("a", "b", "c", "steps")
    fallen = [{name for at, name in enumerate(names) if (now[at] != rows[0, at]).any()} for now in rows]
    assert fallen == [set(), {"b"}, {"a", "b"}, {"a", "b", "c"}]
    np.testing.assert_array_equal(rows[1, 1], rows[3, 1])
    np.testing.assert_array_equal(rows[2, 0], rows[3, 0])
    np.testing.assert_array_equal(jnp.sort(rows[3], 1), jnp.sort(rows[0], 1))  # each leaf's own values
    assert (again.heats[1, 4] != got.heats[1, 4]).any()


def test_normal_draws_keep_mean_and_spread():
    weights = {"w": 3 + 0.5 * jax.random.normal(KEY, (60, 70))}
    got = faithfulness.cascading_randomisation(KEY, lambda v: v["w"], weights, [("w",)], draw="normal").heats[1]
    np.testing.assert_allclose([got.mean(), got.std()], [3, 0.5], rtol=0.05)
    assert abs(np.corrcoef(np.ravel(got), np.ravel(weights["w"]))[0, 1]) < 0.1


def test_the_three_similarities_are_those_of_the_maps():
    """Turned about: ranks reversed, magnitudes the same. Gone: nothing to compare. And a user's own draw is used."""
    weights = {"w": jax.random.normal(KEY, (12, 14))}

    def times(factor):
        return faithfulness.cascading_randomisation(
            KEY, lambda v: v["w"], weights, [("w",)], draw=lambda key, leaf: factor * leaf
        )

    eager = times(jnp.float32(-1))
    np.testing.assert_allclose([eager.spearman[0], eager.absolute[0]], [-1, 1], atol=1e-6)
    assert eager.ssim[0] < 0
    compiled = jax.jit(jax.vmap(times))(jnp.asarray([-1.0, 0.0]))
    jax.tree.map(lambda rows, alone: np.testing.assert_allclose(rows[0], alone, atol=1e-5), compiled, eager)
    assert all(jnp.isnan(similarity[1]).all() for similarity in compiled[1:])


@pytest.mark.parametrize(
    ("explain_fn", "layers", "draw", "message"),
    [
        (leaves, [], "permute", "`layers`: wanted at least one"),
        (
            leaves,
            [("params", "head")],
            "permute",
            r"`layers`: .* none for \('params', 'head'\) of paths such as params/a",
        ),
        (leaves, [("params",), ("params", "a")], "permute", "`layers`: wanted leaves no earlier layer holds"),
        (leaves, [("steps",)], "permute", r"`layers`: .* got none for \('steps',\)"),
        (leaves, [("params",)], "zeros", "`draw`: wanted a function of key and leaf or one of permute, normal"),
        (lambda v: leaves(v)[:10], [("params",)], "permute", "`explain_fn`: wanted a float map .* at least 11 x 11"),
        (lambda v: leaves(v)[None], [("params",)], "permute", "`explain_fn`: .* upsample it with saliency.resize"),
        (lambda v, image: image, [("params",)], "permute", "`explain_fn`: wanted a function of `variables`, it failed"),
    ],
    ids=range(8),
)
def test_bad_calls_name_the_argument(explain_fn, layers, draw, message):
    with pytest.raises(UsageError, match=message):
        faithfulness.cascading_randomisation(KEY, explain_fn, ROWS, layers, draw=draw)
