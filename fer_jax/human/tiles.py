"""Maps of people whom a face was uncovered to tile by tile: how much each tile told them (Wegrzyn et al. 2017).

Contract: a face has 48 tiles in 8 rows of 6, of 50 pixels, so it is 300 pixels wide and 400 high.
"""

import numpy as np

from fer_jax.categories import Categories
from fer_jax.errors import DataError
from fer_jax.expressions import EXPRESSIONS, canonical_name
from fer_jax.human.readers import WEGRZYN_ROWS, WEGRZYN_TILE_PX, WEGRZYN_TILES
from fer_jax.human.trials import Trials

ROWS, COLUMNS = WEGRZYN_ROWS, WEGRZYN_TILES // WEGRZYN_ROWS
MOST_TILES = 16  # of the published map: whoever needed more tiles than these says nothing of single tiles


def weight_maps(
    trials: Trials, *, categories: Categories = EXPRESSIONS, most_tiles: int = MOST_TILES
) -> tuple[np.ndarray, list[str]]:
    """Return the weight of every tile for each person and category (10.1371/journal.pone.0177239, "weight maps").

    A correct trial in which n tiles were shown gives each of them the weight 1 - n/16. Weights add up over the trials
    of a category, so over the faces that showed it.

    Args:
      trials: of `readers.read_wegrzyn2017`.
      categories: of the K maps, in order.
      most_tiles: trials with more tiles give nothing.

    Returns:
      float64 (S, K, 8, 6), and the names of the S people, sorted. Whoever named a category never has zeros there.

    Raises:
      DataError: clicks that are not at the centres of tiles.
    """
    people = sorted(trials.participants["participant"])
    answered = trials.trials[trials.trials["correct"].fillna(False) & (trials.trials["n_clicks"] <= most_tiles)]
    answered = answered[["participant", "trial", "true_label", "n_clicks"]]
    shown = trials.clicks.merge(answered, on=["participant", "trial"])
    places = shown[["y_px", "x_px"]].to_numpy(np.float64) / WEGRZYN_TILE_PX - 0.5
    tiles = np.rint(places).astype(int)
    if len(tiles) and (np.abs(places - tiles).max() > 1e-6 or (tiles < 0).any() or (tiles >= (ROWS, COLUMNS)).any()):
        raise DataError(
            f"`trials`: wanted clicks at the centres of {ROWS} x {COLUMNS} tiles of {WEGRZYN_TILE_PX} px, as "
            "human.readers.read_wegrzyn2017 returns them, got others."
        )
    person = shown["participant"].map({name: number for number, name in enumerate(people)})
    numbers = {name: categories.index_of(canonical_name(name)) for name in shown["true_label"].unique()}
    weights = 1 - shown["n_clicks"].to_numpy(np.float64) / most_tiles
    maps = np.zeros((len(people), len(categories), ROWS, COLUMNS))
    np.add.at(maps, (person.to_numpy(int), shown["true_label"].map(numbers).to_numpy(int), *tiles.T), weights)
    return maps, people
