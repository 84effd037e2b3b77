"""Checks that clicks, answers and pictures are one data set. The first fault is named.

Contract: T images of S x S pixels, N trials. `trials` are tables that `typed_tables` made and earlier checks let pass,
`study` is a table of T images, `image_px` is S, and `names` is how messages call each table. Each check raises a
`DataError` of one line: table, row (counted from 1, the header left out), column, what was wanted, what came. Rows are
checked column by column, in the order of the rules below.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from fer_jax.categories import Categories
from fer_jax.errors import DataError
from fer_jax.expressions import EXPRESSIONS
from fer_jax.human.study import positions
from fer_jax.human.trials import TABLE_NAMES, Trials, refuse

# Beyond these a number is a mistake (ours): eleven days in ms, and a click far outside any window.
_LONGEST_MS = 1e9
_FARTHEST_PX = 1e6
_LARGEST = np.iinfo(np.int32).max


def check_options(
    trials: Trials, *, categories: Categories = EXPRESSIONS, names: Mapping[str, str] = TABLE_NAMES
) -> None:
    """Check that there are trials, each with an image and two different options among the categories."""
    table = trials.trials
    if table.empty:
        raise DataError(f"{names['trials']}: wanted at least one trial, got none.")
    two = "2 options; a trial of more has no foil, keep it in the study's tables"
    rules = [
        ("n_options", table["n_options"].ne(2), two),
        ("image", table["image"].isna(), "the name of an image"),
        ("true_label", ~table["true_label"].isin(categories.names), f"one of {categories}"),
        ("false_label", ~table["false_label"].isin(categories.names), f"one of {categories}"),
        ("false_label", table["false_label"].eq(table["true_label"]), "another label than the true one"),
    ]
    _refuse_first(names["trials"], table, rules)


def check_trials(trials: Trials, study: pd.DataFrame, *, image_px: int, names: Mapping[str, str] = TABLE_NAMES) -> None:
    """Check answers: the same foil for everybody, no image twice, sizes, and that flags tell the truth."""
    table = trials.trials
    people = trials.participants.set_index("participant")["simulated"]
    known = table["participant"].isin(people.index)
    rows = positions(study, table["image"])
    shown = study.iloc[np.maximum(rows, 0)].reset_index(drop=True)
    right = table["response"].eq(table["true_label"])
    options = right | table["response"].eq(table["false_label"])
    first = table.iloc[0]
    rules = [
        ("participant", ~known, "a row of the participants' table"),
        ("simulated", table["simulated"].isna(), "0 or 1"),
        ("simulated", ~table["simulated"].eq(people.reindex(table["participant"]).array), "what the person's row says"),
        ("image", rows < 0, "an image of the study"),
        ("true_label", table["true_label"].ne(shown["true_label"]), "one truth for an image"),
        ("false_label", table["false_label"].ne(shown["false_label"]), "one foil for an image, the same for everybody"),
        ("image", table.duplicated(["participant", "image"]), "each image once for a person"),
        ("response", ~options, "the true or the false label"),
        ("correct", table["correct"].isna(), "0 or 1"),
        ("correct", table["correct"].ne(right), "1 where the response is the truth"),
        ("trial", ~table["trial"].between(1, _LARGEST), "a number from 1"),
        ("block", ~table["block"].between(1, _LARGEST), "a number from 1"),
        ("image_px", table["image_px"].ne(image_px), f"{image_px}, the side of the pictures"),
        ("reveal_radius_px", ~table["reveal_radius_px"].between(1, image_px), f"whole pixels in 1..{image_px}"),
        ("reveal_radius_px", table["reveal_radius_px"].ne(first["reveal_radius_px"]), "one radius in all trials"),
        ("blur_k", ~table["blur_k"].between(1, image_px), f"whole pixels in 1..{image_px}"),
        ("blur_k", table["blur_k"].ne(first["blur_k"]), "one blur in all trials"),
        ("rt_decision_ms", _outside(table["rt_decision_ms"], 0, _LONGEST_MS), "ms, 0 or more, or nothing"),
    ]
    _refuse_first(names["trials"], table, rules)


def check_clicks(trials: Trials, *, image_px: int, names: Mapping[str, str] = TABLE_NAMES) -> None:
    """Check clicks: of a trial that is there, numbered without a gap, chosen, on the image or flagged as outside."""
    clicks, table = trials.clicks, trials.trials
    own = clicks[["participant", "trial"]].merge(
        table[["participant", "trial", "image"]], on=["participant", "trial"], how="left"
    )
    inside = clicks["inside"].fillna(False).to_numpy(bool)
    off_image, far = np.zeros((2, len(clicks)), bool)
    for column in ("x_px", "y_px"):
        off_image |= inside & _outside(clicks[column], 0, np.nextafter(image_px, 0), missing=True)
        far |= _outside(clicks[column], -_FARTHEST_PX, _FARTHEST_PX)
    order = clicks.groupby(["participant", "trial"])["click"].rank()
    rules = [
        ("trial", own["image"].isna(), "a row of the trials' table"),
        ("image", clicks["image"].ne(own["image"]), "the image of its trial"),
        ("click", clicks["click"].ne(order), "clicks numbered 1, 2, ... within a trial, none left out"),
        ("inside", clicks["inside"].isna(), "0 or 1"),
        ("chosen", ~clicks["chosen"].fillna(False), "1: places that a program chose are no clicks of a person"),
        (("x_px", "y_px"), off_image, f"a point in [0, {image_px}), or inside = 0"),
        (("x_px", "y_px"), far, "pixels"),
        ("t_ms", _outside(clicks["t_ms"], 0, _LONGEST_MS), "ms, 0 or more, or nothing"),
    ]
    _refuse_first(names["clicks"], clicks, rules)
    opened = opened_clicks(trials)
    lost = table["n_clicks"].notna() & (table["n_clicks"] != opened)
    if lost.any():
        wanted = f"the {opened[int(lost.argmax())]} openings of the clicks' table"
        refuse(names["trials"], table, lost, "n_clicks", wanted)


def opened_clicks(trials: Trials) -> np.ndarray:
    """Count the discs that each trial opened: int64 (N,)."""
    keys = ["participant", "trial"]
    counts = trials.clicks[trials.clicks["inside"].fillna(False).to_numpy(bool)].groupby(keys).size()
    return counts.reindex(pd.MultiIndex.from_frame(trials.trials[keys]), fill_value=0).to_numpy(np.int64)


def check_kind(trials: Trials, *, allow_mixed: bool, names: Mapping[str, str] = TABLE_NAMES) -> str:
    """Return "real", "simulated", or "mixed" if that is allowed: whether people or programs answered."""
    simulated = trials.trials["simulated"].to_numpy(bool)
    if simulated.all() or not simulated.any():
        return "simulated" if simulated.all() else "real"
    if not allow_mixed:
        raise DataError(
            f"{names['trials']}: wanted people or programs, got {simulated.sum()} simulated trials of "
            f"{len(simulated)}; part them, or take both with `allow_mixed`, and every figure has to say so."
        )
    return "mixed"


def check_hashes(
    trials: Trials, study: pd.DataFrame, accepted: Sequence[set[str]], *, names: Mapping[str, str] = TABLE_NAMES
) -> None:
    """Check the pictures by their digests, `accepted` for each image, where the trials say which were shown."""
    table = trials.trials
    rows = positions(study, table["image"])
    told = [None if pd.isna(text) else text.lower() for text in table["image_sha256"]]
    wrong = np.array([text is not None and text not in accepted[row] for text, row in zip(told, rows, strict=True)])
    if wrong.any():
        row = rows[int(wrong.argmax())]
        wanted = f"the SHA-256 of the picture {study['image'].iloc[row]!r} ({', '.join(sorted(accepted[row]))})"
        refuse(names["trials"], table, wrong, "image_sha256", wanted)


def _refuse_first(name, table, rules) -> None:
    for column, bad, wanted in rules:
        refuse(name, table, bad, column, wanted)


def _outside(values, low, high, *, missing: bool = False) -> np.ndarray:
    """Return where numbers lie outside [low, high]. A missing number counts as `missing`."""
    values = values.to_numpy(np.float64)
    return np.where(np.isnan(values), missing, (values < low) | (values > high))
