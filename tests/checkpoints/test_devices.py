"""A checkpoint opens on whatever devices there are, in today's layout and in the older one, which names devices."""

import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from fer_jax import checkpoints
from fer_jax.checkpoints import _manifest
from fer_jax.errors import Damaged, StorageError

from .saved import FACTS, equal, shapes

ROWS = 28
# What stood beside the arrays of a machine with other devices, by the name of their kind.
ELSEWHERE = {"cpu": "TFRT_CPU_{}", "cuda": "cuda:{}", "tpu": "TPU_{}(process=0,({},0,0,0))"}


def _tree(devices):
    """A stack of rows dealt out to so many devices, beside what only the first of them holds."""
    mesh = jax.make_mesh((devices,), ("row",), devices=jax.devices()[:devices])
    random = np.random.default_rng(0)
    rows = {
        "kernel": random.normal(size=(ROWS, 3, 4)).astype(np.float32),
        "half": random.normal(size=(ROWS, 2)).astype(jnp.bfloat16),
        "step": np.arange(ROWS, dtype=np.int32),
        "bad": random.random(ROWS) < 0.5,
    }
    return {
        "running": jax.device_put(rows, NamedSharding(mesh, PartitionSpec("row"))),
        "left": {"bias": jnp.arange(5.0)},
    }


def _save_as_before(folder, tree, names):
    """Write a checkpoint of schema 2: by Orbax, with the devices' names, here replaced by others."""
    folder.mkdir()
    arrays = {f"running/{name}": leaf for name, leaf in tree["running"].items()} | {"left/bias": tree["left"]["bias"]}
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=True, use_zarr3=False)) as checkpointer:
        checkpointer.save(folder / "arrays", args=ocp.args.PyTreeSave(arrays))
    (folder / "arrays" / "_sharding").write_text(_elsewhere(folder / "arrays" / "_sharding", names))
    described = {path: _manifest.described(np.asarray(leaf), stacked=False) for path, leaf in arrays.items()}
    _manifest.write(folder, FACTS, described)
    content = json.loads((folder / "manifest.json").read_text())
    content = {"schema": 2, "facts": content["facts"], "arrays": content["arrays"]}
    (folder / "manifest.json").write_text(json.dumps(content | {"sha256": _manifest._own_sum(content)}))


def _elsewhere(file, names):
    """The records of shardings, on devices that are not here: numbers from 100, names of another kind."""
    told = json.loads(file.read_text())
    assert told
    for key, text in told.items():
        record = json.loads(text)
        if "device_str" in record:
            record["device_str"] = names.format(100, 100)
        else:
            mesh = record["device_mesh"]["mesh"]
            record["device_mesh"]["mesh"] = [{"id": 100 + at} for at in range(len(mesh))]
        told[key] = json.dumps(record)
    return json.dumps(told)


@pytest.mark.parametrize("devices", [1, 2, 4, 7])
def test_saved_on_some_devices_it_opens_without_them(tmp_path, devices):
    tree = _tree(devices)
    checkpoints.save(tmp_path / "now", tree, facts=FACTS)
    again = checkpoints.load(tmp_path / "now", shapes(tree), facts=FACTS)
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(again))
    assert equal(again, jax.tree.map(np.asarray, tree))
    assert sorted(os.listdir(tmp_path / "now")) == ["arrays.safetensors", "manifest.json"]
    # No byte depends on where the arrays lay.
    checkpoints.save(tmp_path / "one", _tree(1), facts=FACTS)
    for name in os.listdir(tmp_path / "now"):
        assert (tmp_path / "now" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


@pytest.mark.parametrize(("devices", "kind"), [(1, "tpu"), (2, "cpu"), (4, "cuda"), (7, "tpu")])
def test_an_older_checkpoint_opens_on_other_devices(tmp_path, devices, kind):
    tree = _tree(devices)
    _save_as_before(tmp_path / "older", tree, ELSEWHERE[kind])
    assert equal(checkpoints.load(tmp_path / "older", shapes(tree), facts=FACTS), jax.tree.map(np.asarray, tree))


def test_of_an_older_checkpoint_one_member_is_read(tmp_path):
    tree = _tree(4)
    del tree["left"]
    _save_as_before(tmp_path / "older", tree | {"left": {"bias": jnp.zeros(ROWS)}}, ELSEWHERE["cuda"])
    row = jax.tree.map(lambda leaf: np.asarray(leaf)[3], tree)
    like = {"running": shapes(row["running"]), "left": {"bias": jax.ShapeDtypeStruct((), jnp.float32)}}
    assert equal(checkpoints.load_member(tmp_path / "older", like, 3)["running"], row["running"])


def test_damage_is_said_of_damage_only(tmp_path, state):
    """A disk that does not give a file is no damaged file: whoever goes back to an older one would lose work."""
    place = tmp_path / "checkpoint"
    checkpoints.save(place, state, facts=FACTS)
    arrays = place / "arrays.safetensors"
    arrays.rename(tmp_path / "aside")
    with pytest.raises(Damaged, match="damaged and not loaded: its arrays are missing"):
        checkpoints.load(place, shapes(state))
    arrays.mkdir()
    with pytest.raises(StorageError, match=r"`: cannot be read: ") as caught:
        checkpoints.load(place, shapes(state))
    assert not isinstance(caught.value, Damaged)
    arrays.rmdir()
    arrays.write_bytes((tmp_path / "aside").read_bytes()[:-1])
    with pytest.raises(Damaged, match="damaged and not loaded: "):
        checkpoints.load(place, shapes(state))
    for wanted in ({"facts": {"kind": "other"}}, {"like": {"other": state.step}}):
        with pytest.raises(StorageError) as caught:
            checkpoints.load(place, **({"like": shapes(state)} | wanted))
        assert not isinstance(caught.value, Damaged) and "damaged" not in str(caught.value)


def test_a_dtype_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(Exception, match=r"`tree`: Unknown dtype .complex128"):
        checkpoints.save(tmp_path / "checkpoint", {"a": np.zeros(2, np.complex128)})
    assert not list(tmp_path.iterdir())
