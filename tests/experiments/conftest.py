import jax
import numpy as np
import pytest

from experiments.config import StudyConfig, resolve
from experiments.harness import command
from experiments.study.run import Run
from experiments.study.run_folder import RunFolder
from fer_jax import checkpoints, ensemble
from fer_jax.expressions import EXPRESSIONS
from tests.human.conftest import small_cohort, small_study  # noqa: F401  fixtures

from .jobs import RUN_PX, Job


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
