"""What importing costs and what it may touch; what the wheel holds."""

import json
import os
import subprocess
import sys
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
        "print(json.dumps(sorted(sys.modules)))"
    )
    modules = json.loads(_child(code, JAX_PLATFORMS="none_such"))
    assert not [name for name in HEAVY if name in modules]


def test_importing_touches_no_device_but_devices_still_fail_as_they_should():
    code = "import fer_jax, jax\ntry:\n    jax.devices()\nexcept RuntimeError:\n    print('no device')"
    assert _child(code, JAX_PLATFORMS="none_such").strip() == "no device"


def test_unknown_names_are_attribute_errors():
    import fer_jax

    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = fer_jax.nonsense
    assert "saliency" in dir(fer_jax)


def test_the_wheel_holds_the_library_only(tmp_path, root):
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(root)],
        check=True,
        capture_output=True,
        timeout=120,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"fer_jax"}
    assert "fer_jax/py.typed" in names
