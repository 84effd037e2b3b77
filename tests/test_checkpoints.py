import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fer_jax import checkpoints, models, training
from fer_jax.errors import StorageError


@pytest.fixture(scope="module")
def state():
    model = models.SmallResNet(num_classes=2, width=8)
    return training.init_state(jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 16, 16, 3))), optax.adam(1e-3))


@pytest.fixture
def saved(state, tmp_path):
    folder = tmp_path / "checkpoint"
    checkpoints.save(folder, state, facts={"model": "small", "pairs": [[0, 1]]})
    return folder


def _like(tree):
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)


def test_what_is_saved_comes_back_bit_for_bit(state, saved):
    again = checkpoints.load(saved, _like(state), facts={"model": "small"})
    assert jax.tree.structure(again) == jax.tree.structure(state)
    assert jax.tree.all(jax.tree.map(lambda a, b: a.dtype == b.dtype and bool((a == b).all()), again, state))


def test_nothing_unfinished_stays_and_a_new_save_replaces_the_old(state, saved):
    digests = checkpoints.save(saved, state.replace(step=jnp.int32(7)), facts={})
    assert int(checkpoints.load(saved, _like(state)).step) == 7
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]
    assert all(len(digest) == 64 for digest in digests.values())


def test_flipped_bits_are_never_loaded(state, saved):
    files = [path for path in (saved / "arrays").rglob("*") if path.is_file() and path.stat().st_size > 200]
    random = np.random.default_rng(0)
    for _ in range(12):
        path = files[random.integers(len(files))]
        content = bytearray(path.read_bytes())
        place = random.integers(len(content))
        content[place] ^= 1 << random.integers(8)
        original = path.read_bytes()
        path.write_bytes(content)
        try:
            again = checkpoints.load(saved, _like(state))
        except StorageError as error:
            assert str(saved) in str(error)
            assert "\n" not in str(error)
        else:  # the flip hit a byte that carries no array data
            assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), again, state))
        path.write_bytes(original)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.replace(step=jax.ShapeDtypeStruct((), jnp.float32)), "array step: wanted .*float32.*got .*int32"),
        (lambda s: s.replace(loss=jax.ShapeDtypeStruct((2,), jnp.float32)), r"array loss: wanted .*\[2\].*got .*\[\]"),
        (lambda s: s.replace(batch_stats={}), "wanted the arrays of this model; the checkpoint has batch_stats/"),
        (lambda s: s.replace(params=s.params | {"extra": s.step}), "the checkpoint lacks params/extra"),
    ],
)
def test_another_tree_shape_or_dtype_is_refused_before_reading(state, saved, change, message):
    with pytest.raises(StorageError, match=message):
        checkpoints.load(saved, change(_like(state)))


def test_other_facts_schema_or_no_checkpoint_are_refused(state, saved, tmp_path):
    with pytest.raises(StorageError, match=r"wanted model = 'resnet50', the checkpoint has 'small'"):
        checkpoints.load(saved, _like(state), facts={"model": "resnet50"})
    with pytest.raises(StorageError, match=r"wanted a checkpoint with manifest.json, found none"):
        checkpoints.load(tmp_path / "nothing", _like(state))
    manifest = saved / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"schema": 99}))
    with pytest.raises(StorageError, match=r"wanted checkpoint schema 1, got 99"):
        checkpoints.load(saved, _like(state))
    assert checkpoints.exists(saved)
    assert not checkpoints.exists(tmp_path / "nothing")


def test_a_folder_that_cannot_be_written_is_a_storage_error(state, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(StorageError, match=r"cannot be written"):
        checkpoints.save(blocked / "checkpoint", state)
    assert os.listdir(tmp_path) == ["file"]
