import jax
import jax.numpy as jnp
import optax
import pytest

from fer_jax import checkpoints, models, training

from .saved import FACTS


@pytest.fixture(scope="session")
def state():
    """One member's training state, a dataclass of nested dicts."""
    model = models.SmallResNet(num_classes=2, width=8)
    return training.init_state(jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 16, 16, 3))), optax.adam(1e-3))


@pytest.fixture
def saved(state, tmp_path):
    """A folder that holds `state`, its facts `FACTS`."""
    checkpoints.save(tmp_path / "checkpoint", state, facts=FACTS)
    return tmp_path / "checkpoint"
