"""What the tests of checkpoints save, and how they compare it."""

import jax

FACTS = {
    "kind": "training",
    "model": "small",
    "image_size": 16,
    "expressions": ["neutral", "happy", "sad"],
    "pairs": [[0, 1], [0, 2]],
    "normalise": [[0.5, 0.5, 0.5], [0.25, 0.25, 0.25]],
}


def shapes(tree):
    """What a reader knows beforehand."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)


def equal(one, other):
    """Bit for bit, dtypes included."""
    same = jax.tree.map(lambda a, b: a.dtype == b.dtype and a.shape == b.shape and bool((a == b).all()), one, other)
    return jax.tree.structure(one) == jax.tree.structure(other) and jax.tree.all(same)
