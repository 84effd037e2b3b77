"""What the README says works: its code runs, its commands exist, and its words keep to the project."""

import dataclasses
import importlib
import inspect
import re
import subprocess

import jax
import jax.numpy as jnp
import pytest

import fer_jax as fer
from fer_jax.study import commands

# Flags of absl, SLURM and XLA.
_NOT_OURS = {
    "help",
    "flagfile",
    "signal",
    "array",
    "gres",
    "cpus",
    "ntasks",
    "logdir",
    "gpus",
    "time",
    "requeue",
    "open",
    "parsable",
    "dependency",
    "xla_force_host_platform_device_count",
}


def _blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, re.S)


@pytest.mark.parametrize("word", ["def score", "import equinox"])
def test_a_function_and_a_model_that_are_not_ours_are_explained(root, word):
    block = next(b for b in _blocks((root / "README.md").read_text(), "python") if word in b)
    exec(compile(block, "README.md", "exec"), {})


def test_the_first_example_runs_on_a_small_network(root):
    block = next(b for b in _blocks((root / "README.md").read_text(), "python") if "ResNet50" in b)
    head = block.replace("ResNet50(num_classes=2)", "SmallResNet(num_classes=2, width=8)")
    head = head.replace("area=0.1)", "area=0.1, iterations=40, step=2, sigma=3.0)")
    images = jax.random.normal(jax.random.key(1), (2, 32, 32, 3))
    names = {
        "images": images,
        "image": images[0],
        "features": jnp.ones((4, 4, 3)),
        "head_fn": lambda features: features.mean((0, 1))[:2],
        "score_fn": lambda image: image[:8].mean(),
        "target": 1,
    }
    exec(compile(head, "README.md", "exec"), names)
    assert names["labels"].shape == (2,)
    assert names["output"].logits.shape == (28, 2, 2)
    assert names["mask"].shape == (32, 32)
    assert set(range(8)) >= set(names["labels"].tolist())
    assert len(fer.EXPRESSIONS) == 8


def test_the_newest_versions_are_tested_beside_the_tested_ones(root):
    """`make test-newest` names no constraints and no file of the usual environment."""
    dry = ["make", "-n", "test-newest", "PYTHON=python3.13", "MAKEFLAGS="]
    said = subprocess.run(dry, cwd=root, capture_output=True, text=True, check=True).stdout
    assert "python3.13 -m venv --clear .venv-newest" in said
    assert ".venv/" not in said and "constraints" not in said
    assert "--upgrade-strategy=eager" in said and "-m pytest" in said


@pytest.mark.parametrize("document", ["README.md", "BUILD.md"])
def test_every_command_and_file_it_names_is_there(root, document):
    text = (root / document).read_text()
    targets = re.findall(r"^make ([\w-]+)", "\n".join(_blocks(text, "sh")), re.M)
    rules = re.findall(r"^([\w-]+):", (root / "Makefile").read_text(), re.M)
    assert targets
    assert set(targets) <= set(rules)
    for module in re.findall(r"-m (experiments\.\w+|benchmarks)", text):
        place = root / module.replace(".", "/")
        assert place.with_suffix(".py").exists() or (place / "__main__.py").exists(), module
    for path in re.findall(r"\]\(([\w./]+)\)", text):
        assert (root / path).exists(), path


def _shell(root, document):
    return [block.replace("\\\n", " ") for block in _blocks((root / document).read_text(), "sh")]


@pytest.mark.parametrize("document", ["README.md", "BUILD.md"])
def test_its_shell_is_shell(root, document):
    for block in _shell(root, document):
        done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr


def test_jobs_of_a_cluster_say_their_pictures_and_their_cores(root):
    lines = [line for block in _shell(root, "BUILD.md") for line in block.splitlines()]
    assert all(
        "--dataset=" in line and "--data_dir=" in line
        for line in lines
        if "--preset=paper" in line and "--dry_run" not in line
    )
    steps = [line for line in lines if line.startswith("srun ")]
    assert len(steps) == 3
    assert all("--cpus-per-task" in line for line in steps)  # srun has not taken it from sbatch since 22.05
    (manifest,) = _blocks((root / "BUILD.md").read_text(), "yaml")
    assert "--dataset=" in manifest and "--data_dir=" in manifest


def _flags(root):
    """Fields of every card's configuration, of the groups that make one, and flags of `fer-study`."""
    for action in commands._parser()._subparsers._group_actions:
        for command in action.choices.values():
            yield from (action.dest for action in command._actions)
    for top in ("experiments", "benchmarks"):
        for path in sorted((root / top).glob("*.py")):
            module = importlib.import_module(f"{top}.{path.stem}".removesuffix(".__init__"))
            for name, thing in vars(module).items():
                grouped = module.__name__ == "experiments.config" or name.endswith("Config")
                if grouped and inspect.isclass(thing) and dataclasses.is_dataclass(thing):
                    yield from (field.name for field in dataclasses.fields(thing))


def test_flags_the_documents_name_exist(root):
    known = set(_flags(root)) | _NOT_OURS
    assert {"participants", "out", "area"} <= known
    for document in ("README.md", "BUILD.md", "CONTRIBUTING.md"):
        path = root / document
        for flag in re.findall(r"--(\w+)", path.read_text() if path.exists() else ""):
            assert flag in known, f"{document}: --{flag}"
