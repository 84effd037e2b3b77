"""The benchmark card: what a row says, and that the peers it times compute the same thing. No time is asserted."""

import ast
import functools
import inspect
import itertools
import json
import re
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import __main__ as benchmark
from benchmarks import pairing, plain_jax, plain_torch, rate, stopping
from benchmarks import saliency as suite
from benchmarks import training as training_suite
from fer_jax import ensemble, explanation, models, saliency, training

SIZE, STEPS = 64, 4
KEYS = ["name", "ours", "theirs", "unit", "ratio", "goal", "holds"]
needs_torch = pytest.mark.skipif(not plain_torch.INSTALLED, reason="torch is not installed")


@pytest.fixture(scope="module")
def subject():
    """A small network in float32, whole and folded, and eight pictures."""
    model = suite.MODELS["mini"](num_classes=2)
    images = jax.random.normal(jax.random.key(1), (suite.GRAD_CAM_BATCH, SIZE, SIZE, 3))
    variables = jax.jit(model.init)(jax.random.key(0), images[:1])
    config = types.SimpleNamespace(size=SIZE, repeats=1, iterations=STEPS)
    return suite.Subject(config, model, variables, *models.fold_batch_norm(model, variables), images)


def _benchmark(*arguments):
    return benchmark.main(["benchmark", "saliency", "--model=mini", f"--size={SIZE}", "--repeats=1", *arguments])


def test_rows_are_printed_and_written(tmp_path, capsys):
    out = tmp_path / "new" / "rows.json"
    assert _benchmark("--only=area term", f"--out={out}") == 0
    rows = json.loads(out.read_text())
    assert [list(row) for row in rows] == [KEYS] * 3
    same = rows[-1]
    assert same["name"].startswith("area term, relative difference") and same["ratio"] <= 1e-6 and same["holds"] is True
    for row in rows[:-1]:
        assert row["unit"] == "ms" and row["goal"] == ">= 20" and row["holds"] == (row["ratio"] >= 20)
    printed = capsys.readouterr().out
    assert [printed.count(row["name"]) for row in rows] == [1] * 3


@pytest.mark.parametrize(
    ("ours", "ratio", "goal", "holds"),
    [(4.0, None, "<= 5", True), (6.0, None, "<= 5", False), (6.0, 1.6, ">= 1.6", True), (1.0, 1.5, ">= 1.6", False)],
)
def test_a_goal_is_of_the_ratio_or_else_of_ours(ours, ratio, goal, holds):
    assert pairing.row("compile", ours, None, "s", ratio=ratio, goal=goal).holds is holds


def test_a_ratio_is_a_speed_or_a_cost_of_one_piece_of_work(monkeypatch):
    clock = iter(np.cumsum([0.0, 2.0, 0.0, 3.0, 0.0, 4.0, 0.0, 4.0]))
    monkeypatch.setattr(pairing.time, "perf_counter", lambda: next(clock))
    speed = pairing.speed_row("fast", lambda: 0, lambda: 0, repeats=2, parts=(2, 1), goal=">= 2")
    assert (speed.ours, speed.theirs, speed.ratio, speed.holds) == (1500.0, 3500.0, 2.5, True)  # pairs: 3/1, 4/2


@pytest.mark.parametrize(
    ("only", "wanted"),
    [
        ("", ["small members", "small members, whole run", "memory"]),
        ("small", ["small members", "small members, whole run"]),
        ("small members, whole run, compilations through 28 stops", ["small members, whole run"]),
        ("memory, one member's parameters", ["memory"]),
    ],
)
def test_rows_are_chosen_by_their_group_or_by_their_name(only, wanted):
    suite = {name: name.upper for name in ("small members", "small members, whole run", "memory")}
    assert pairing.chosen(suite, only) == [suite[name] for name in wanted]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only=nothing such"], "`--only`: wanted part of one of these names: area term; Extremal Perturbation; "),
        (["--repeats=0"], "`--repeats`: wanted a number in [1, 1000], got 0"),
        (["--out=rows.txt"], "`--out`: wanted a name that ends in .json"),
        (["--run=gone", "--only=stopping"], "`--run`: wanted a run folder of experiments.reproduce, got gone"),
    ],
)
def test_a_wrong_flag_is_named(arguments, said, capsys):
    assert _benchmark(*arguments) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["speed"], ["--size=64"]])
def test_a_suite_is_wanted(arguments, capsys):
    assert benchmark.main(["benchmark", *arguments]) == 1
    assert "`suite`: wanted one of saliency, training as the first argument" in capsys.readouterr().err


def _levels(subject):
    return saliency.pyramid(subject.images[0])


def _ours(subject):
    return suite.optimiser(subject, STEPS)(subject.folded_variables, subject.images[:1])[0]


