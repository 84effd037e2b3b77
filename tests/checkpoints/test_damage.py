"""What must never be loaded: changed bits, other things than wanted, and what a full disk left."""

import json
import resource
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fer_jax import checkpoints
from fer_jax.errors import StorageError

from .saved import FACTS, equal, shapes


@pytest.mark.parametrize("flips", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_flipped_bits_are_never_loaded(state, saved, flips):
    files = [path for path in sorted(saved.rglob("*")) if path.is_file() and path.stat().st_size]
    sizes = np.asarray([path.stat().st_size for path in files])
    random = np.random.default_rng(flips)
    refused = 0
    for at in range(flips):
        # One half anywhere on the disk, by bytes, the other half in any file: the small ones hold the order of things.
        chances = sizes / sizes.sum() if at % 2 else None
        path = files[random.choice(len(files), p=chances)]
        original = path.read_bytes()
        content = bytearray(original)
        content[random.integers(len(content))] ^= 1 << random.integers(8)
        path.write_bytes(content)
        try:
            again = checkpoints.load(saved, shapes(state))
        except StorageError as error:
            assert str(saved) in str(error) and "\n" not in str(error)
            refused += 1
        else:  # the bit carried nothing that is read
            assert equal(again, state) and checkpoints.facts(saved) == FACTS
        path.write_bytes(original)
    assert refused > flips / 3
    assert equal(checkpoints.load(saved, shapes(state)), state)


def test_every_bit_of_a_manifest_counts(saved):
    """Of the facts none changes unseen, wherever the bit is."""
    path = saved / "manifest.json"
    original = path.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(300):
        content = bytearray(original)
        content[random.integers(len(content))] ^= 1 << random.integers(8)
        path.write_bytes(content)
        try:
            assert checkpoints.facts(saved) == FACTS
        except StorageError as error:
            assert str(saved) in str(error)


def _float(dtype):
    return lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype) if leaf.dtype == jnp.float32 else leaf


def _first_kernel(change):
    def wanted(like):
        conv = like.params["conv1"]
        return like.replace(params=like.params | {"conv1": conv | {"kernel": change(conv["kernel"])}})

    return wanted


# Kind -> what the reader wants instead, and what is said.
OTHER_TREES = {
    "an array more": (lambda s: s.replace(params=s.params | {"extra": s.step}), "the checkpoint lacks params/extra"),
    "a branch less": (lambda s: s.replace(batch_stats={}), "the checkpoint has batch_stats/"),
    "another name": (
        lambda s: s.replace(params={f"{name}_": leaf for name, leaf in s.params.items()}),
        "the checkpoint lacks params/bn1_/bias",
    ),
    "deeper": (lambda s: s.replace(params={"net": s.params}), "the checkpoint lacks params/net/"),
    "another optimiser": (lambda s: s.replace(opt_state={}), "the checkpoint has opt_state/"),
    "a scalar for an array": (
        lambda s: s.replace(loss=jax.ShapeDtypeStruct((2,), jnp.float32)),
        r"array loss: wanted .*\[2\].*got .*\[\]",
    ),
    "other width": (
        _first_kernel(lambda leaf: jax.ShapeDtypeStruct((*leaf.shape[:3], 2 * leaf.shape[3]), leaf.dtype)),
        "array params/conv1/kernel: wanted",
    ),
    "axes swapped": (
        _first_kernel(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[::-1], leaf.dtype)),
        "array params/conv1/kernel: wanted",
    ),
    "a stack": (
        lambda s: jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((28, *leaf.shape), leaf.dtype), s),
        r"wanted .*\[28",
    ),
    "int for float": (lambda s: s.replace(loss=jax.ShapeDtypeStruct((), jnp.int32)), "array loss: wanted .*int32"),
    "float for int": (lambda s: s.replace(step=jax.ShapeDtypeStruct((), jnp.float32)), "got .*int32"),
    "half": (lambda s: jax.tree.map(_float(jnp.float16), s), "wanted .*float16.*got .*float32"),
    "bfloat16": (lambda s: jax.tree.map(_float(jnp.bfloat16), s), "wanted .*bfloat16.*got .*float32"),
    "bool for int": (lambda s: s.replace(seen=jax.ShapeDtypeStruct((), bool)), "array seen: wanted .*bool"),
}
OTHER_FACTS = {
    "kind": "finetuned",
    "model": "resnet50",
    "image_size": 224,
    "expressions": ["happy", "neutral", "sad"],
    "pairs": [[0, 2], [0, 1]],
    "normalise": [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]],
}


@pytest.mark.parametrize("kind", OTHER_TREES)
def test_another_tree_shape_or_dtype_is_refused_before_reading(state, saved, kind):
    change, message = OTHER_TREES[kind]
    with pytest.raises(StorageError, match=message) as caught:
        checkpoints.load(saved, change(shapes(state)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", OTHER_FACTS)
def test_other_facts_are_refused(state, saved, name):
    with pytest.raises(StorageError, match=f"wanted {name} = ") as caught:
        checkpoints.load(saved, shapes(state), facts=FACTS | {name: OTHER_FACTS[name]})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("schema", "got"), [(99, "99"), (0, "0"), ("3", "3"), (None, "None")])
def test_another_schema_is_refused(state, saved, schema, got):
    manifest = saved / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"schema": schema}))
    with pytest.raises(StorageError, match=f"wanted checkpoint schema 3, got {got}"):
        checkpoints.load(saved, shapes(state))


def test_arrays_of_another_checkpoint_are_refused(state, saved, tmp_path):
    checkpoints.save(tmp_path / "other", state.replace(step=jnp.int32(7)), facts=FACTS)
    (tmp_path / "other" / "manifest.json").write_bytes((saved / "manifest.json").read_bytes())
    with pytest.raises(StorageError, match="array step is damaged"):
        checkpoints.load(tmp_path / "other", shapes(state))


def test_no_checkpoint_is_named(state, tmp_path):
    assert not checkpoints.exists(tmp_path / "nothing")
    with pytest.raises(StorageError, match=r"wanted a checkpoint with manifest.json, found none"):
        checkpoints.load(tmp_path / "nothing", shapes(state))


def _save_onto_a_full_disk(state, saved, share):
    """Files may not grow beyond a share of the largest one: arrays or manifest fail, wherever in their bytes."""
    largest = max(path.stat().st_size for path in saved.rglob("*") if path.is_file())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(share * largest), before[1]))
    try:
        with pytest.raises(StorageError, match=r"checkpoint`: cannot be written: ") as caught:
            checkpoints.save(saved, state.replace(step=jnp.int32(7)), facts={})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(caught.value)
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


@pytest.mark.parametrize("rounds", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_a_disk_that_fills_up_in_a_save_leaves_the_last_good_checkpoint(state, saved, rounds):
    for share in np.linspace(0, 0.95, 20):
        for _ in range(rounds):
            _save_onto_a_full_disk(state, saved, share)
        assert equal(checkpoints.load(saved, shapes(state), facts=FACTS), state)
    # Nobody is left who might still write.
    time.sleep(0.1)
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]
