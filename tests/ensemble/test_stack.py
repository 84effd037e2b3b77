import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from fer_jax import ensemble, models
from fer_jax.errors import UsageError


@pytest.fixture(scope="module")
def tiny():
    # Stride-1 1×1 convolutions, the kind that automatic partitioning gets wrong, are part of the bottleneck.
    model = models.ResNet(num_classes=2, stage_sizes=(1,), width=4, stem="small", lowering="matmul")
    variables = ensemble.init(jax.random.key(0), model, members=6, image_size=16)
    images = jax.random.normal(jax.random.key(1), (6, 2, 16, 16, 3))
    return model, variables, images


def _one_by_one(model, variables, images):
    apply = jax.jit(model.apply)
    rows = [apply(ensemble.member(variables, i), images[i]) for i in range(len(images))]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *rows)


@pytest.mark.parametrize("how", ensemble.OVER_MEMBERS)
def test_a_stack_equals_its_members(tiny, how):
    model, variables, images = tiny
    output = ensemble.apply(model, variables, images, over_members=how)
    for got, wanted in zip(output, _one_by_one(model, variables, images), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("chunk", [2, 4, 9])
def test_members_mapped_in_chunks_are_the_same(tiny, chunk):
    """Also where the chunk does not divide the six, and where it is larger."""
    model, variables, images = tiny
    call = jax.jit(ensemble.over_members(model.apply, over_members="map", chunk=chunk))
    for got, wanted in zip(call(variables, images), _one_by_one(model, variables, images), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


def test_a_split_keeps_1x1_convolutions_right_where_automatic_partitioning_does_not():
    """The last lines are a canary: once XLA partitions rightly they fail, and `placement` may leave it to `jit`."""
    kernels = jax.random.normal(jax.random.key(0), (8, 1, 1, 3, 8))
    pictures = jax.random.normal(jax.random.key(1), (8, 2, 4, 4, 3))

    def convolve(kernel, picture):
        dims = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(picture, kernel, (1, 1), "SAME", dimension_numbers=dims)

    wanted = np.einsum("mbhwi,mio->mbhwo", pictures, kernels[:, 0, 0])
    for split in ("shard_map", "pmap"):
        call = ensemble.over_members(convolve, over_members="vmap", over_devices=split, devices=4)
        np.testing.assert_allclose(call(kernels, pictures), wanted, atol=1e-5)
    mesh = jax.make_mesh((4,), ("member",), axis_types=(AxisType.Auto,), devices=jax.devices()[:4])
    members = NamedSharding(mesh, PartitionSpec("member"))
    automatic = jax.jit(jax.vmap(convolve), out_shardings=members)(*jax.device_put((kernels, pictures), members))
    assert np.linalg.norm(automatic - wanted) > 0.1 * np.linalg.norm(wanted)


@pytest.mark.parametrize("devices", [1, 2, 4, 8])
@pytest.mark.parametrize(("split", "how"), [("shard_map", "map"), ("shard_map", "vmap"), ("pmap", "vmap")])
def test_devices_change_no_number_also_where_members_do_not_divide(tiny, split, how, devices):
    model, variables, images = tiny
    call = ensemble.over_members(model.apply, over_members=how, over_devices=split, devices=devices)
    for got, wanted in zip(call(variables, images), _one_by_one(model, variables, images), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


def test_a_sharded_sgd_step_equals_the_loop_and_needs_no_collective(tiny):
    model, variables, images = tiny
    # SGD: Adam would hide a gradient of the wrong scale.
    optimiser = optax.sgd(0.1)

    def step(variables, images):
        def loss(params):
            output, _ = model.apply(variables | {"params": params}, images, train=True, mutable=["batch_stats"])
            return optax.softmax_cross_entropy_with_integer_labels(output.logits, jnp.zeros(2, jnp.int32)).mean()

        updates, _ = optimiser.update(jax.grad(loss)(variables["params"]), optimiser.init(variables["params"]))
        return optax.apply_updates(variables["params"], updates)

    sharded = jax.jit(ensemble.over_members(step, over_members="vmap", over_devices="shard_map", devices=2))
    single = jax.jit(step)
    wanted = [single(ensemble.member(variables, i), images[i]) for i in range(6)]
    for got, leaves in zip(
        jax.tree.leaves(sharded(variables, images)), zip(*map(jax.tree.leaves, wanted), strict=True), strict=True
    ):
        np.testing.assert_allclose(got, np.stack(leaves), rtol=1e-4, atol=1e-5)
    text = sharded.lower(variables, images).compile().as_text()
    assert not any(word in text for word in ("all-reduce(", "all-gather(", "all-to-all(", "collective-permute("))


def test_a_member_alone_starts_as_it_does_in_the_stack():
    model = models.ResNet(num_classes=2, stage_sizes=(1,), width=4, stem="small")
    stack = ensemble.init(jax.random.key(3), model, members=3)
    alone = jax.jit(model.init)(jax.random.fold_in(jax.random.key(3), 2), jnp.zeros((1, 32, 32, 3)))
    for got, wanted in zip(jax.tree.leaves(ensemble.member(stack, 2)), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-7)


def test_one_batch_is_shown_to_all(tiny):
    model, variables, images = tiny
    shared = ensemble.apply(model, variables, images[0])
    repeated = ensemble.apply(model, variables, jnp.broadcast_to(images[0], images.shape))
    np.testing.assert_array_equal(shared.logits, repeated.logits)


def test_stack_and_unstack_go_round(tiny):
    _, variables, _ = tiny
    again = ensemble.stack(ensemble.unstack(variables))
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), again, variables))
    assert ensemble.num_members(again) == 6


def test_errors_teach(tiny):
    model, variables, images = tiny
    with pytest.raises(
        UsageError, match=r"`images`: wanted \(B, H, W, 3\) or \(6, B, H, W, 3\), got \(5, 2, 16, 16, 3\)"
    ):
        ensemble.apply(model, variables, images[:5])
    with pytest.raises(UsageError, match=r"`over_members`: wanted one of loop, map, vmap, got 'scan'"):
        ensemble.over_members(model.apply, over_members="scan")
    for wrong in ({"chunk": 0}, {"chunk": 2, "over_members": "vmap"}):
        with pytest.raises(UsageError, match=r"`chunk`: wanted at least 1, and more with map only, got "):
            ensemble.over_members(model.apply, **({"over_members": "map"} | wrong))
    with pytest.raises(UsageError, match=r"`over_devices`: wanted one of none, shard_map, pmap, got 'jit'"):
        ensemble.over_members(model.apply, over_devices="jit")
    with pytest.raises(UsageError, match=r"wanted map or vmap inside a split over devices, got 'loop'"):
        ensemble.over_members(model.apply, over_members="loop", over_devices="shard_map")
    with pytest.raises(UsageError, match=r"`devices`: wanted 1..8, got 9"):
        ensemble.over_members(model.apply, over_members="map", over_devices="shard_map", devices=9)
    with pytest.raises(UsageError, match=r"`variables`: wanted one leading member axis"):
        ensemble.num_members({"a": jnp.zeros((2, 3)), "b": jnp.zeros((3, 3))})
    with pytest.raises(UsageError, match=r"`members`: wanted at least one tree"):
        ensemble.stack([])
