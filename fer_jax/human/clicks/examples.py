"""Examples of a data set of clicks, one a trial, and the way back.

Contract: an example is a dict of the features of `datasets/click_study`. `trial_examples` and `original_examples` make
them of a `ClickSet`, `from_examples` makes the same set of them again and checks every stored mask against its clicks.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from fer_jax.categories import Categories
from fer_jax.errors import DataError
from fer_jax.expressions import EXPRESSIONS
from fer_jax.human.clicks.dataset import STORED_TRIALS, ClickSet, assemble, clicks_of
from fer_jax.human.columns import typed
from fer_jax.human.stimuli import check_mask, decode, reveal_mask
from fer_jax.human.trials import Trials
from fer_jax.provenance import UNKNOWN, Provenance

Example = Mapping[str, Any]

_NO_CLICKS = (np.zeros((0, 2), np.float32), np.zeros(0, np.float32), np.zeros(0, bool))
_AS_IN_THE_TABLE = (
    "correct", "simulated", "participant", "trial", "block", "rt_decision_ms", "reveal_radius_px", "blur_k",
)  # fmt: skip
# The unmasked pictures, as nobody's trial: everything is open, nothing was clicked or answered.
_NOBODY = {
    "response": -1,
    "correct": False,
    "simulated": False,
    "participant": "",
    "source": "",
    "trial": 0,
    "block": 0,
    "rt_decision_ms": float("nan"),
    "reveal_radius_px": 0,
    "blur_k": 0,
}


def trial_examples(click_set: ClickSet) -> Iterator[dict[str, Any]]:
    """Yield what is stored of each trial, right or wrong, in the order of the table.

    Args:
      click_set: as `assemble` left it.

    Yields:
      image uint8 (S, S, 3), sharp, mask uint8 (S, S, 1), 255 where open, clicks float32 (K, 2), click_ms float32 (K,)
      and click_inside bool (K,), labels as numbers of the categories, the rest as in the tables, a missing number as
      NaN, a missing text as "".
    """
    row_of = {image: row for row, image in enumerate(click_set.study["image"])}
    size = (click_set.image_px, click_set.image_px)
    records: list[dict[Any, Any]] = click_set.trials.trials.to_dict("records")
    for trial, (points, times, inside) in zip(records, clicks_of(click_set), strict=True):
        opened = reveal_mask(points[inside], size, click_set.reveal_radius)
        yield {
            **_image_features(click_set, row_of[trial["image"]]),
            "mask": np.where(opened, np.uint8(255), np.uint8(0))[:, :, None],
            "clicks": points,
            "click_ms": times,
            "click_inside": inside,
            "response": click_set.categories.index_of(trial["response"]),
            "source": "" if pd.isna(trial["source"]) else trial["source"],
            **{name: trial[name] for name in _AS_IN_THE_TABLE},
        }


def original_examples(click_set: ClickSet) -> Iterator[dict[str, Any]]:
    """Yield each image of the study once, unmasked, with the features of `trial_examples`.

    Args:
      click_set: as `assemble` left it.

    Yields:
      As `trial_examples`, with an open mask, no clicks, response -1, participant "", trial, block, radius and blur 0.
    """
    size = click_set.image_px
    for row in range(len(click_set.study)):
        yield {
            **_image_features(click_set, row),
            "mask": np.full((size, size, 1), 255, np.uint8),
            **dict(zip(("clicks", "click_ms", "click_inside"), _NO_CLICKS, strict=True)),
            **_NOBODY,
        }


def from_examples(
    trials: Iterable[Example],
    originals: Iterable[Example],
    *,
    provenance: Provenance = UNKNOWN,
    categories: Categories = EXPRESSIONS,
) -> ClickSet:
    """Rebuild the set that examples were made of. Every mask, fold, pair and picture is checked again.

    Args:
      trials: as `trial_examples` yields them, or as TFDS reads them (text as bytes). Pictures may be left as the bytes
        of their PNG, which spares decoding each of the T images once a trial.
      originals: as `original_examples` yields them.
      provenance: what the pictures are.
      categories: the names that labels stand for: those of the stored feature `true_label`.

    Returns:
      The set. People's and simulated trials may be mixed, as they were stored.

    Raises:
      DataError: a feature that is missing or odd, a mask that is not the union of its clicks' discs, a picture that is
        not the original's, or what `assemble` refuses. The message has the number of the example, counted from 1.
    """
    pictures = _Pictures()
    rows = [
        _original(_Reader(example, f"`originals`: example {n}", categories), pictures)
        for n, example in enumerate(originals, 1)
    ]
    if not rows:
        raise DataError("`originals`: wanted at least one example, got none.")
    study = pd.DataFrame([row for row, _ in rows])
    images = {row["image"]: (row, picture) for row, picture in rows}
    pixels = [picture for _, picture in images.values()]
    if len({picture.shape for picture in pixels}) > 1:
        raise DataError("`originals`: wanted pictures of one size, got several.")
    read = [
        _trial(_Reader(example, f"`trials`: example {n}", categories), pictures, images)
        for n, example in enumerate(trials, 1)
    ]
    table = typed("trials", pd.DataFrame([row for row, _ in read], columns=list(STORED_TRIALS)))
    clicks = [own for _, own in read]
    points, times, inside = (np.concatenate(column) for column in zip(*clicks, strict=True)) if clicks else _NO_CLICKS
    counts = [len(own[0]) for own in clicks]
    of_trial = table[["participant", "trial", "image"]].loc[np.repeat(table.index, counts)].reset_index(drop=True)
    order = [number for count in counts for number in range(1, count + 1)]
    tables = Trials(
        participants=typed("participants", table[["participant", "simulated"]].drop_duplicates("participant")),
        trials=table,
        clicks=typed(
            "clicks",
            of_trial.assign(click=order, x_px=points[:, 0], y_px=points[:, 1], t_ms=times, inside=inside, chosen=True),
        ),
        events=typed("events", {}),
    )
    click_set = assemble(
        tables, np.stack(pixels), study, categories=categories, allow_mixed=True, provenance=provenance
    )
    for column in ("pair", "fold", "content_hash"):
        differs = (click_set.study[column] != study[column]).to_numpy(bool)
        if differs.any():
            row = int(differs.argmax())
            wanted, got = click_set.study[column].iloc[row], study[column].iloc[row]
            raise DataError(f"`originals`: example {row + 1}: {column}: wanted {wanted}, got {got}.")
    return click_set


class _Pictures:
    """Pictures as stored. Equal bytes are decoded once."""

    def __init__(self):
        self._decoded: dict[bytes, np.ndarray] = {}

    def pixels(self, image, where) -> np.ndarray:
        if not isinstance(image, bytes):
            return np.asarray(image)
        if image not in self._decoded:
            try:
                self._decoded[image] = decode(image)
            except DataError as error:
                raise DataError(f"{where}: image: {error}") from None
        return self._decoded[image]


class _Reader:
    """The features of one example. A missing or odd feature is named."""

    def __init__(self, example: Example, where: str, categories: Categories):
        self._example, self.where, self._categories = example, where, categories

    def value(self, name) -> Any:
        if name not in self._example:
            raise DataError(f"{self.where}: wanted a feature {name}, got {', '.join(self._example)}.")
        return self._example[name]

    def whole(self, name) -> int:
        value = self.value(name)
        if not isinstance(value, (int, np.integer)):
            raise DataError(f"{self.where}: {name}: wanted a whole number, got {value!r}.")
        return int(value)

    def text(self, name) -> str:
        value = self.value(name)
        try:
            return value.decode("utf-8") if isinstance(value, bytes) else str(value)
        except UnicodeDecodeError:
            raise DataError(f"{self.where}: {name}: wanted UTF-8 text, got {value!r}.") from None

    def label(self, name) -> str:
        value = self.whole(name)
        if not 0 <= value < len(self._categories):
            raise DataError(f"{self.where}: {name}: wanted 0..{len(self._categories) - 1}, got {value}.")
        return self._categories[value]


def _original(reader, pictures) -> tuple[dict[str, Any], np.ndarray]:
    """Read a row of the study table, and its picture."""
    pixels = pictures.pixels(reader.value("image"), reader.where)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape != (*pixels.shape[:1] * 2, 3):
        raise DataError(f"{reader.where}: image: wanted uint8 (S, S, 3), got {pixels.dtype} {pixels.shape}.")
    row = {
        "image": reader.text("image_id"),
        "true_label": reader.label("true_label"),
        "false_label": reader.label("false_label"),
        "pair": reader.whole("pair"),
        "fold": reader.whole("fold"),
        "content_hash": reader.text("content_hash"),
    }
    return row, pixels


def _trial(reader, pictures, originals) -> tuple[dict[str, Any], tuple[np.ndarray, ...]]:
    """Read a row of the trials' table, and its clicks: points, times, flags."""
    image = reader.text("image_id")
    if image not in originals:
        raise DataError(f"{reader.where}: image_id: wanted an image of the originals, got {image!r}.")
    original, pixels = originals[image]
    for name, got in (
        *((name, reader.whole(name)) for name in ("pair", "fold")),
        ("content_hash", reader.text("content_hash")),
    ):
        if got != original[name]:
            raise DataError(f"{reader.where}: {name}: wanted the original's {original[name]}, got {got}.")
    if not np.array_equal(pictures.pixels(reader.value("image"), reader.where), pixels):
        raise DataError(f"{reader.where}: image: wanted the pixels of the original {image!r}, got others.")
    points, times, inside = (np.asarray(reader.value(name)) for name in ("clicks", "click_ms", "click_inside"))
    if points.shape != (len(inside), 2) or times.shape != inside.shape or inside.dtype != bool:
        raise DataError(
            f"{reader.where}: wanted clicks (K, 2), click_ms (K,) and click_inside bool (K,), got {points.shape}, "
            f"{times.shape} and {inside.dtype} {inside.shape}."
        )
    radius, side = reader.whole("reveal_radius_px"), len(pixels)
    opening = points[inside]
    if not 0 < radius <= side or not ((opening >= 0) & (opening < side)).all():
        raise DataError(f"{reader.where}: wanted a radius in 1..{side} and opening clicks on the image, got others.")
    mask = np.asarray(reader.value("mask"))
    check_mask(mask, opening, image_px=side, radius=radius, where=reader.where)
    row = {
        "participant": reader.text("participant"),
        "simulated": bool(reader.value("simulated")),
        "block": reader.whole("block"),
        "trial": reader.whole("trial"),
        "image": image,
        "true_label": reader.label("true_label"),
        "false_label": reader.label("false_label"),
        "n_options": 2,
        "response": reader.label("response"),
        "correct": bool(reader.value("correct")),
        "n_clicks": int(inside.sum()),
        "rt_decision_ms": float(reader.value("rt_decision_ms")),
        "image_px": reader.whole("image_px"),
        "reveal_radius_px": radius,
        "blur_k": reader.whole("blur_k"),
        "source": reader.text("source"),
    }
    return row, (points, times, inside)


def _image_features(click_set, row) -> dict[str, Any]:
    image = click_set.study.iloc[row]
    return {
        "image": click_set.pictures[row],
        "image_id": image["image"],
        "content_hash": image["content_hash"],
        "true_label": click_set.categories.index_of(image["true_label"]),
        "false_label": click_set.categories.index_of(image["false_label"]),
        "pair": int(image["pair"]),
        "fold": int(image["fold"]),
        "image_px": click_set.image_px,
    }
