"""The grammar of the public functions: documented, key first, options keyword-only, arguments named in the text."""

import inspect
import operator

import pytest

import fer_jax

CORE = (
    "augment",
    "images",
    "masks",
    "metrics",
    "models",
    "saliency",
    "saliency.faithfulness",
    "ensemble",
    "explanation",
    "training",
)
HOST = ("checkpoints", "data", "faces", "figures")
# Arguments with a default that are read naturally in place: what to explain, where to draw or compute.
POSITIONAL_DEFAULTS = {"target", "ax", "place", "platform", "level", "options"}


def _public(namespaces):
    for name in namespaces:
        module = operator.attrgetter(name)(fer_jax)
        exported = getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]
        for entry in exported:
            thing = getattr(module, entry)
            if inspect.isroutine(thing) and getattr(thing, "__module__", "").startswith(f"fer_jax.{name}"):
                yield pytest.param(thing, id=f"{name}.{entry}")


def _compare():
    from fer_jax.compare import confusion, decisions, dice, intervals, localisation, reference_maps, statistics

    for module in (confusion, decisions, dice, intervals, localisation, reference_maps, statistics):
        for name, thing in vars(module).items():
            if inspect.isfunction(thing) and not name.startswith("_") and thing.__module__ == module.__name__:
                yield pytest.param(thing, id=f"{module.__name__}.{name}")


EVERY = [*_public(CORE), *_public(HOST), *_compare()]


def _parameters(function):
    return list(inspect.signature(function).parameters.values())


@pytest.mark.parametrize("function", EVERY)
def test_documented_with_its_arguments(function):
    text = inspect.getdoc(function)
    assert text, "wanted a docstring"
    if "\n" not in text.partition("\n\nExample:")[0]:  # one line may do for what explains itself
        return
    assert "Returns:" in text or "Args:" in text
    for parameter in _parameters(function):
        if "Args:" in text and parameter.kind is not inspect.Parameter.VAR_POSITIONAL:
            assert f"{parameter.name}:" in text or f"{parameter.name}," in text, f"`{parameter.name}` is not described"


@pytest.mark.parametrize("function", EVERY)
def test_a_random_key_comes_first(function):
    required = [p.name for p in _parameters(function) if p.default is inspect.Parameter.empty]
    assert "key" not in required[1:]


@pytest.mark.parametrize("function", list(_public(CORE)))
def test_options_are_keyword_only(function):
    for parameter in _parameters(function):
        if parameter.default is not inspect.Parameter.empty and parameter.name not in POSITIONAL_DEFAULTS:
            assert parameter.kind is inspect.Parameter.KEYWORD_ONLY, f"`{parameter.name}` has a default"


def test_there_is_something_to_check():
    assert len(EVERY) > 60
