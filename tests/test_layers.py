"""The floors of the house: a file imports only from floors below its own (a half is the upper end of a floor)."""

import ast
import functools
import graphlib
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "fer_jax"

FLOORS = {
    "errors": 0, "streams": 0, "provenance": 0.3, "categories": 0.3, "files": 0.3, "parallel": 0.3,
    "host_memory": 0.3, "cores": 0.3, "read_ahead": 0.3,
    "expressions": 0.5, "action_units": 0.7, "arrays": 0.5, "compiler": 0.5, "frame": 0.5,
    "images": 1, "metrics": 1, "placement": 1, "masks": 1.5, "augment": 1.5,
    "models": 2, "saliency": 2,
    "ensemble": 3, "explanation": 3.5,
    "training": 4,
    "faces": 5, "data": 5, "human": 5, "checkpoints": 5,
    "compare": 6, "study": 6,
    "figures": 7,
}  # fmt: skip
# Third-party packages by room, beside numpy and the standard library.
ALLOWED = {
    "errors": set(), "streams": set(), "provenance": set(), "categories": set(), "files": set(), "parallel": {"cv2"},
    "host_memory": set(), "cores": set(), "read_ahead": set(),
    "expressions": set(), "action_units": set(), "arrays": {"jax"}, "frame": set(), "compiler": {"jax"},
    "images": {"jax"}, "masks": {"jax"}, "metrics": {"jax"}, "placement": {"jax"},
    "augment": {"jax"},
    "models": {"jax", "flax"},
    "saliency": {"jax"},
    "ensemble": {"jax"}, "explanation": {"jax"},
    "training": {"jax", "flax", "optax"},
    "faces": {"cv2"},
    "data": {"cv2", "pandas", "tensorflow_datasets"},
    "human": {"cv2", "pandas", "scipy", "jax"},
    "checkpoints": {"jax", "flax", "safetensors", "tensorstore"},
    "compare": {"pandas", "scipy", "jax"},
    "study": {"cv2", "pandas", "starlette", "uvicorn"},
    "figures": {"pandas", "matplotlib"},
}  # fmt: skip
# Rooms of the same host floor do not know each other; people and models meet in `compare`.
MAY_USE = {
    "faces": {0, 1}, "data": {0, 1}, "human": {0, 1}, "checkpoints": {0, 1},
    "compare": {0, 1, "human", "ensemble"}, "study": {0, 1, "human", "data", "faces"},
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
    "starlette",
    "uvicorn",
}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")
OUTSIDE = sorted(path for top in ("experiments", "benchmarks", "datasets") for path in (ROOT / top).rglob("*.py"))
# People on one side, networks on the other: they meet in `compare`, through tables and arrays.
PEOPLE = {"human", "study"}
NETWORKS = {"models", "saliency", "ensemble", "explanation", "training"}
CARDS = [path for path in OUTSIDE if path.parent.name == "experiments" and "__main__" in path.read_text("utf-8")]
CARD_LINES = 120
# A module above `LONG` lines is where to look for a second theme. One that has none stands here with its reason.
LONG = 450
ONE_THEME: dict[str, str] = {
    "experiments/config.py": "the flags of a run, one list that is read from top to bottom",
}
EMPTY_NAMES = {"utils", "helpers", "misc", "common", "gather", "evidence", "cohort", "building", "rows"}


def _room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@functools.cache
def _tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def _names(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "relative import"
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def _imports(path):
    """All that a file imports, inside functions, too."""
    return [name for node in ast.walk(_tree(path)) for name in _names(node)]


def _imports_on_loading(nodes):
    for node in nodes:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _names(node)
            yield from _imports_on_loading(ast.iter_child_nodes(node))


def _module(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _lie_above(module):
    """A module and the packages around it."""
    parts = module.split(".")
    return {".".join(parts[:count]) for count in range(1, len(parts) + 1)}


def test_every_room_has_a_floor():
    # A room that is planned may have its floor before it is there.
    assert {_room(path) for path in FILES} <= set(FLOORS) == set(ALLOWED)


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


@pytest.mark.parametrize("top", ["fer_jax", "experiments", "benchmarks"])
def test_no_circle_of_imports(top):
    files = {_module(path): path for path in sorted((ROOT / top).rglob("*.py"))}
    graph = {}
    for module, path in files.items():
        # To import a module is to import the packages around it, but for those that the importer stands in.
        reached = set().union(*(_lie_above(name) for name in _imports_on_loading(_tree(path).body)))
        named = {next((n for n in (name, name.rpartition(".")[0]) if n in files), None) for name in reached}
        around = _lie_above(module)
        direct = {name for name in _imports_on_loading(_tree(path).body) if name in files}
        graph[module] = ((reached & set(files)) - around) | (named & direct) - {module}
    tuple(graphlib.TopologicalSorter(graph).static_order())


def test_people_and_networks_do_not_import_each_other():
    for path in FILES:
        rooms = {name.split(".")[1] for name in _imports(path) if name.startswith("fer_jax.")}
        for one, other in ((PEOPLE, NETWORKS), (NETWORKS, PEOPLE)):
            assert _room(path) not in one or not rooms & other, f"{path}: people and networks meet in `compare`"


def _run_files():
    """Patterns of the file names in a run folder; of a folder whose files have any name, none."""
    from experiments.study.stage_table import TABLE

    patterns = {name.rpartition("/")[2] for entry in TABLE.values() for name in (*entry.leaves, *entry.parts)}
    return {pattern for pattern in patterns if "." in pattern}


def _strings(tree):
    """String literals but for docstrings."""
    written = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and ast.get_docstring(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in written:
            yield node.value


def test_the_library_knows_no_run_folder():
    names = _run_files()
    assert {"maps.npz", "dice*.csv", "summary.json"} <= names
    pattern = re.compile(r"(.*/)?(" + "|".join(re.escape(name).replace(r"\*", ".*") for name in names) + ")")
    for path in FILES:
        known = [text for text in _strings(_tree(path)) if pattern.fullmatch(text)]
        assert not known, f"{path}: {known} are files of a run folder: take a path or a table"


def test_a_harness_knows_no_study_and_a_study_no_card():
    cards = {_module(path) for path in OUTSIDE if "__main__" in set(_strings(_tree(path)))}
    assert "experiments.reproduce" in cards
    for path in OUTSIDE:
        names = set().union(*map(_lie_above, _imports(path)))
        room = _module(path)
        if room.startswith("experiments.harness"):
            assert not [n for n in names if re.match(r"experiments\.(?!harness)", n)], (
                f"{path}: a harness fits any card"
            )
        if room.startswith("experiments.study"):
            assert not names & cards, f"{path}: imports a card"
        assert "benchmarks" not in names or room.startswith("benchmarks"), f"{path}: imports a benchmark"


@pytest.mark.parametrize("path", [PACKAGE / "__init__.py", *FILES, *OUTSIDE], ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_has_one_theme_and_a_name(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    known = str(path.relative_to(ROOT)) in ONE_THEME
    assert lines <= LONG or known, f"{lines} lines: a second theme? If not, say why in ONE_THEME"
    assert lines > LONG or not known, "short by now: take out of ONE_THEME"
    assert path.stem not in EMPTY_NAMES, "a name that says what is in the file"


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_a_card_is_short_and_has_one_main(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= CARD_LINES
    mains = [node for node in _tree(path).body if isinstance(node, ast.FunctionDef) and node.name == "main"]
    assert [argument.arg for main in mains for argument in main.args.args] == ["config"]
    assert f"python -m experiments.{path.stem}" in ast.get_docstring(_tree(path))
