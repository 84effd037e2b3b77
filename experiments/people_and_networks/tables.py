"""Real people against the networks of a run, who saw different faces: maps over the tiles of one face, and confusions.

Contract: people's face is 300 x 400 pixels in 8 rows of 6 tiles. Every table says what a missing value is missing for.
"""

import dataclasses
import itertools

import numpy as np
import pandas as pd

from experiments.study.vote import confusion_counts
from fer_jax import compare, frame, human
from fer_jax.categories import Categories
from fer_jax.compare import face_cells, reference_maps
from fer_jax.errors import DataError, UsageError
from fer_jax.explanation import METHOD_NAMES
from fer_jax.expressions import EXPRESSIONS, canonical_name
from fer_jax.human.readers import WEGRZYN_TILE_PX

FACE_PX = (WEGRZYN_TILE_PX * human.tiles.COLUMNS, WEGRZYN_TILE_PX * human.tiles.ROWS)  # width, height
# Pixels by which the face is moved, and shares by which it is scaled about its middle, to see what depends on it.
MOVES, SCALES = (-25, 25), (0.9, 1.1)
GRID = {"rows": human.tiles.ROWS, "columns": human.tiles.COLUMNS, "cell_px": WEGRZYN_TILE_PX}


@dataclasses.dataclass(frozen=True)
class Compared:
    """What was measured.

    Attributes:
      tables: by name.
      categories: whose maps and confusions these are, in the order of the run.
      maps: (K, 8, 6) by name: people, methods and references. NaN beyond the networks' pictures.
      face: uint8 (H, W), the mean picture that networks saw, in people's frame.
      points: (3, 2), eyes and mouth in people's frame.
      num_people: whose answers these are.
      num_trials: of them.
      num_pictures: that were explained.
    """

    tables: dict[str, pd.DataFrame]
    categories: Categories
    maps: dict[str, np.ndarray]
    face: np.ndarray
    points: np.ndarray
    num_people: int
    num_trials: int
    num_pictures: int


def compare_people(run, trials, config) -> Compared:
    """Measure everything.

    Args:
      run: of `experiments.study.run.open_to_compute`, with maps and votes.
      trials: of `human.readers.read_wegrzyn2017`.
      config: of the card.

    Raises:
      UsageError: a run without two categories that people named, or points that are no face.
      DataError: nobody answered.
    """
    categories = _shared(run, trials)
    people, _ = human.tiles.weight_maps(trials, categories=EXPRESSIONS)
    people = people[:, [EXPRESSIONS.index_of(name) for name in categories]]
    truth = run.study_table["true_label"].map(canonical_name).to_numpy()
    foil = run.study_table["false_label"].map(canonical_name).to_numpy()
    stored = run.folder.read_arrays("maps")
    maps = {name: stored[method] for method, name in METHOD_NAMES.items()}
    usable = np.all([np.isfinite(each).all((1, 2)) for each in maps.values()], 0)
    rows = np.flatnonzero(usable & np.isin(truth, list(categories)) & np.isin(foil, list(categories)))
    pictures = run.study_pictures.images[rows]
    labels = np.array([categories.index_of(name) for name in truth[rows]])
    others = np.array([categories.index_of(name) for name in foil[rows]])
    maps = {name: each[rows] for name, each in maps.items()}
    maps["edges"] = np.stack([reference_maps.edges(picture) for picture in pictures])
    maps["centre"] = reference_maps.centre(*pictures.shape[1:3])[None].repeat(len(rows), 0)
    face, wanted = points_of(config, pictures.shape[1])
    matrix = frame.points_matrix(face, wanted)

    cells = {name: face_cells.cell_means(each, matrix, **GRID) for name, each in maps.items()}
    seen = _people_maps(people, cells)
    by_expression, differences = _summarised(seen, cells, labels)
    pairs = np.array([categories.pair_index(*two) for two in zip(labels, others, strict=True)])
    there, of_pair = np.unique(pairs, return_inverse=True)
    of_pairs = np.stack([seen[:, list(categories.pairs[pair])].mean(1) for pair in there], 1)
    by_pair, pair_differences = _summarised(of_pairs, cells, of_pair)
    methods = {name: each for name, each in cells.items() if name not in REFERENCES}
    tables = {
        "agreement": pd.concat([by_expression.assign(unit="expression"), by_pair.assign(unit="pair")]),
        "differences": pd.concat([differences.assign(unit="expression"), pair_differences.assign(unit="pair")]),
        "expressions": _each(seen, methods, labels, list(categories)),
        "pairs": _each(of_pairs, methods, of_pair, [categories.pair_name(pair) for pair in there]),
        "specificity": face_cells.specificity(seen, methods, labels),
        "ceiling": face_cells.ceiling(seen, seed=config.seed).assign(unit=list(categories)),
        "frame": _moved(people, maps, labels, face, wanted),
    }
    tables["confusions"], tables["confusion_agreement"] = _confusions(run, trials, categories)
    shown = {PEOPLE: seen.mean(0)} | {
        name: np.stack([each[labels == unit].mean(0) for unit in range(len(categories))])
        for name, each in cells.items()
        if name != "centre"
    }
    return Compared(
        tables={name: table.reset_index(drop=True) for name, table in tables.items()},
        categories=categories,
        maps={name: each.reshape(-1, human.tiles.ROWS, human.tiles.COLUMNS) for name, each in shown.items()},
        face=_mean_face(pictures, matrix),
        points=face,
        num_people=len(people),
        num_trials=int(trials.trials["response"].notna().sum()),
        num_pictures=len(rows),
    )


