"""Sensitivity d′ and criterion c of people, of all answers together and of each person.

Contract: a table says what a missing value is missing for, in its column `reason`.
"""

import math

import numpy as np
import pandas as pd

from fer_jax.categories import Categories
from fer_jax.compare import intervals
from fer_jax.expressions import EXPRESSIONS
from fer_jax.human import behaviour
from fer_jax.human.trials import Trials
from fer_jax.streams import stream

_PEOPLE = 0  # stream of the seed


def sensitivities(
    trials: Trials,
    pairs: pd.DataFrame,
    *,
    seed: int,
    resamples: int = intervals.RESAMPLES,
    categories: Categories = EXPRESSIONS,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return d′ and c of each pair, of all answers together and as a mean over people, and those of each person.

    Args:
      trials: of the people who are analysed.
      pairs: their table of ordered pairs.
      seed: of the resampling.
      resamples: how many.
      categories: whose pairs are the rows.

    Returns:
      The table of `behaviour.sensitivity` with the columns below, and that of `behaviour.person_sensitivity`.

    Columns:
      mean_d_prime, mean_criterion: over people who answered both categories. The log-linear correction draws those of
        few answers to 0, so that they lie below the pooled ones.
      low, high: interval of mean_d_prime over people.
      n_people: how many these are.
      reason: why a value is missing, else empty.

    Example:
      >>> from fer_jax import human
      >>> labels, names = np.repeat(np.arange(8), 7), [str(number) for number in range(56)]
      >>> study = human.study.make_study(labels, names, seed=0, per_ordered_pair=1)
      >>> people = human.observers.simulate(study, seed=0, image_px=64, participants=4, with_dropouts=False)
      >>> pooled, own = sensitivities(people, human.behaviour.pair_table(people, study), seed=0, resamples=40)
      >>> len(pooled), len(own)
      (28, 112)
    """
    pooled = behaviour.sensitivity(pairs, categories=categories)
    own = behaviour.person_sensitivity(trials, categories=categories)
    rows = []
    for name in pooled["pair"]:
        known = own[(own["pair"] == name) & own["d_prime"].notna()]
        values = known["d_prime"].to_numpy(np.float64)
        means = (known[column].mean() if len(known) else math.nan for column in ("d_prime", "criterion"))
        ends = intervals.mean_interval(stream(seed, _PEOPLE), values, resamples=resamples)
        rows.append((*means, *ends, len(known)))
    columns = ["mean_d_prime", "mean_criterion", "low", "high", "n_people"]
    pooled = pooled.join(pd.DataFrame(rows, columns=columns))
    lacking = [pooled["d_prime"].isna(), pooled["n_people"] == 0, pooled["n_people"] < 2]
    reasons = ["a category of the pair was never answered", "nobody answered both categories", "fewer than two people"]
    own = own.assign(reason=np.where(own["d_prime"].isna(), reasons[0], ""))
    return pooled.assign(reason=np.select(lacking, reasons, "")), own
