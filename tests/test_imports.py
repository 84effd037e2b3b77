"""What importing costs and what it may touch; what the wheel holds."""

import json
import os
import subprocess
import sys
import tarfile
import zipfile

import pytest

HEAVY = ("pandas", "cv2", "orbax", "matplotlib", "tensorflow", "tensorflow_datasets", "scipy.stats")


def _child(code, **environment):
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_core_imports_without_a_device_or_heavy_packages():
    code = (
        "import sys, json, fer_jax as fer\n"
        "for name in ('models', 'ensemble', 'saliency', 'training', 'images', 'masks', 'metrics', 'augment'):\n"
        "    getattr(fer, name)\n"
        "print(json.dumps(sorted(sys.modules)))\n"
        # What every run imports leaves scipy.stats to whoever asks it something: it is a third of a start.
        "import experiments.study.codebook\n"
        "print('scipy.stats' in sys.modules)"
    )
    core, of_a_run = _child(code, JAX_PLATFORMS="none_such").splitlines()
    assert not [name for name in HEAVY if name in json.loads(core)]
    assert of_a_run == "False"


def test_importing_touches_no_device_but_devices_still_fail_as_they_should():
    code = "import fer_jax, jax\ntry:\n    jax.devices()\nexcept RuntimeError:\n    print('no device')"
    assert _child(code, JAX_PLATFORMS="none_such").strip() == "no device"


def test_unknown_names_are_attribute_errors():
    import fer_jax

    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = fer_jax.nonsense
    assert "saliency" in dir(fer_jax)


_WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""


@pytest.mark.parametrize(
    ("package", "room", "name"), [("matplotlib", "figures", "draw_dice"), ("cv2", "data", "decode")]
)
def test_a_room_without_its_package_can_be_looked_at_and_says_what_it_wants(package, room, name):
    code = f"""
import inspect, pydoc, fer_jax
from fer_jax import *
from fer_jax.errors import UsageError
pydoc.render_doc(fer_jax)
inspect.getmembers(fer_jax)
assert hasattr(fer_jax, {room!r}) and {room!r} in dir(fer_jax)
assert not hasattr({room}, {name!r})
try:
    fer_jax.{room}.{name}
except UsageError as error:
    print(error)
try:
    import fer_jax.{room}
except ImportError as error:
    print(error)
"""
    used, imported = _child(_WITHOUT.format(package=package) + code).splitlines()
    assert f"`fer_jax.{room}`" in used and package in used and "pip install" in used
    assert package in imported
    if package == "matplotlib":
        assert used == imported and "pip install 'fer-jax[figures]'" in used


@pytest.mark.parametrize("package", ["tensorstore", "tensorflow_datasets", "grain", "tensorboardX"])
def test_no_room_wants_a_package_that_only_some_functions_use(package):
    code = "import types, fer_jax\nprint(*(type(getattr(fer_jax, name)).__name__ for name in fer_jax.__all__[3:]))"
    assert set(_child(_WITHOUT.format(package=package) + code).split()) == {"module"}


def _built(kind, root, folder):
    """Build the wheel or the source archive, the only file of a folder; return its path."""
    command = [sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", str(folder), str(root)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    (made,) = folder.iterdir()
    return made


def test_the_wheel_holds_the_library_only(tmp_path, root):
    wheel = _built("wheel", root, tmp_path)
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"fer_jax"}
    assert "fer_jax/py.typed" in names


def test_the_source_archive_holds_what_the_tests_read(tmp_path, root):
    archive = _built("sdist", root, tmp_path)
    with tarfile.open(archive) as files:
        names = files.getnames()
    tops = {name.split("/")[1] for name in names if "/" in name}
    assert any(name.endswith("/experiments/study/report/head.html") for name in names)
    wanted = {"fer_jax", "experiments", "benchmarks", "datasets", "tests", "docs", "examples", "Makefile", "README.md"}
    wanted |= {"BUILD.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "pyproject.toml", "constraints-py311.txt"}
    assert tops >= {name for name in wanted if (root / name).exists()}
    assert not tops & {".cache", ".venv", "runs", "shared"}
