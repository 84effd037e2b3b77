"""The options of XLA's: convolutions are no library calls with them, and numbers stay the same but for rounding."""

import os

import jax
import jax.numpy as jnp
import jaxlib.version
import numpy as np

from fer_jax import compiler
from fer_jax.models import conv2d

OPTION = "xla_cpu_experimental_ynn_fusion_type"
# The suite's flags switch this off where the compiler knows it, and the library with it.
AS_USERS = {"xla_cpu_use_fusion_emitters": True} if jaxlib.version.__version_info__ < (0, 12) else {}


def _compiled(function, *arguments, options):
    return jax.jit(function, compiler_options={**AS_USERS, **options}).lower(*arguments).compile()


def test_convolutions_are_eigens_and_their_numbers_the_same():
    def convolve(image, kernel):
        return conv2d(image, kernel, padding=1, lowering="native")

    keys = jax.random.split(jax.random.key(0))
    operands = jax.random.normal(keys[0], (4, 12, 12, 16)), jax.random.normal(keys[1], (3, 3, 16, 64))
    plain = _compiled(convolve, *operands, options={})
    chosen = _compiled(convolve, *operands, options=compiler.options())
    assert "ynn" in plain.as_text(), "XLA computes no convolution by YNNPACK any more: `fer_jax.compiler` can go"
    assert "ynn" not in chosen.as_text()
    np.testing.assert_allclose(chosen(*operands), plain(*operands), rtol=1e-5, atol=1e-5)


def test_all_else_is_computed_as_without():
    """A list without the library's sums made a training step six times as slow."""

    def dense(batch, kernel):
        return jnp.tanh(batch @ kernel).sum(0)

    operands = jnp.ones((512, 512)), jnp.ones((512, 512))
    texts = {_compiled(dense, *operands, options=each).as_text() for each in ({}, compiler.options())}
    assert len(texts) == 1
    assert "ynn" in texts.pop()


def test_flags_of_the_user_go_first(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", f"{os.environ.get('XLA_FLAGS', '')} --{OPTION}=LIBRARY_FUSION_TYPE_REDUCE")
    assert compiler.options() == {}


def test_a_compiler_that_knows_no_such_option_gets_none(monkeypatch):
    monkeypatch.setattr(compiler, "_LIBRARY", "xla_cpu_unheard_of")
    compiler._is_known.cache_clear()
    try:
        assert compiler.options() == {}
    finally:
        compiler._is_known.cache_clear()


def test_accelerators_get_none(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert compiler.options() == {}