def test_the_eager_peer_makes_the_same_mask(subject):
    def score(view):
        return subject.model.apply(subject.variables, view).logits[0, suite.TARGET]

    # Compiled here, which changes nothing but the time: eagerly, every operation compiles by itself.
    extremal = functools.partial(plain_jax.extremal, score, layout=plain_jax.geometry(SIZE), iterations=STEPS)
    mask = jax.jit(extremal)(_levels(subject))
    np.testing.assert_allclose(mask, _ours(subject), atol=2e-3)
    assert mask.std() > 0.01


def test_the_full_graph_peer_draws_the_same_grad_cam(subject):
    targets = jnp.arange(len(subject.images)) % 2
    draw = functools.partial(plain_jax.full_graph_grad_cam, subject.model, subject.variables)
    heat, of_params = jax.jit(draw)(subject.images, targets)
    wanted = suite._maps(subject)(subject.folded_variables, subject.images, targets)[2]
    found = saliency.resize(heat, (SIZE, SIZE))
    np.testing.assert_allclose(found, wanted, atol=1e-5 * float(wanted.max()))
    assert jnp.abs(of_params["conv1"]["kernel"]).max() > 0  # the whole graph was differentiated


@needs_torch
def test_torch_makes_the_same_mask_and_grad_cam(subject):
    torch = plain_torch.torch
    state = models.to_state_dict(subject.model, subject.variables)
    levels, targets = np.asarray(_levels(subject)), np.arange(len(subject.images)) % 2
    wanted = suite._maps(subject)(subject.folded_variables, subject.images, targets)[2]
    for layout in ("contiguous", "channels_last"):
        given = plain_torch.picture(levels, layout=layout)
        tensors = plain_torch.tensors(state, layout=layout)
        mask = plain_torch.extremal(tensors, given, plain_jax.geometry(SIZE), suite.TARGET, iterations=STEPS)
        np.testing.assert_allclose(mask.numpy(), _ours(subject), atol=2e-3)
        tensors = plain_torch.tensors(state, layout=layout, trainable=True)
        pictures = plain_torch.picture(np.asarray(subject.images), layout=layout)
        heat = plain_torch.full_graph_grad_cam(tensors, pictures, torch.tensor(targets).long(), SIZE)
        np.testing.assert_allclose(heat.numpy(), wanted, atol=1e-5 * float(wanted.max()))


def test_rows_of_training_are_written(tmp_path):
    out = tmp_path / "rows.json"
    # At the side that memory is measured at anyway, each of its programs serves twice.
    arguments = ["benchmark", "training", "--model=mini", "--size=64", "--repeats=1", f"--out={out}"]
    for only, names in (("memory", 6), ("useful", 8), ("data path", 3)):
        assert benchmark.main([*arguments, f"--only={only}"]) == 0
        rows = json.loads(out.read_text())
        assert len(rows) == names and all(only in row["name"] for row in rows)
        assert all(np.isfinite(row["ours"]) and row["ours"] > 0 for row in rows)


@pytest.mark.parametrize("width", [1, 3, 5])
def test_the_share_of_useful_steps_is_that_of_the_engine(width):
    """The reckoning over AffectNet's sizes, held against the engine's own queue on small ones."""
    sizes = [9, 4, 12, 2, 7, 7, 30]

    def step(state, batch, key, active):
        return state.replace(step=state.step + 1, seen=state.seen + 1)

    empty = {"params": {"w": jnp.zeros(())}}
    trainer = training.Trainer(
        step,
        [training.Job(member, size) for member, size in enumerate(sizes)],
        start=lambda member: training.init_state(empty, training_suite.optax.sgd(0.1)),
        batch_of=lambda member, step: {"labels": np.zeros(1, np.int32)},
        key=jax.random.key(0),
        batch_size=1,
        stop=training.StopRule(None, 1),
        width=width,
    )
    steps = [event for event in trainer.run() if isinstance(event, training.Stepped)]
    whole = sum(event.images for event in steps) / (width * len(steps))
    share, until_the_last = training_suite.useful_share(sizes, dict(enumerate(sizes)), width)
    assert share == pytest.approx(whole, abs=1e-12) and until_the_last == 1


def test_the_timed_step_is_the_engines():
    """What the benchmark times changes a member's parameters as `training` does, in every layout."""
    build = functools.partial(models.TinyResNet, num_classes=2, width=8)
    states, batches = training_suite.start(build(), 2, 32, 4)
    one = jax.jit(training_suite.member_step(build()))
    wanted = [one(*each) for each in zip(ensemble.unstack(states), ensemble.unstack(batches), strict=True)]
    for how, lowering in (("loop", "dots"), ("vmap", "matmul")):
        step = ensemble.over_members(training_suite.member_step(build(lowering=lowering)), over_members=how)
        step = step if how == "loop" else jax.jit(step)  # as the suite does
        for index, state in enumerate(ensemble.unstack(step(states, batches))):
            assert int(state.step) == 1
            np.testing.assert_allclose(state.loss, wanted[index].loss, rtol=1e-4)


