"""A dry run: what it counts, where its counts are from, and that it writes nothing."""

import contextlib
import re

import jax
import pytest

from experiments import reproduce, train_ensemble
from experiments.config import StudyConfig, resolve
from experiments.harness import command, numerics
from experiments.study import time_limit


def _said(capsys, *flags, card=reproduce, code=0):
    argv = ["card", "--dry_run", "--model=tiny", "--image_size=32", "--batch_size=4", *flags]
    assert command.run(card.main, StudyConfig, usage="", argv=argv) == code
    out, err = capsys.readouterr()
    return out if code == 0 else err


def test_members_steps_and_images_are_those_of_the_flags(tmp_path, capsys):
    out = tmp_path / "run"
    said = _said(
        capsys, f"--out={out}", "--train_per_expression=10", "--validation_per_expression=12", "--max_epochs=3",
        "--multiclass_epochs=2", "--finetune_images=8", "--ep_iterations=7", "--per_ordered_pair=1",
        "--memory_gb=1",
    )  # fmt: skip
    rows = {words[0]: words[1:] for words in (line.split() for line in said.splitlines()) if words}
    assert rows["pictures"][:4] == ["train", "80,", "validation", "96"]
    assert rows["members"][:2] == ["at", "most"] and rows["members"][2:4] == ["1,680", "420"]  # 28 members, 3 x 20
    assert rows["multiclass"][:2] == ["160", "40"] and rows["finetune"][:2] == ["224", "56"]
    assert rows["saliency"][:2] == ["56", "392"] and rows["vote"][0] == "96"
    assert re.search(r"4 images of 32 px, +[0-9.]+ GFLOP, [0-9.]+ s measured here", said)
    needed, free = re.search(r"^memory +([0-9.]+) GiB a device, ([0-9.]+) GiB free$", said, re.M).groups()
    assert float(needed) < float(free) == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        ((), ["step"]),
        (("--memory_gb=0.1",), ["step"]),  # so little that slots are counted by the memory that they take
        (("--memory_gb=0.1", "--over_members=map"), ["call", "step"]),
    ],
)
def test_a_step_is_compiled_once_and_where_members_are_stacked_their_stack_once(tmp_path, capsys, flags, wanted):
    with compilations() as seen:
        _said(capsys, f"--out={tmp_path / 'run'}", *flags, card=train_ensemble)
    # What fills arrays with zeros is compiled as well, and costs nothing.
    assert [name for name in seen if name in ("step", "call", "init", "build")] == wanted


@pytest.mark.usefixtures("precision_put_back")
def test_a_step_is_timed_in_the_precision_of_the_run(tmp_path, capsys):
    _said(capsys, f"--out={tmp_path / 'run'}", "--matmul_precision=float32", card=train_ensemble)
    assert numerics.numerics()["jax_default_matmul_precision"] == "float32"


@contextlib.contextmanager
def compilations():
    """Names of the programs that are compiled, as they come."""
    seen = []

    def listen(event, _, **told):
        if event == "/jax/core/compile/backend_compile_duration":
            seen.append(told["fun_name"].removeprefix("jit(").removesuffix(")"))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seen
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def test_pictures_that_end_early_are_counted_as_measured(tmp_path, capsys):
    flags = ["--train_per_expression=10", "--validation_per_expression=12", "--max_epochs=1", "--per_ordered_pair=1"]
    said = _said(capsys, f"--out={tmp_path / 'run'}", *flags, "--stages=saliency", "--ep_stop=converged")
    assert re.search(r"^saliency +56 +20,048 ", said, re.M)  # 56 pictures of 358 iterations
    assert "283 iterations on average on FER+ and 358 on\ndrawn faces (measured, of 800). 358 are counted." in said
    assert re.search(r"If none converges it is 44,800 steps, [0-9.]+ hours", said)


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [({}, 150), ({"ep_stop": "converged"}, 358), ({"ep_stop": "converged", "ep_iterations": 100}, 100)],
)
def test_iterations_are_those_measured_where_pictures_end_early(flags, wanted):
    assert time_limit.expected_iterations(resolve(StudyConfig(out="run", **flags))) == wanted


def test_a_set_that_is_not_at_hand_has_its_published_counts(tmp_path, capsys):
    flags = (
        f"--out={tmp_path / 'run'}",
        "--dataset=affectnet",
        "--max_images=0",
        "--max_epochs=1",
        "--stop_accuracy=0",
    )
    said = _said(capsys, *flags, "--members=0,27", card=train_ensemble)
    assert "train 287,652, validation 4,000 (published counts of affectnet original)" in said
    # One epoch of neutral and happy, and one of anger and contempt: twice the rarer class each.
    images = 2 * 74_874 + 2 * 3_750
    assert re.search(rf"^members +{images:,} +{-(-2 * 74_874 // 4) + 2 * 3_750 // 4:,} ", said, re.M)
    assert "multiclass" not in said.partition("stage")[2]


def test_categories_that_a_set_lacks_are_left_out_as_a_run_does(tmp_path, capsys):
    flags = ("--dataset=rafdb", "--max_images=0", "--max_epochs=1", "--stop_accuracy=0")
    said = _said(capsys, f"--out={tmp_path / 'run'}", *flags, card=train_ensemble)
    # No contempt, and a fifth of each of seven is held out.
    assert "train 9,818, validation 2,453 (published counts of rafdb basic aligned)" in said
    assert re.search(r"^members +21 of 21, ", said, re.M)


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (["--dataset=expw"], "no counts of --dataset=expw are published; read them first with --stages=data"),
        (["--dataset=rafdb", "--categories=happy,sad,contempt"], "`--categories`: no training picture of contempt"),
        (["--dataset=affectnet", "--slots=2", "--memory_gb=0.000001"], "`--slots`: 2 want"),
    ],
)
def test_what_cannot_be_told_is_refused_in_one_line(tmp_path, capsys, flags, wanted):
    said = _said(capsys, f"--out={tmp_path / 'run'}", *flags, code=1)
    assert wanted in said and said.count("\n") == 1
