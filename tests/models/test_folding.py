import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fer_jax import ensemble, models
from fer_jax.errors import UsageError

NETWORKS = {
    "bottleneck": functools.partial(models.ResNet, stage_sizes=(1, 2), width=4),
    "basic": functools.partial(models.ResNet, stage_sizes=(1, 2), width=4, block="basic"),
    "small": functools.partial(models.SmallResNet, width=8),
}
TINY = models.TinyResNet(num_classes=2, width=4)


IMAGES = np.random.default_rng(1).normal(size=(2, 24, 24, 3))


def close(got, wanted, relative):
    for name in ("logits", "features"):
        left, right = getattr(got, name), getattr(wanted, name)
        assert left.dtype == right.dtype
        np.testing.assert_allclose(left, right, rtol=0, atol=relative * abs(right).max())


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(("dtype", "relative"), [(jnp.float32, 1e-5), (jnp.float64, 1e-12)])
def test_folded_equals_unfolded(x64, random_variables, network, dtype, relative):
    model = NETWORKS[network](num_classes=3, dtype=dtype)
    variables, x = random_variables(model, dtype=dtype), jnp.asarray(IMAGES, dtype)
    folded, its = models.fold_batch_norm(model, variables)
    assert folded == model.clone(folded=True)
    assert {leaf.dtype for leaf in jax.tree.leaves(its)} == {jnp.dtype(dtype)}
    close(jax.jit(folded.apply)(its, x), jax.jit(model.apply)(variables, x), relative)


def test_the_folded_model_asks_for_exactly_the_folded_variables(random_variables):
    folded, its = models.fold_batch_norm(TINY, random_variables(TINY))
    like = jax.eval_shape(folded.init, jax.random.key(0), jnp.asarray(IMAGES, jnp.float32))
    assert jax.tree.map(jnp.shape, its) == jax.tree.map(jnp.shape, like)


def test_a_stack_is_folded_as_its_members_are_and_as_vmap_does(random_variables):
    model = NETWORKS["small"](num_classes=2)
    members = [random_variables(model, seed=seed) for seed in range(3)]
    stack, x = ensemble.stack(members), jnp.asarray(IMAGES, jnp.float32)
    folded, its = models.fold_batch_norm(model, stack)
    for index, member in enumerate(members):
        alone = models.fold_batch_norm(model, member)[1]
        jax.tree.map(np.testing.assert_array_equal, ensemble.member(its, index), alone)
    mapped = jax.jit(jax.vmap(lambda each: models.fold_batch_norm(model, each)[1]))(stack)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), mapped, its)
    close(ensemble.apply(folded, its, x), ensemble.apply(model, stack, x), 1e-5)


def test_what_cannot_be_folded_or_trained_is_refused(random_variables):
    variables, x = random_variables(TINY), jnp.asarray(IMAGES, jnp.float32)
    folded, its = models.fold_batch_norm(TINY, variables)
    with pytest.raises(UsageError, match=r"`model`: wanted one with BatchNorm, got a folded one"):
        models.fold_batch_norm(folded, its)
    with pytest.raises(UsageError, match=r"`variables`: wanted params and batch_stats, got params; fold once"):
        models.fold_batch_norm(TINY, its)
    with pytest.raises(UsageError, match=r"`train`: a folded network has no BatchNorm to train"):
        folded.apply(its, x, train=True, mutable=["batch_stats"])
    params = {name: leaf for name, leaf in variables["params"].items() if name != "bn1"}
    with pytest.raises(UsageError, match=r"`variables`: wanted those of a ResNet.*'bn1'"):
        models.fold_batch_norm(TINY, variables | {"params": params})