@needs_torch
def test_torch_takes_the_same_step():
    """Loss and gradients of the peers are ours, for one member and for a stack under torch.func."""
    torch = plain_torch.torch
    model = training_suite.SMALL()
    states, batches = training_suite.start(model, 2, 32, 4)
    several = [{"params": each.params, "batch_stats": each.batch_stats} for each in ensemble.unstack(states)]
    arrays = [models.to_state_dict(model, each) for each in several]
    pictures = [plain_torch.picture(np.asarray(each)) for each in batches["image"]]
    labels = torch.tensor(np.asarray(batches["labels"])).long()
    stacked = plain_torch.stacked_gradients(
        [plain_torch.tensors(each) for each in arrays], torch.stack(pictures), labels
    )()
    for index, variables in enumerate(several):
        images = batches["image"][index]

        def loss(params, images=images, variables=variables, index=index):
            output, _ = model.apply(variables | {"params": params}, images, train=True, mutable=["batch_stats"])
            return training.cross_entropy()(output, {"labels": batches["labels"][index]})

        value, gradient = jax.jit(jax.value_and_grad(loss))(variables["params"])
        step = plain_torch.adam_step(plain_torch.tensors(arrays[index], trainable=True), pictures[index], labels[index])
        np.testing.assert_allclose(step(), value, rtol=1e-4)
        np.testing.assert_allclose(
            stacked["fc.weight"][index].numpy().T, gradient["fc"]["kernel"], rtol=1e-3, atol=3e-5
        )


def test_a_queue_that_stops_early_is_held_against_the_whole_schedule():
    build = functools.partial(models.TinyResNet, num_classes=2, width=8)
    members = [jax.jit(build().init)(jax.random.key(seed), jnp.zeros((1, 32, 32, 3))) for seed in range(2)]
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    pictures = stopping.Pictures(ensemble.stack(members), images, np.int32([0, 1, 1]), np.int32([1, 0, 1]))
    options = saliency.ExtremalOptions(area=0.3, iterations=80, step=2, sigma=3.0, max_blur=3.0, pace=5.0, patience=8)
    whole = explanation.Settings(("extremal_perturbation",), extremal=options, ep_reward_scale=0.05)
    rows = stopping.of_score("a logit", build, whole, pictures, 1)
    seconds, spread, cpu, done, slowest, dice, *_ = rows
    assert seconds.name.startswith("stopping when converged, a logit, n = 3: seconds, a queue in 8 slots")
    assert spread.ours == spread.theirs == seconds.ratio
    assert cpu.ours > 0
    assert done.ours <= slowest.ours <= 80 and done.ratio == 80 / done.ours
    assert 0.8 < dice.ours <= 1
    assert [row.name for row in rows if "bfloat16" in row.name and "n = 3" in row.name] == [r.name for r in rows[-3:]]
    assert 0.8 < rows[-3].ours <= 1


def _templates(node, known, module):
    """Return what a row's name may be, with … for what is known only when it is measured."""
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    if isinstance(node, ast.FormattedValue):
        return _templates(node.value, known, module)
    if isinstance(node, ast.IfExp):
        return _templates(node.body, known, module) + _templates(node.orelse, known, module)
    if isinstance(node, ast.JoinedStr):
        parts = [_templates(part, known, module) for part in node.values]
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts = [_templates(part, known, module) for part in (node.left, node.right)]
    elif isinstance(node, ast.Name) and node.id in known:
        given = max(each for each in known[node.id] if each[0] < node.lineno)  # the last one above
        return _templates(given[1], known, module)
    else:
        fixed = getattr(module, node.id, None) if isinstance(node, ast.Name) else None
        return [str(fixed) if isinstance(fixed, int) else "…"]
    return ["".join(each) for each in itertools.product(*parts)]


def _names_of_rows(module):
    for function in ast.parse(inspect.getsource(module)).body:
        known = {}
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                known.setdefault(node.targets[0].id, []).append((node.lineno, node.value))
        for node in ast.walk(function):
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, "id", "") in ("row", "speed_row", "timed")
                and node.args
            ):
                yield from _templates(node.args[0], known, module)


def test_the_readme_has_every_row_that_the_suites_can_yield_and_no_other(root):
    listed = re.findall(r"^\| `(.+?)` \|", (root / "benchmarks" / "README.md").read_text(encoding="utf-8"), re.M)
    yielded = {name for module in (rate, stopping, suite, training_suite) for name in _names_of_rows(module)}
    assert len(listed) == len(set(listed)) > 30
    assert set(listed) == yielded


def test_the_rate_is_that_of_pictures_seen_after_the_first_epoch(monkeypatch):
    """On a clock that ticks at each reading: 28 members, one epoch of ten steps of two pictures, in one second."""
    ticks = itertools.count()
    monkeypatch.setattr(rate.time, "perf_counter", lambda: float(next(ticks)))
    monkeypatch.setattr(rate.time, "process_time", lambda: 1.5 * next(ticks))
    model = models.TinyResNet(num_classes=2, width=4)
    found = rate.rate(model, 16, 2, counts=(4,) * 8, epochs=2)
    assert found.images_a_second == 28 * 10 * 2 / 2  # the clock of the cores was read between
    assert found.cores == 1.5
