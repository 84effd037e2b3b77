"""Who sees which image when, and which option on which side.

Contract: a plan is a DataFrame, one row a trial in the order shown: trial (1…), block (1…), trial_in_block (1…), image,
true_label, false_label, left_label, right_label. It is drawn once and stored with the data, never recomputed later.
"""

import numpy as np
import pandas as pd

from fer_jax.errors import UsageError, check_one_of
from fer_jax.expressions import paper_first
from fer_jax.streams import stream

# §4.2: 280 trials in 4 blocks of 70 with breaks between.
BLOCKS = 4

ORDERS = ("random", "stratified")
SIDES = ("balanced", "random", "fixed")


def draw_plan(
    study: pd.DataFrame,
    *,
    participant: int,
    seed: int,
    blocks: int = BLOCKS,
    order: str = "random",
    side: str = "balanced",
) -> pd.DataFrame:
    """Draw one participant's plan from a separate stream.

    Args:
      study: a study table.
      participant: index from 0.
      seed: of the study.
      blocks: the trials are cut into this many, as equal as can be.
      order: "random" (§4.2), or "stratified": counts of an expression differ by at most 1 between blocks (ours).
      side: side of the true label (the paper does not say): "balanced" halves each block, "random" draws, "fixed" puts
        the label that comes first in the paper's order, or else by name, on the left.

    Returns:
      A plan, one row for each image of the study.

    Raises:
      UsageError: an option or a number out of range.
    """
    check_one_of("order", order, ORDERS)
    check_one_of("side", side, SIDES)
    if not 1 <= blocks <= len(study):
        raise UsageError(f"`blocks`: wanted 1..{len(study)} blocks for {len(study)} images, got {blocks}.")
    generator = stream(seed, participant)
    image, true, false = (np.asarray(study[name], object) for name in ("image", "true_label", "false_label"))
    shown = generator.permutation(len(study))
    if order == "stratified":
        # Dealing images, sorted by expression, to the blocks in turn keeps every expression even.
        dealt = shown[np.argsort(true[shown].astype(str), kind="stable")]
        shown = np.concatenate([generator.permutation(dealt[block::blocks]) for block in range(blocks)])
    image, true, false = image[shown], true[shown], false[shown]
    sizes = [len(part) for part in np.array_split(shown, blocks)]
    left_is_true = _left_is_true(true, false, sizes, side, generator)
    return pd.DataFrame(
        {
            "trial": range(1, len(study) + 1),
            "block": [block for block, size in enumerate(sizes, 1) for _ in range(size)],
            "trial_in_block": [trial for size in sizes for trial in range(1, size + 1)],
            "image": image,
            "true_label": true,
            "false_label": false,
            "left_label": np.where(left_is_true, true, false),
            "right_label": np.where(left_is_true, false, true),
        }
    )


def _left_is_true(true, false, sizes, side, generator) -> np.ndarray:
    """Decide for every trial whether the true label stands on the left."""
    if side == "fixed":
        order = paper_first({*true, *false})
        return np.array([order.index(a) < order.index(b) for a, b in zip(true, false, strict=True)])
    if side == "random":
        return generator.random(len(true)) < 0.5
    halves = [size // 2 + (size % 2) * int(generator.random() < 0.5) for size in sizes]
    blocks = [generator.permutation(np.arange(size) < half) for size, half in zip(sizes, halves, strict=True)]
    return np.concatenate(blocks)
