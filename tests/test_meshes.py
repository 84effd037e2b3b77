"""Each device its own: what is computed under a caller's meshes equals what one device computes."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from fer_jax import saliency
from fer_jax.errors import UsageError

from .calls import CALLS, DEVICES, FEATURES, PICTURES, ROOMS, TARGETS, head, logits

ROWS = PartitionSpec("row")


def mesh_of(kind):
    return jax.make_mesh((DEVICES,), ("row",), axis_types=(kind,), devices=jax.devices()[:DEVICES])


def room_of(room):
    """All calls of a room as one function of one device's arrays, which costs one program; and the arrays."""
    calls = {name: call for name, (call, *_) in CALLS.items() if name.rsplit(".", 1)[0] == room}
    arrays = {name: tuple(CALLS[name][1:]) for name in calls}
    return lambda each: {name: call(*each[name]) for name, call in calls.items()}, arrays


@functools.cache
def expected(room):
    together, arrays = room_of(room)
    return jax.jit(jax.vmap(together))(arrays)


def placed(arrays, mesh):
    return jax.device_put(arrays, NamedSharding(mesh, ROWS))


def shard_mapped(together):
    def own(rows):
        return jax.tree.map(lambda leaf: leaf[None], together(jax.tree.map(lambda leaf: leaf[0], rows)))

    # Its check, on by default, is what makes derivatives by equal values sums over devices.
    split = jax.shard_map(own, mesh=mesh_of(AxisType.Auto), in_specs=ROWS, out_specs=ROWS)
    return jax.jit(split)


def under_shard_map(together, arrays):
    return shard_mapped(together)(arrays)


def under_pmap(together, arrays):
    return jax.pmap(together, devices=jax.devices()[:DEVICES])(arrays)


def on_auto_axes(together, arrays):
    return jax.jit(jax.vmap(together))(placed(arrays, mesh_of(AxisType.Auto)))


def on_explicit_axes(together, arrays):
    mesh = mesh_of(AxisType.Explicit)
    free = jax.sharding.auto_axes(jax.vmap(together), out_sharding=NamedSharding(mesh, ROWS))
    return jax.jit(free)(placed(arrays, mesh))


def check(got, wanted):
    for name in wanted:
        pairs = zip(jax.tree.leaves(got[name]), jax.tree.leaves(wanted[name]), strict=True)
        for one, other in pairs:
            if not jnp.issubdtype(other.dtype, jax.dtypes.prng_key):
                # As a whole: a correlation of nearly nothing has few digits.
                np.testing.assert_allclose(
                    *(np.asarray(leaf, float) for leaf in (one, other)), 1e-4, 1e-4, err_msg=name
                )


@pytest.mark.parametrize("room", ROOMS)
def test_a_callers_shard_map_takes_all_of_it(room):
    """Loops whose start is equal on all devices while they go on apart are refused when traced or lowered."""
    together, arrays = room_of(room)
    assert "manual" in shard_mapped(together).lower(arrays).as_text()


@pytest.mark.slow
@pytest.mark.parametrize("run", [under_shard_map, under_pmap, on_auto_axes, on_explicit_axes])
@pytest.mark.parametrize("room", ROOMS)
def test_each_device_computes_its_own(room, run):
    check(run(*room_of(room)), expected(room))


def of_a_class(method, **options):
    """From a target to a map of one picture that is equal on all devices."""
    return lambda target: method(lambda view: saliency.class_score(100 * logits(view), target), PICTURES[0], **options)


def keyed(method):
    return functools.partial(method, jax.random.key(0))


SMALL = saliency.ExtremalOptions(iterations=4, step=4, sigma=4.0, levels=3, max_blur=2.0)
CONVERGED = dataclasses.replace(SMALL, stop="converged", patience=2)
OF_A_CLASS = {
    **{
        name: functools.partial(getattr(saliency, name), head, FEATURES[0], rectify=False)
        for name in ("grad_cam", "hires_cam", "grad_cam_plus_plus", "layer_cam")
    },
    "input_x_gradient": of_a_class(saliency.input_x_gradient),
    "integrated_gradients": of_a_class(saliency.integrated_gradients, steps=3),
    "smooth_grad": of_a_class(keyed(saliency.smooth_grad), samples=2, channels="sum"),
    "rise": of_a_class(keyed(saliency.rise), samples=4),
    "extremal_perturbation": lambda target: of_a_class(saliency.extremal_perturbation, options=SMALL)(target)[0],
    "extremal_converged": lambda target: of_a_class(
        saliency.extremal_perturbation, options=CONVERGED, initial=jax.random.key(1)
    )(target)[0],
}


def all_of_a_class(target):
    return {name: explain(target) for name, explain in OF_A_CLASS.items()}


def test_one_picture_explained_for_another_class_on_each_device():
    """The derivative by what is equal on all devices would be the sum over the classes, the same map everywhere."""
    wanted = jax.jit(jax.vmap(all_of_a_class))(TARGETS)
    got = under_shard_map(all_of_a_class, TARGETS)
    check(got, wanted)
    for name, heats in got.items():
        assert not jnp.allclose(heats[0], heats[1], atol=1e-5), f"{name}: equal maps would prove nothing"


@pytest.mark.parametrize("context", [True, False])
def test_over_images_of_pictures_on_explicit_axes(context):
    mesh = mesh_of(AxisType.Explicit)
    pictures = jax.device_put(jnp.concatenate([PICTURES] * 2), NamedSharding(mesh, ROWS))
    explain = of_one_picture

    def run(split):
        return saliency.over_images(explain, pictures, chunk=1, over_devices=split)

    with jax.set_mesh(mesh) if context else jax.default_device(None):
        heats = run("none")
        for split in ("shard_map", "pmap"):
            with pytest.raises(UsageError, match="`over_devices`: wanted arrays on no mesh of Explicit axes"):
                run(split)
    wanted = jax.jit(jax.vmap(of_one_picture))(jnp.concatenate([PICTURES] * 2))
    np.testing.assert_allclose(np.asarray(heats), np.asarray(wanted), rtol=1e-4, atol=1e-5)


def of_one_picture(image):
    return saliency.input_x_gradient(lambda view: logits(view)[0], image)
