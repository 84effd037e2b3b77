"""Drawn faces on disk: sheets to look at, and folders of one PNG a face with a table of all that is known of them.

A folder holds `images/<label>/000000.png` ..., so that `images` can be read as class folders, `faces.csv` (columns:
`fer_jax.faces.table`, after `file`), `settings.json` and, where asked for, `regions/000000.png`: one channel, 0
outside, else 1 + the index into `fer_jax.faces.REGIONS`.
"""

import csv
import dataclasses
import json
import pathlib
import shutil
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from fer_jax import data, faces, parallel
from fer_jax.errors import StorageError, UsageError
from fer_jax.expressions import EXPRESSIONS
from fer_jax.faces import sheets
from fer_jax.files import lock, write_whole

TABLE, SETTINGS = "faces.csv", "settings.json"
IMAGES, REGIONS = "images", "regions"
_UNFINISHED = "faces.csv.part"


@dataclasses.dataclass(frozen=True)
class FaceFiles:
    """The faces of a folder. This value travels to the processes that draw.

    Attributes:
      folder: where the files go.
      seed: seed of the data set.
      split: whose people.
      preset: the mixture.
      size: side, pixels.
      expressions: names that take turns. With none all eight do, or come as the preset's prior says.
      identities: number of people who take turns, or 0 for a new person in each picture.
      regions: whether region masks are written, too.
    """

    folder: str
    seed: int
    split: str
    preset: faces.Preset
    size: int
    expressions: tuple[str, ...] = ()
    identities: int = 0
    regions: bool = False

    def scene(self, index: int) -> faces.Parameters:
        """Draw the parameters of picture `index`."""
        turn = len(self.expressions)
        expression = EXPRESSIONS.index(self.expressions[index % turn]) if turn else None
        # A person shows every expression before the next one comes.
        person = index // (turn or len(EXPRESSIONS)) % self.identities if self.identities else None
        return faces.draw(
            self.seed, self.split, index, preset=self.preset, size=self.size, expression=expression, identity=person
        )

    def write(self, index: int) -> dict:
        """Draw a picture, write it, and return its row."""
        face = faces.render(self.scene(index))
        folder, name = pathlib.Path(self.folder), f"{IMAGES}/{EXPRESSIONS[face.label]}/{index:06d}.png"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data.encode_png(face.image))
        if self.regions:
            (folder / REGIONS).mkdir(exist_ok=True)
            mask = faces.region_mask(face, self.size)
            (folder / REGIONS / f"{index:06d}.png").write_bytes(faces.encode_mask(mask))
        return {"file": name, **faces.face_row(face)}


def write_sheet(path: pathlib.Path, preset: faces.Preset, names: Sequence[str], config) -> list[pathlib.Path]:
    """Draw a sheet and write it, and beside a naming sheet its key.

    Args:
      path: of the PNG.
      preset: the mixture.
      names: the expressions, or none for all eight.
      config: seed, split, image_size, identities, the preset's name and the kind of sheet, as `draw_faces.Config`.

    Returns:
      The paths written.

    Raises:
      StorageError: a folder that cannot be written.
    """
    people = 1 if config.sheet in ("oracle", "masks") else 6
    scenes = sheets.cast(
        config.seed,
        preset=preset,
        size=config.image_size,
        identities=people if config.identities is None else config.identities,
        expressions=names or EXPRESSIONS,
        split=config.split,
    )
    low, high = preset.intensity
    foot = f"{config.faces}, nuisance {preset.nuisance:g}, intensity {low:g}..{high:g}, seed {config.seed}"
    key = None
    if config.sheet == "naming":
        sheet, key = sheets.naming_sheet(scenes, seed=config.seed, foot=foot)
    else:
        draw = {"contact": sheets.contact_sheet, "oracle": sheets.oracle_sheet, "masks": sheets.mask_sheet}
        sheet = draw[config.sheet](scenes, foot=foot)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), sheet[:, :, ::-1]):
        raise StorageError(f"`--out`: could not write {path}; name a folder you may write to.")
    if key is None:
        return [path]
    with path.with_suffix(".csv").open("w", newline="", encoding="utf-8") as table:
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(("tile", "expression", "identity"))
        writer.writerows((tile, EXPRESSIONS[each.expression], each.identity) for tile, each in enumerate(key, 1))
    return [path, path.with_suffix(".csv")]


def write_folder(
    files: FaceFiles, images: int, *, workers: int | None = None, tell: Callable[[int], None] = lambda done: None
) -> pathlib.Path:
    """Write a folder of faces.

    Args:
      files: the faces and their folder.
      images: number of pictures.
      workers: number of processes. The files do not depend on it.
      tell: called with the number of pictures written.

    Returns:
      The table's path. It gets its name when all pictures are there. Until then the same call begins anew.

    Raises:
      UsageError: a folder that holds something else, a finished one, or one that another process draws into.
    """
    folder = pathlib.Path(files.folder)
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / _UNFINISHED).exists())):
        raise UsageError(f"`--out`: wanted a new or empty folder, got {folder}, which holds something; name another.")
    # Refuses a wrong flag before anything is made.
    files.scene(0)
    rows = parallel.map_ordered(files.write, range(images), workers=workers)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _UNFINISHED).open("a", newline="", encoding="utf-8") as table:
        if not lock(table, f"`--out`: {folder}"):
            raise UsageError(f"`--out`: another process draws into {folder}; wait for it, or name another.")
        if (folder / TABLE).exists():  # another process has finished it meanwhile
            raise UsageError(f"`--out`: wanted a new or empty folder, got {folder}, which is finished; name another.")
        table.truncate(0)
        for left in (IMAGES, REGIONS):  # of a run that was stopped
            shutil.rmtree(folder / left, ignore_errors=True)
        writer = None
        for done, row in enumerate(rows, 1):
            if writer is None:
                writer = csv.DictWriter(table, list(row), lineterminator="\n")
                writer.writeheader()
            writer.writerow({name: _plain(value) for name, value in row.items()})
            tell(done)
    settings = dataclasses.asdict(files) | {
        "images": images,
        "synthetic": True,
        "render_version": faces.RENDER_VERSION,
        "opencv": cv2.__version__,
        "numpy": np.__version__,
    }
    del settings["folder"]
    write_whole(folder / SETTINGS, json.dumps(settings, indent=1) + "\n")
    return (folder / _UNFINISHED).rename(folder / TABLE)


def _plain(value: str | int | float) -> str | int:
    """Write a float in the seven digits that float32 has."""
    return f"{value:.7g}" if isinstance(value, float) else value
