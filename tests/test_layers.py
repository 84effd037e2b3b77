"""The floors of the house: a file imports only from floors below its own (a half is the upper end of a floor)."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "fer_jax"

FLOORS = {
    "errors": 0, "streams": 0, "provenance": 0.3, "categories": 0.3, "files": 0.3, "parallel": 0.3,
    "expressions": 0.5, "arrays": 0.5,
    "images": 1, "metrics": 1, "placement": 1, "masks": 1.5, "augment": 1.5,
    "models": 2, "saliency": 2,
    "ensemble": 3,
    "training": 4,
    "faces": 5, "data": 5, "human": 5, "checkpoints": 5,
    "compare": 6,
    "figures": 7,
}  # fmt: skip
# Third-party packages by room, beside numpy and the standard library.
ALLOWED = {
    "errors": set(), "streams": set(), "provenance": set(), "categories": set(), "files": set(), "parallel": {"cv2"},
    "expressions": set(), "arrays": {"jax"},
    "images": {"jax"}, "masks": {"jax"}, "metrics": {"jax"}, "placement": {"jax"},
    "augment": {"jax"},
    "models": {"jax", "flax"},
    "saliency": {"jax"},
    "ensemble": {"jax"},
    "training": {"jax", "flax", "optax"},
    "faces": {"cv2"},
    "data": {"cv2", "pandas", "tensorflow_datasets"},
    "human": {"cv2", "pandas", "scipy", "jax"},
    "checkpoints": {"jax", "flax", "safetensors", "tensorstore"},
    "compare": {"pandas", "scipy"},
    "figures": {"pandas", "matplotlib"},
}  # fmt: skip
# Rooms of the same host floor do not know each other; people and models meet in `compare`.
MAY_USE = {
    "faces": {0, 1}, "data": {0, 1}, "human": {0, 1}, "checkpoints": {0, 1},
    "compare": {0, 1, "human"},
    "figures": {0},
}  # fmt: skip
THIRD_PARTY = {
    "jax",
    "flax",
    "optax",
    "orbax",
    "safetensors",
    "tensorstore",
    "cv2",
    "pandas",
    "scipy",
    "matplotlib",
    "tensorflow_datasets",
    "absl",
    "torch",
}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def _room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_room_has_a_floor():
    assert {_room(path) for path in FILES} == set(FLOORS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_downward(path):
    room = _room(path)
    for name in _imports(path):
        head, *rest = name.split(".")
        if head == "fer_jax":
            other = rest[0]
            if other == room:
                continue
            assert other in FLOORS, f"{path}: imports {name}"
            assert FLOORS[other] < FLOORS[room], f"{path}: {room} (floor {FLOORS[room]}) imports {other}"
            allowed = MAY_USE.get(room)
            assert allowed is None or int(FLOORS[other]) in allowed or other in allowed, (
                f"{path}: {room} imports {other}"
            )
        elif head in THIRD_PARTY:
            assert head in ALLOWED[room], f"{path}: {room} imports {head}"
        assert head not in ("pickle", "experiments", "datasets"), f"{path}: imports {head}"


def test_meshes_are_made_in_one_place():
    words = ("NamedSharding", "make_mesh", "shard_map(", "pmap(")
    for path in FILES:
        if path.name != "placement.py":
            text = path.read_text(encoding="utf-8")
            assert not any(word in text for word in words), f"{path}: placement belongs to placement.py"


def test_the_core_opens_no_file():
    for path in FILES:
        if FLOORS[_room(path)] <= 4:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            calls = {
                node.func.id
                for node in ast.walk(tree)
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            }
            assert not calls & {"open", "print"}, f"{path}: touches files or prints"


def test_datasets_is_not_a_package():
    assert not (ROOT / "datasets" / "__init__.py").exists()


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_room_grows_too_large(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 330, "part it: one thought a module"
    assert path.stem not in ("utils", "helpers", "misc", "common")
