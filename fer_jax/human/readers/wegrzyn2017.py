"""Tile logs of Wegrzyn et al. 2017 (10.1371/journal.pone.0177239), and the weight maps published from them.

Contract: a face is 300 x 400 pixels under six columns of eight tiles, numbered column by column.
"""

import os
import pathlib
from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from fer_jax.errors import DataError
from fer_jax.expressions import EXPRESSIONS, canonical
from fer_jax.human.columns import SCHEMA_VERSION, typed
from fer_jax.human.trials import Trials, person_counts

WEGRZYN_TILE_PX = 50
WEGRZYN_ROWS = 8
WEGRZYN_TILES = 48
_WEGRZYN_BUTTONS = ("hap", "sad", "ang", "fea", "dis", "sup", "ntr")
_WEGRZYN_BLOCK = 112
_WEGRZYN_COLUMNS = (
    "ident", "express", "id", "time", "button", "filename", "evaluation", "stopRT", "choiceRT", "maskNum", "maskList",
)  # fmt: skip
_LONG_MS = 60_000
_MOST_TRIALS = 100_000


def read_wegrzyn2017(folder: str | os.PathLike) -> Trials:
    """Read the tile logs of Wegrzyn et al. 2017: faces uncovered tile by tile, then one of seven expressions named.

    Tiles become clicks at the tile's centre with chosen = 0, because the program chose them. The moment a person
    stopped the uncovering is an event `stop`. Marks: stop_at_onset (stopRT ≤ 0), choice_before_stop, choice_over_60_s.

    Args:
      folder: holds the files `pandas_logfileNNN.csv`, one a person.

    Returns:
      Trials. Participants are called by the number in the file's name.

    Raises:
      DataError: no such file, or a bad row as file:line:column.
    """
    paths = sorted(pathlib.Path(folder).glob("pandas_logfile*.csv"))
    if not paths:
        raise DataError(f"`folder`: wanted files pandas_logfileNNN.csv, got none in {str(folder)!r}.")
    parts = [_wegrzyn_person(path) for path in paths]
    joined = {name: pd.concat([part[name] for part in parts], ignore_index=True) for name in parts[0]}
    return Trials(
        participants=typed("participants", person_counts(joined["trials"]).assign(simulated=False)),
        trials=typed("trials", joined["trials"]),
        clicks=typed("clicks", joined["clicks"]),
        events=typed("events", joined["events"]),
    )


def _wegrzyn_person(path: pathlib.Path) -> dict[str, pd.DataFrame]:
    log = _wegrzyn_log(path)
    person = path.stem.removeprefix("pandas_logfile")
    log = log.sort_values("id", ignore_index=True)
    trial = np.asarray(log["id"]) + 1
    labels = np.asarray(EXPRESSIONS)
    truth = labels[canonical("wegrzyn2017", log["express"])]
    response = labels[canonical("wegrzyn2017", log["button"].map(_WEGRZYN_BUTTONS.index))]
    trials = pd.DataFrame(
        {
            "participant": person,
            "simulated": False,
            "block": log["id"] // _WEGRZYN_BLOCK + 1,
            "trial": trial,
            "trial_in_block": log["id"] % _WEGRZYN_BLOCK + 1,
            "image": log["filename"],
            "true_label": truth,
            "n_options": len(_WEGRZYN_BUTTONS),
            "options": "|".join(labels[canonical("wegrzyn2017", np.arange(len(_WEGRZYN_BUTTONS)))]),
            "response": response,
            "correct": log["evaluation"] == "HIT",
            "n_clicks": log["maskNum"].astype(int),
            "rt_total_ms": log["choiceRT"],
            "image_px": WEGRZYN_TILE_PX * WEGRZYN_TILES // WEGRZYN_ROWS,
            "image_height_px": WEGRZYN_TILE_PX * WEGRZYN_ROWS,
            "schema_version": SCHEMA_VERSION,
            "source": "wegrzyn2017",
            "marks": _wegrzyn_marks(log),
        }
    )
    tiles = log["maskList"].str.split("-").map(lambda names: np.array(names, int))
    counts = np.array([len(shown) for shown in tiles])
    tile = np.concatenate(list(tiles))
    clicks = pd.DataFrame(
        {
            "participant": person,
            "trial": np.repeat(trial, counts),
            "image": np.repeat(np.asarray(log["filename"]), counts),
            "click": np.concatenate([np.arange(1, count + 1) for count in counts]),
            "x_px": WEGRZYN_TILE_PX * (tile // WEGRZYN_ROWS + 0.5),
            "y_px": WEGRZYN_TILE_PX * (tile % WEGRZYN_ROWS + 0.5),
            "inside": True,
            "chosen": False,
        }
    )
    stops = {"participant": person, "seq": trial, "trial": trial, "t_ms": log["stopRT"], "type": "stop"}
    return {"trials": trials, "clicks": clicks, "events": pd.DataFrame(stops)}


def _wegrzyn_log(path: pathlib.Path) -> pd.DataFrame:
    """Read one file and check its columns. Row i stands on line i + 2."""
    text: dict[Hashable, Any] = dict.fromkeys(("button", "evaluation", "filename", "maskList", "time"), "str")
    try:
        log = pd.read_csv(path, dtype=text, encoding="utf-8")
    except (ValueError, UnicodeDecodeError, pd.errors.ParserError) as error:
        raise DataError(f"{path}:?:?: wanted a comma-separated log: {error}.") from error
    for name in _WEGRZYN_COLUMNS:
        if name not in log:
            raise DataError(f"{path}:1:{name}: wanted this column, got none.")
    if log.empty:
        raise DataError(f"{path}:2:?: wanted a row for each trial, got none.")
    for name in ("ident", "express", "id", "stopRT", "choiceRT", "maskNum"):
        log[name] = pd.to_numeric(log[name], errors="coerce")
    tiles = log["maskList"].str.split("-")
    shown = tiles.map(
        lambda names: len(set(names)) == len(names) and all(n.isdecimal() and int(n) < WEGRZYN_TILES for n in names),
        na_action="ignore",
    )
    named = log["button"].map({name: number for number, name in enumerate(_WEGRZYN_BUTTONS)})
    rules = {
        "ident": log["ident"].isin([0, 1]),
        "express": log["express"].isin(range(len(_WEGRZYN_BUTTONS))),
        "id": log["id"].isin(range(_MOST_TRIALS)) & ~log["id"].duplicated(),
        "button": log["button"].isin(_WEGRZYN_BUTTONS),
        "filename": log["filename"].notna(),
        "evaluation": log["evaluation"] == (named == log["express"]).map({True: "HIT", False: "ERR"}),
        "stopRT": np.isfinite(log["stopRT"]),
        "choiceRT": np.isfinite(log["choiceRT"]),
        "maskList": shown.eq(True),
        "maskNum": log["maskNum"] == tiles.str.len(),
    }
    for name, good in rules.items():
        if not good.all():
            row = int((~good).argmax())
            raise DataError(f"{path}:{row + 2}:{name}: wanted a value of this log's kind, got {log[name].iloc[row]!r}.")
    return log


def _wegrzyn_marks(log) -> list[str | None]:
    rules = {
        "stop_at_onset": log["stopRT"] <= 0,
        "choice_before_stop": log["choiceRT"] < log["stopRT"],
        "choice_over_60_s": log["choiceRT"] > _LONG_MS,
    }
    return ["|".join(name for name in rules if rules[name].iloc[row]) or None for row in range(len(log))]
