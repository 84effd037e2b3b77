import builtins
import json
import os
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from safetensors.numpy import save_file

from fer_jax import checkpoints, models, training
from fer_jax.errors import DataError, StorageError, UsageError


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


@pytest.fixture
def weights(tmp_path):
    """A file of another library: (path, its arrays)."""
    random = np.random.default_rng(0)
    arrays = {
        "half": random.normal(size=(3, 4)).astype(np.float16),
        "brain": random.normal(size=(2, 2, 2)).astype(jnp.bfloat16),
        "single": random.normal(size=5).astype(np.float32),
        "double": random.normal(size=(1, 2)),
        "count": np.asarray(7, np.int64),
    }
    save_file(arrays, tmp_path / "weights.safetensors", metadata={"format": "pt"})
    return tmp_path / "weights.safetensors", arrays


@pytest.mark.parametrize("as_path", [str, lambda path: path])
def test_tensors_of_a_file_come_in_their_own_dtypes(weights, as_path):
    path, arrays = weights
    got = checkpoints.read_safetensors(as_path(path))
    assert got.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (got[name].dtype, got[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(got[name], array)


def test_a_sound_file_may_begin_as_pickles_do(tmp_path):
    """The first byte is the low byte of the header's length; 640 = 0x0280 reads like a pickle of protocol 2."""
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).ljust(640).encode()
    content = len(header).to_bytes(8, "little") + header + np.float32(3).tobytes()
    assert content.startswith(b"\x80\x02")
    (tmp_path / "weights.safetensors").write_bytes(content)
    assert checkpoints.read_safetensors(tmp_path / "weights.safetensors") == {"a": np.float32([3])}


@pytest.mark.parametrize("name", ["weights.pth", "pytorch_model.bin", "looks.safetensors"])
def test_pickles_are_refused_unopened(tmp_path, name):
    path = tmp_path / name
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02cos\nsystem\n(S'true'\ntR.")
    for content in (path.read_bytes(), b"\x80\x02cos\nsystem\n(S'true'\ntR."):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=r"`.*`: a pickle, which is never unpickled; save it as safetensors .*\.$"):
            checkpoints.read_safetensors(path)


DAMAGE = {
    "a byte lost": lambda content: content[:-1],
    "cut in the header": lambda content: content[:40],
    "cut in its length": lambda content: content[:5],
    "empty": lambda content: b"",
    "bytes behind the end": lambda content: content + b"more",
    "a pointer of git-lfs": lambda content: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 102\n",
    "unknown dtype": lambda content: content.replace(b'"F32"', b'"X32"'),
    "broken JSON": lambda content: content.replace(b'{"', b'["', 1),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_named_in_one_line(weights, damage):
    path, _ = weights
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    with pytest.raises(
        DataError, match=r"weights.safetensors`: wanted a safetensors file, it cannot be read: "
    ) as caught:
        checkpoints.read_safetensors(path)
    assert "\n" not in str(caught.value)


def test_a_dtype_without_numpy_a_folder_and_nothing_are_named(tmp_path):
    header = json.dumps({"a": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}).ljust(72).encode()
    (tmp_path / "eighth").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    for name in ("eighth", ""):
        with pytest.raises(DataError, match=r"wanted a safetensors file, it cannot be read"):
            checkpoints.read_safetensors(tmp_path / name)
    with pytest.raises(DataError, match=r"nowhere`: wanted a safetensors file, found none"):
        checkpoints.read_safetensors(tmp_path / "nowhere")


def test_a_missing_extra_is_named_with_its_install_command(weights, monkeypatch):
    real = builtins.__import__

    def without_safetensors(name, *args, **kwargs):
        if name.startswith("safetensors"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_safetensors)
    with pytest.raises(UsageError, match=r"pip install 'fer-jax\[weights\]'"):
        checkpoints.read_safetensors(weights[0])
