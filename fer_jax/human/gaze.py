"""Places on pictures: eye fixations, mouse traces and clicks, and the maps they make.

Contract: places are pixels of the picture, x then y, origin at the top left, and the pixel is (floor x, floor y). A
place outside the picture is counted and left out. A person's map is float32 (h, w) on cells of `cell_px` pixels, the
person's places blurred by a Gaussian, so that the map of a group is the sum of its people's. Pictures have any size.
"""

import contextlib
import dataclasses
import math
import os
import pathlib
from collections.abc import Mapping

import cv2
import numpy as np
import pandas as pd
from scipy import io

from fer_jax.errors import DataError, UsageError, check_count, check_range
from fer_jax.human.trials import Trials

# OSIE's pictures of 800 pixels stood for about 33 degrees of the viewer's field (Xu et al. 2014).
OSIE_PX_A_DEGREE = 24.0
_BEYOND = 4  # deviations at which the blur is cut off


@dataclasses.dataclass(frozen=True, eq=False)
class Places:
    """Where people looked, clicked or moved a mouse.

    Attributes:
      table: one row a place, in the order they were made within a person and picture: image, participant, x, y.
      sizes: picture -> (height, width), pixels.
      outside: how many places were left out because they are not on their picture.
    """

    table: pd.DataFrame
    sizes: Mapping[str, tuple[int, int]]
    outside: int = 0

    @property
    def images(self) -> list[str]:
        """Pictures with at least one place, sorted."""
        return sorted(set(self.table["image"]))

    @property
    def participants(self) -> list[str]:
        """People with at least one place, sorted."""
        return sorted(set(self.table["participant"]))

    def people_of(self, image: str) -> list[str]:
        """Return the people with a place on a picture, sorted."""
        return sorted(set(self.table.loc[self.table["image"] == image, "participant"]))


def places(table: pd.DataFrame, sizes: Mapping[str, tuple[int, int]]) -> Places:
    """Leave out what lies outside the pictures, and count it.

    Args:
      table: image, participant, x, y, and further columns that are dropped.
      sizes: picture -> (height, width). A picture without a size is an error.

    Returns:
      The places on the pictures.

    Raises:
      DataError: a picture without a size, or no place at all.
    """
    strange = sorted(set(table["image"]) - set(sizes))
    if strange:
        raise DataError(f"`sizes`: wanted the size of every picture, got none of {strange[0]!r}.")
    high, wide = (table["image"].map({name: size[side] for name, size in sizes.items()}) for side in (0, 1))
    inside = (table["x"] >= 0) & (table["x"] < wide) & (table["y"] >= 0) & (table["y"] < high)
    if not inside.any():
        raise DataError(f"`table`: wanted places on the pictures, got {len(table)}, all of them outside.")
    kept = table.loc[inside, ["image", "participant", "x", "y"]].reset_index(drop=True)
    return Places(kept, dict(sizes), int((~inside).sum()))


def from_trials(trials: Trials, sizes: Mapping[str, tuple[int, int]]) -> Places:
    """Return the clicks of a study on the pictures that have a size.

    Args:
      trials: of any reader. A picture's suffix does not count: `1001.jpg` is `1001`.
      sizes: picture, without suffix -> (height, width).

    Returns:
      The places clicked.

    Raises:
      DataError: none of the pictures has a size.
    """
    clicks = trials.clicks
    names = clicks["image"].map(lambda name: pathlib.PurePath(name).stem, na_action="ignore")
    table = pd.DataFrame(
        {"image": names, "participant": clicks["participant"], "x": clicks["x_px"], "y": clicks["y_px"]}
    )
    known = table["image"].isin(list(sizes))
    if not known.any():
        first = names.dropna().head(1).tolist()
        raise DataError(f"`trials`: wanted clicks on pictures such as {next(iter(sizes))!r}, got {first or 'none'}.")
    return places(table[known], sizes)


def osie_sizes(folder: str | os.PathLike) -> dict[str, tuple[int, int]]:
    """Return the size of each photograph in the folder `stimuli` of OSIE, by name without suffix.

    Raises:
      DataError: no photograph, or one that cannot be read.
    """
    paths = sorted((pathlib.Path(folder) / "stimuli").glob("*.jpg"))
    if not paths:
        raise DataError(f"`folder`: wanted photographs stimuli/NNNN.jpg, got none in {str(folder)!r}.")
    return {path.stem: _picture(path).shape[:2] for path in paths}


def osie_picture(folder: str | os.PathLike, image: str) -> np.ndarray:
    """Read a photograph of OSIE as uint8 RGB (H, W, 3).

    Raises:
      DataError: it cannot be read.
    """
    return cv2.cvtColor(_picture(pathlib.Path(folder) / "stimuli" / f"{image}.jpg"), cv2.COLOR_BGR2RGB)


