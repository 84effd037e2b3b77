"""Drawn faces as single files: a PNG each, one table of all that is known of them, and how they were made.

A folder holds `images/<label>/000000.png` ..., so that `images` can be read as class folders, `faces.csv` (columns:
`fer_jax.faces.table`, after `file`), `settings.json` and, where asked for, `regions/000000.png`: one channel, 0
outside, else 1 + the index into `fer_jax.faces.REGIONS`.
"""

import csv
import dataclasses
import json
import pathlib
import shutil
from collections.abc import Callable

import cv2
import numpy as np

from experiments.harness.locking import lock
from fer_jax import data, faces, parallel
from fer_jax.errors import UsageError
from fer_jax.expressions import EXPRESSIONS

TABLE, SETTINGS = "faces.csv", "settings.json"
IMAGES, REGIONS = "images", "regions"
_UNFINISHED = "faces.csv.part"


@dataclasses.dataclass(frozen=True)
class FaceFiles:
    """What to write where; it travels to the processes that draw.

    Attributes:
      folder: where the files go.
      seed: seed of the data set.
      split: whose people.
      preset: the mixture.
      size: side, pixels.
      expressions: indices into `EXPRESSIONS` that take turns; none: in turn, or as the preset's prior says.
      identities: how many people take turns; 0: each picture has its own.
      regions: whether region masks are written too.
    """

    folder: str
    seed: int
    split: str
    preset: faces.Preset
    size: int
    expressions: tuple[int, ...] = ()
    identities: int = 0
    regions: bool = False

    def scene(self, index: int) -> faces.Parameters:
        """What picture `index` shows."""
        turn = len(self.expressions)
        expression = self.expressions[index % turn] if turn else None
        # A person shows every expression before the next one comes.
        person = index // (turn or 8) % self.identities if self.identities else None
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


def write_folder(
    files: FaceFiles, images: int, *, workers: int | None = None, tell: Callable[[int], None] = lambda done: None
) -> pathlib.Path:
    """Write a folder of faces.

    Args:
      files: what to write where.
      images: how many.
      workers: processes; the files do not depend on it.
      tell: called with the number of pictures written.

    Returns:
      The table's path. It gets its name when all pictures are there; until then the same call begins anew.

    Raises:
      UsageError: a folder that holds something else, a finished one, or one that another process draws into.
    """
    folder = pathlib.Path(files.folder)
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / _UNFINISHED).exists())):
        raise UsageError(f"`--out`: wanted a new or empty folder, got {folder}, which holds something; name another.")
    # A wrong flag is told before anything is made.
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
    (folder / SETTINGS).write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    return (folder / _UNFINISHED).rename(folder / TABLE)


def _plain(value: str | int | float) -> str | int:
    """Floats in the seven digits that float32 has."""
    return f"{value:.7g}" if isinstance(value, float) else value