PEOPLE = "people"
REFERENCES = ("edges", "centre")


def points_of(config, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return eyes and mouth (3, 2) in pixels of people's face, and in pixels of the networks' pictures of `size`."""
    face = _points("people_points", config.people_points, FACE_PX)
    return face, _points("picture_points", config.picture_points, (size, size))


def _points(flag, text, size) -> np.ndarray:
    """Read "x,y,x,y,x,y", shares of width and height, as pixels whose centres are whole numbers."""
    try:
        shares = np.array([float(part) for part in text.split(",")]).reshape(3, 2)
    except ValueError:
        shares = np.full((3, 2), np.nan)
    if not ((shares >= 0) & (shares <= 1)).all():
        raise UsageError(
            f"`--{flag}`: wanted x,y of left eye, right eye and mouth as six shares of width and height from 0 to 1, "
            f"got {text!r}."
        )
    return shares * size - 0.5


def _shared(run, trials) -> Categories:
    """Return the categories that both have, in the run's order."""
    shown = {canonical_name(name) for name in trials.trials["true_label"].dropna().unique()}
    names = [name for name in map(canonical_name, run.categories) if name in shown]
    if len(names) < 3:
        raise UsageError(
            f"`--run`: wanted networks of three or more of {', '.join(sorted(shown))}, got "
            f"{', '.join(run.categories)}; train such a run with --categories."
        )
    if not human.trials.answers(trials.trials).notna().any():
        raise DataError("`--people`: wanted at least one answer, got none.")
    return Categories(names)


def _people_maps(people, cells) -> np.ndarray:
    """Return people's maps (S, K, N), of the cells that all pictures cover, each person's as W / mean - 1."""
    people = people.reshape(*people.shape[:2], -1)
    known = np.all([np.isfinite(each).all(0) for each in cells.values()], 0)
    if known.sum() < len(known) / 3:
        raise UsageError(
            f"`--picture_points`: wanted pictures that show at least a third of people's face, got {known.sum()} of "
            f"{len(known)} tiles."
        )
    scaled = np.full(people.shape, np.nan)
    inside = people[..., known]
    flat = human.reliability.scaled(inside.reshape(-1, known.sum()))
    # Somebody who never named a category says nothing of its tiles: 0, as in the published map.
    scaled[..., known] = np.nan_to_num(flat).reshape(inside.shape)
    return scaled


def _summarised(seen, cells, units):
    methods = {name: each for name, each in cells.items() if name not in REFERENCES}
    count = seen.shape[1]
    references = {name: np.stack([cells[name][units == unit].mean(0) for unit in range(count)]) for name in REFERENCES}
    return face_cells.summarise(seen, methods, units, references=references)


def _each(seen, methods, units, names) -> pd.DataFrame:
    """Return one row a unit and method with its scores."""
    rows = []
    for (unit, name), (method, maps) in itertools.product(enumerate(names), methods.items()):
        own = maps[units == unit]
        found = {key: float(value) for key, value in face_cells.agreement(seen[:, unit].mean(0), own.mean(0)).items()}
        reason = "a map does not vary" if np.isnan(found["pearson"]) else ""
        rows.append({"unit": name, "method": method, **found, "n_pictures": len(own), "reason": reason})
    return pd.DataFrame(rows)


def _moved(people, maps, labels, face, wanted) -> pd.DataFrame:
    """Return each method's mean correlation when people's face lies a little otherwise on the pictures."""
    middle = face.mean(0)
    frames = {"as given": face}
    frames |= {f"{pixels:+d} px across": face + np.array([pixels, 0]) for pixels in MOVES}
    frames |= {f"{pixels:+d} px down": face + np.array([0, pixels]) for pixels in MOVES}
    frames |= {f"x {scale:g}": (face - middle) * scale + middle for scale in SCALES}
    rows = []
    for name, points in frames.items():
        matrix = frame.points_matrix(points, wanted)
        cells = {key: face_cells.cell_means(each, matrix, **GRID) for key, each in maps.items()}
        seen = _people_maps(people, cells).mean(0)
        for method, each in cells.items():
            own = np.stack([each[labels == unit].mean(0) for unit in range(len(seen))])
            values = face_cells.agreement(seen, own)["pearson"]
            rows.append({"frame": name, "method": method, "pearson": values.mean(), "n_units": len(values)})
    return pd.DataFrame(rows)


def _confusions(run, trials, categories):
    """Return the confusion matrices as shares, long, and the agreement of people's with each network's."""
    keep = [list(map(canonical_name, run.categories)).index(name) for name in categories]
    answered = trials.trials["response"].map(canonical_name, na_action="ignore")
    known = dataclasses.replace(trials, trials=trials.trials[answered.isin(list(categories)).to_numpy()])
    counts = {PEOPLE: human.behaviour.confusion(known, categories=categories)[1]}
    for name in ("ensemble_simple_vote", "ensemble_weighted_vote", "multiclass"):
        counts[name] = confusion_counts(run, name)[np.ix_(keep, keep)]
    shares = {name: compare.confusion.shares(each) for name, each in counts.items()}
    cells = [
        (name, categories[true], categories[given], int(each[true, given]), shares[name][true, given])
        for name, each in counts.items()
        for true, given in np.ndindex(each.shape)
    ]
    rows = []
    for name, each in shares.items():
        right = np.trace(counts[name]) / counts[name].sum()
        row = {"model": name, "accuracy": right, "mean_recall": np.diag(each).mean(), "n_answers": counts[name].sum()}
        rows.append(row | (compare.confusion.correlation(shares[PEOPLE], each) if name != PEOPLE else {}))
    table = pd.DataFrame(rows)
    table["reason"] = table["reason"].fillna("people themselves")
    return pd.DataFrame(cells, columns=["model", "true_label", "response", "count", "share"]), table


def _mean_face(pictures, matrix) -> np.ndarray:
    """Return the mean picture as it lies in people's frame, 128 beyond it."""
    mean = pictures.mean((0, 3))[None]
    width, height = FACE_PX
    side = 5  # pixels of the face a pixel drawn
    drawn = face_cells.cell_means(mean, matrix, rows=height // side, columns=width // side, cell_px=side)
    return np.nan_to_num(drawn, nan=128).reshape(height // side, width // side).round().astype(np.uint8)
