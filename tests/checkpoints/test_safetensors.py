import json
import pathlib
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from fer_jax import checkpoints, models
from fer_jax.errors import DataError, StorageError, UsageError


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


def test_the_same_tensors_give_the_same_bytes(weights, tmp_path):
    _, arrays = weights
    metadata = {f"key {number}": 'naïve "text"' for number in range(12)}
    files = []
    for number, order in enumerate((metadata, dict(reversed(metadata.items())))):
        files.append(tmp_path / f"{number}.safetensors")
        checkpoints.write_safetensors(files[-1], arrays, metadata=order)
    assert files[0].read_bytes() == files[1].read_bytes()
    header = int.from_bytes(files[0].read_bytes()[:8], "little")
    assert header % 8 == 0
    assert checkpoints.read_safetensors_metadata(files[0]) == metadata
    got = checkpoints.read_safetensors(files[0])
    assert all((got[name] == array).all() for name, array in arrays.items())


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


def test_a_network_goes_out_and_comes_back(tmp_path):
    model = models.SmallResNet(num_classes=3, width=8)
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
    path = tmp_path / "new" / "net.safetensors"
    checkpoints.write_safetensors(path, models.to_state_dict(model, variables), metadata={"classes": "a,b,c"})
    again = models.from_state_dict(checkpoints.read_safetensors(path), model)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), again, variables))
    with safe_open(path, "numpy") as file:
        assert file.metadata() == {"classes": "a,b,c"}


def test_a_file_that_cannot_be_written_leaves_the_old_one(weights, monkeypatch):
    path, arrays = weights

    def full(self, content):
        self.touch()
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(pathlib.Path, "write_bytes", full)
    with pytest.raises(StorageError, match=r"cannot be written: No space left on device. Nothing"):
        checkpoints.write_safetensors(path, {"one": np.ones(2, np.float32)})
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert checkpoints.read_safetensors(path).keys() == arrays.keys()
