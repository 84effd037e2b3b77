import pathlib

import jax
import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot

from experiments.config import StudyConfig, resolve
from experiments.harness import command
from experiments.study.run import Run
from experiments.study.run_folder import RunFolder
from fer_jax import checkpoints, ensemble, figures
from fer_jax.expressions import EXPRESSIONS
from fer_jax.figures import style
from tests.human.conftest import small_cohort, small_study  # noqa: F401  fixtures

from .jobs import RUN_PX, Job


def _sketch(drawn, path, **_):
    """Save a figure where `figures.save` does: drawn once, coarsely, instead of four times."""
    figure, path = style.figure_of(drawn), pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.set_layout_engine("none")
    with matplotlib.rc_context(style.RC):
        figure.savefig(path.with_name(f"{path.name}.png"), dpi=20)
    path.with_name(f"{path.name}.svg").write_text("<svg/>")
    pyplot.close(figure)


@pytest.fixture(scope="module", autouse=True)
def quick_figures():
    """Cards sketch their figures. A module that looks at figures has a fixture of this name that does nothing.

    Half of the time of a small analysis went there. tests/figures and test_reproduce.py have them as users get them.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "save", _sketch)
        yield


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory, root):
    """What a small run leaves that nobody interrupted."""
    job = Job(tmp_path_factory.mktemp("jobs") / "unbroken", root)
    job.finish()
    return job.result()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder with networks that have not learned anything, saved as training saves them: path and networks."""
    out = tmp_path_factory.mktemp("study") / "run"
    config = resolve(StudyConfig(out=str(out), image_size=RUN_PX, ep_iterations=3))
    folder = RunFolder(config)
    run = Run(config, folder, command.StopRequest())
    sample = np.zeros((1, RUN_PX, RUN_PX, 3), np.float32)
    fresh = jax.jit(run.network(2).init)
    members = [fresh(jax.random.fold_in(run.key("members"), pair), sample) for pair in range(EXPRESSIONS.num_pairs)]
    for name, order in (("ensemble", members), ("finetuned", members[::-1])):
        checkpoints.save(out / name, ensemble.stack(order), facts=run.facts(name), stacked=True)
    multiclass = jax.jit(run.network(8).init)(run.key("multiclass"), sample)
    checkpoints.save(out / "multiclass", multiclass, facts=run.facts("multiclass"))
    folder.close()
    return out, members, multiclass


@pytest.fixture
def precision_put_back():
    before = jax.config.jax_default_matmul_precision
    yield
    jax.config.update("jax_default_matmul_precision", before)
