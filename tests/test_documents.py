"""Every path, module and command that the documents name exists."""

import importlib
import importlib.util
import re

import pytest

DOCUMENTS = (
    "CONTRIBUTING.md",
    "docs/architecture.md",
    "docs/glossary.md",
    "docs/paper_map.md",
)
_MADE_BY_A_RUN = ("figures/", "tables/", "summary.json", "runs/")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_a_document_names_is_there(name, root):
    text = (root / name).read_text(encoding="utf-8")
    for word in re.findall(r"`([^`\n]+)`", text):
        if re.fullmatch(r"[\w./-]+", word) and "/" in word and not word.startswith((*_MADE_BY_A_RUN, "..")):
            assert (root / word).exists(), f"{name} names {word}"
        elif re.fullmatch(r"fer_jax(\.\w+)+", word):
            module, _, attribute = word.rpartition(".")
            assert hasattr(importlib.import_module(module), attribute), f"{name} names {word}"
        elif word.startswith("python -m "):
            assert importlib.util.find_spec(word.split()[2]) is not None, f"{name} names {word}"
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        if not link.startswith("http"):
            assert ((root / name).parent / link).exists(), f"{name} links to {link}"


def test_the_licence_is_the_one_that_the_package_names(root):
    assert 'license = "Apache-2.0"' in (root / "pyproject.toml").read_text(encoding="utf-8")
    assert "Apache License\n                           Version 2.0" in (root / "LICENSE").read_text(encoding="utf-8")


def test_the_map_of_the_paper_names_what_a_run_leaves(root):
    from experiments.study.stage_table import TABLE

    leaves = [pattern for entry in TABLE.values() for pattern in entry.leaves]
    import fnmatch

    text = (root / "docs" / "paper_map.md").read_text(encoding="utf-8")
    for file in re.findall(r"`((?:tables|figures)/[^`]+|summary\.json)`", text):
        assert any(fnmatch.fnmatch(file, pattern) for pattern in leaves), file


def test_the_floors_are_those_that_the_layers_hold(root):
    from tests.test_layers import FLOORS

    rows = re.findall(r"^\| ([\d.]+) \| (.+?) \|", (root / "docs" / "architecture.md").read_text(), flags=re.MULTILINE)
    told = {room: float(floor) for floor, rooms in rows for room in re.findall(r"`(\w+)`", rooms)}
    there = {path.name.removesuffix(".py") for path in (root / "fer_jax").iterdir()}
    assert told == {room: floor for room, floor in FLOORS.items() if room in there}
