import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fer_jax import checkpoints
from fer_jax.errors import StorageError, UsageError

from .saved import FACTS, equal, shapes

MEMBERS = 5


def test_what_is_saved_comes_back_bit_for_bit(state, saved):
    assert equal(checkpoints.load(saved, shapes(state), facts={"model": "small"}), state)


def test_nothing_unfinished_stays_and_a_new_save_replaces_the_old(state, saved):
    digests = checkpoints.save(saved, state.replace(step=jnp.int32(7)), facts={})
    assert int(checkpoints.load(saved, shapes(state)).step) == 7
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]
    assert all(len(digest) == 64 for digest in digests.values())


def test_a_folder_that_cannot_be_written_is_a_storage_error(state, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(StorageError, match=r"cannot be written"):
        checkpoints.save(blocked / "checkpoint", state)
    assert os.listdir(tmp_path) == ["file"]


def test_a_checkpoint_of_the_first_schema_is_still_read(state, saved):
    """Its manifest had no sum of its own, and its arrays none for each member."""
    manifest = json.loads((saved / "manifest.json").read_text())
    del manifest["sha256"]
    (saved / "manifest.json").write_text(json.dumps(manifest | {"schema": 1}))
    assert equal(checkpoints.load(saved, shapes(state), facts=FACTS), state)


@pytest.fixture(scope="module")
def stack(state):
    """Variables of some members, each of its own values."""

    def vary(leaf):
        return jnp.stack([leaf + jnp.asarray(index, leaf.dtype) for index in range(MEMBERS)])

    return jax.tree.map(vary, {"params": state.params, "batch_stats": state.batch_stats})


@pytest.mark.parametrize("stacked", [True, False])
def test_one_member_equals_its_row(stack, tmp_path, stacked):
    checkpoints.save(tmp_path / "stack", stack, facts=FACTS, stacked=stacked)
    assert equal(checkpoints.load(tmp_path / "stack", shapes(stack), facts=FACTS), stack)
    for index in range(MEMBERS):
        row = jax.tree.map(lambda leaf, i=index: leaf[i], stack)
        assert equal(checkpoints.load_member(tmp_path / "stack", shapes(row), index, facts=FACTS), row)


def test_one_member_is_read_without_the_others(stack, tmp_path):
    """With all other members' bytes destroyed, its own still come, and the others are refused."""
    big = {"kernel": np.random.default_rng(0).normal(size=(MEMBERS, 50_000)).astype(np.float32)}
    checkpoints.save(tmp_path / "stack", big, stacked=True)
    one = {"kernel": jax.ShapeDtypeStruct((50_000,), np.float32)}
    file = tmp_path / "stack" / "arrays.safetensors"
    with open(file, "r+b") as stream:
        header = 8 + int.from_bytes(stream.read(8), "little")
        stream.seek(header)
        stream.write(bytes((file.stat().st_size - header) // 2))
    kept, lost = [], []
    for index in range(MEMBERS):
        try:
            kept.append((index, checkpoints.load_member(tmp_path / "stack", one, index)["kernel"]))
        except StorageError:
            lost.append(index)
    assert kept and lost, "one half of the members' bytes is gone"
    for index, kernel in kept:
        np.testing.assert_array_equal(kernel, big["kernel"][index])
    with pytest.raises(StorageError):
        checkpoints.load(tmp_path / "stack", shapes(big))


@pytest.mark.parametrize("index", [-1, MEMBERS])
def test_a_member_that_is_not_there_is_refused(stack, tmp_path, index):
    checkpoints.save(tmp_path / "stack", stack, stacked=True)
    row = jax.tree.map(lambda leaf: leaf[0], stack)
    with pytest.raises(UsageError, match=rf"`index`: wanted a member in 0..4 of .*stack, got {index}\."):
        checkpoints.load_member(tmp_path / "stack", shapes(row), index)


def test_a_stack_wants_one_member_axis(state, tmp_path):
    for tree in (state, {"a": np.ones((2, 3)), "b": np.ones((3, 3))}, {"a": np.ones((2, 3)), "b": np.float32(1)}):
        with pytest.raises(UsageError, match=r"`stacked`: wanted one leading member axis on every leaf"):
            checkpoints.save(tmp_path / "stack", tree, stacked=True)