def read_osie_gaze(folder: str | os.PathLike) -> Places:
    """Read the eye fixations of OSIE (Xu et al. 2014) on the photographs that are there.

    Args:
      folder: holds `fixations.mat` and `stimuli`. People are called G01 and on, by their place in the file.

    Returns:
      Every fixation as one place, however long.

    Raises:
      DataError: a file that is missing or of another kind.
    """
    sizes = osie_sizes(folder)
    path = pathlib.Path(folder) / "fixations.mat"
    parts = []
    with _as_osie(path):
        for picture in _matlab(path):
            image = pathlib.PurePath(str(picture.img)).stem
            if image in sizes:
                for number, person in enumerate(np.atleast_1d(picture.subjects), 1):
                    xy = {"x": np.atleast_1d(person.fix_x), "y": np.atleast_1d(person.fix_y)}
                    parts.append(pd.DataFrame({"image": image, "participant": f"G{number:02d}", **xy}))
    if not parts:
        raise DataError(f"{path}: wanted fixations on {next(iter(sizes))}.jpg and others of stimuli, got none.")
    return places(pd.concat(parts, ignore_index=True), sizes)


def read_osie_mouse(folder: str | os.PathLike) -> Places:
    """Read the mouse traces of OSIE: a sharp window followed the pointer over a blurred photograph.

    Args:
      folder: holds `mouse_lab/NNNN.mat` and `stimuli`. People are called M01 and on, by their number in the files.

    Returns:
      Every recorded position as one place, the middle of its pixel.

    Raises:
      DataError: a file that is missing or of another kind.
    """
    sizes = osie_sizes(folder)
    paths = [path for path in sorted((pathlib.Path(folder) / "mouse_lab").glob("*.mat")) if path.stem in sizes]
    if not paths:
        raise DataError(f"`folder`: wanted traces mouse_lab/NNNN.mat, got none in {str(folder)!r}.")
    parts = []
    for path in paths:
        with _as_osie(path):
            (trace,) = _matlab(path)
            # The file counts rows and columns from 1.
            row_column = np.asarray(trace.coord, np.float64).reshape(-1, 2) - 0.5
            people = [f"M{number:02d}" for number in np.atleast_1d(trace.subj)]
            xy = {"x": row_column[:, 1], "y": row_column[:, 0]}
            parts.append(pd.DataFrame({"image": path.stem, "participant": people, **xy}))
    return places(pd.concat(parts, ignore_index=True), sizes)


def cells(size: tuple[int, int], cell_px: int) -> tuple[int, int]:
    """Return the height and width of a map in cells: the last cell of a side may stand over the edge."""
    height, width = size
    return math.ceil(height / cell_px), math.ceil(width / cell_px)


def person_maps(
    places: Places, image: str, *, sigma_px: float, cell_px: int = 1, people: list[str] | None = None
) -> np.ndarray:
    """Blur each person's places on one picture.

    Args:
      places: of everybody.
      image: which picture.
      sigma_px: deviation of the Gaussian, pixels. What it carries over the edge is lost.
      cell_px: side of a cell, pixels.
      people: whose maps, in this order. None takes those with a place on the picture.

    Returns:
      float32 (S, h, w), whose sum is the number of places less what was lost at the edges. Zero throughout for a person
      without a place.

    Raises:
      UsageError: a deviation below a quarter of a cell, a cell without a pixel, or a picture without a size.
    """
    check_count("cell_px", cell_px, 1)
    check_range("sigma_px", sigma_px, cell_px / 4, 1e6)
    if image not in places.sizes:
        raise UsageError(f"`image`: wanted a picture with a size, got {image!r}.")
    people = places.people_of(image) if people is None else people
    own = places.table[places.table["image"] == image]
    number = own["participant"].map({name: place for place, name in enumerate(people)})
    own, number = own[number.notna()], number.dropna().astype(int)
    maps = np.zeros((len(people), *cells(places.sizes[image], cell_px)), np.float32)
    row, column = ((own[axis].to_numpy() // cell_px).astype(int) for axis in ("y", "x"))
    np.add.at(maps, (number.to_numpy(), row, column), 1)
    sigma = sigma_px / cell_px
    window = (2 * math.ceil(_BEYOND * sigma) + 1,) * 2
    return np.stack([cv2.GaussianBlur(one, window, sigma, borderType=cv2.BORDER_CONSTANT) for one in maps])


def person_places(places: Places, image: str, people: list[str], *, cell_px: int = 1) -> np.ndarray:
    """Return each person's places on one picture, float32 (S, N, 2) in cells, x then y, padded with NaN."""
    own = places.table[places.table["image"] == image]
    lists = [own.loc[own["participant"] == name, ["x", "y"]].to_numpy(np.float32) / cell_px for name in people]
    padded = np.full((len(people), max(map(len, lists), default=0), 2), np.nan, np.float32)
    for one, found in zip(padded, lists, strict=True):
        one[: len(found)] = found
    return padded


@contextlib.contextmanager
def _as_osie(path):
    """Turn what a missing file, or one of another kind, raises into one line that names the file."""
    try:
        yield
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}.") from error
    except (io.matlab.MatReadError, AttributeError, KeyError, TypeError, ValueError, NotImplementedError) as error:
        raise DataError(f"{path}: wanted a file of OSIE, got another: {error}.") from error


def _matlab(path):
    """Return the structures named `fixations` in a MATLAB file."""
    with open(path, "rb") as file:
        return np.atleast_1d(io.loadmat(file, squeeze_me=True, struct_as_record=False)["fixations"])


def _picture(path):
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise DataError(f"{path}: wanted a photograph, got a file that cannot be read.")
    return picture
