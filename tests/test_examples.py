"""Examples in docstrings run, and each exported function of four rooms has one.

An example sees `np`, `jax`, `jnp` and `fer` (the library) beside the names of its module. It takes tiny arrays and far
less than a second. A room whose functions still lack examples stands in `PENDING`.
"""

import doctest
import importlib
import inspect
import pathlib
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fer_jax as fer

PACKAGE = pathlib.Path(fer.__file__).parent
ROOMS = ("compare", "ensemble", "metrics", "saliency")
PENDING: set[str] = set()

MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if ">>>" in path.read_text(encoding="utf-8")
)


def exported(module):
    """Names and functions that a room exports, with those of the modules it exports."""
    names = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
    for name in names:
        thing = getattr(module, name)
        if isinstance(thing, types.ModuleType):
            if thing.__name__.startswith(module.__name__ + "."):
                yield from exported(thing)
        elif callable(thing) and not inspect.isclass(thing) and thing.__module__.startswith(module.__name__):
            yield f"{module.__name__}.{name}", thing


def without_example(room):
    """Names of a room's exported functions whose docstring holds no example."""
    functions = dict(exported(importlib.import_module(f"fer_jax.{room}")))
    assert functions
    return [name for name, function in functions.items() if ">>>" not in (inspect.getdoc(function) or "")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module(name):
    report = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE, verbose=False)
    for example in doctest.DocTestFinder().find(
        importlib.import_module(name), extraglobs={"np": np, "jax": jax, "jnp": jnp, "fer": fer}
    ):
        runner.run(example, out=report.append)
    assert runner.tries and not runner.failures, "".join(report)


@pytest.mark.parametrize("room", ROOMS)
def test_each_exported_function_has_an_example(room):
    missing = without_example(room) if room not in PENDING else []
    assert not missing, "no `>>>` in the docstring of\n" + "\n".join(missing)


def test_no_room_is_pending_that_is_done():
    done = sorted(room for room in PENDING if not without_example(room))
    assert not done, f"each function has its example, take out of PENDING in tests/test_examples.py: {', '.join(done)}"
