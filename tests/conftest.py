"""A strict session: eight CPU devices, no silent rank promotion, warnings as errors, compiled programs kept on disk.

Nearly all the time of a first session is compiling, so XLA is asked for less of it.

Examples that hypothesis draws are the same in every session, unless HYPOTHESIS_PROFILE=random (`make torture`).
"""

import functools
import gc
import os
import pathlib
import resource

import jaxlib.version

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")
# Compiles in about half the time, and what it compiles runs as fast on the small shapes of the tests. From 0.12 on XLA
# does not know the last flag, and aborts at one that it does not know.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=1 --xla_cpu_parallel_codegen_split_count=1"
    + (" --xla_cpu_use_fusion_emitters=false" if jaxlib.version.__version_info__ < (0, 12) else ""),
)

import hypothesis
import jax
import numpy as np
import pytest

hypothesis.settings.register_profile("steady", derandomize=True, database=None)
hypothesis.settings.register_profile("random", derandomize=False)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

# Rooms whose programs loop so long that optimising them costs less than it saves (twenty times as slow without), and
# those that hold single operations to the last digits.
OPTIMISED = {"saliency", "compare", "test_calibration.py", "test_examples.py"}
LARGE = 2**31  # bytes
ROOT = pathlib.Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    jax.config.update("jax_compilation_cache_dir", str(ROOT / ".cache" / "jax"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def pytest_collection_finish():
    """Spare the garbage collector what was imported and collected: it stays to the end anyway."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def quick_compile(request):
    """Ask for hardly any optimisation in other rooms: a network's program compiles in a third of the time."""
    here = request.path.relative_to(ROOT / "tests").parts
    brief = OPTIMISED.isdisjoint(here) or here[-1] == "test_laws.py"  # saliency's laws compile much and loop little
    jax.config.update("jax_disable_most_optimizations", brief)
    yield
    if _resident() > LARGE:  # programs of rooms that are done: two workers would fill a small machine with them
        jax.clear_caches()


def _resident() -> int:
    """Return the bytes of memory that this process holds, 0 where the system does not tell."""
    try:
        pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * resource.getpagesize()


@pytest.fixture(scope="session")
def root() -> pathlib.Path:
    """The checkout."""
    return ROOT


class References(dict):
    """Arrays of one file of reference numbers; a test that reads one which is not here is skipped."""

    def __missing__(self, name):
        pytest.skip(f"the reference numbers {name!r} are in ../shared/goldens only, which is absent")


@pytest.fixture(scope="session")
def goldens():
    """Reference numbers by the name of their file: of the large set beside the checkout, else of tests/golden."""

    @functools.cache
    def read(name):
        places = [folder / f"{name}.npz" for folder in (SHARED / "goldens", ROOT / "tests" / "golden")]
        path = next((path for path in places if path.exists()), None)
        if path is None:
            pytest.skip(f"no reference numbers: ../shared/goldens/{name}.npz is absent")
        return References(np.load(path))

    return read


@pytest.fixture(scope="session")
def large_goldens() -> pathlib.Path:
    """The folder of the large set; a test that needs it is skipped where it is absent."""
    folder = SHARED / "goldens"
    if not folder.is_dir():
        pytest.skip("no large set of reference numbers: ../shared/goldens is absent")
    return folder


@pytest.fixture(scope="session")
def real_data() -> pathlib.Path:
    """The folder of real photographs and logs; a test that needs it is skipped where it is absent."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("no real data: ../shared/data is absent")
    return folder
