"""The folder `experiments.explain` fills: for each picture its maps (NPZ) and a drawing (PNG), then one table.

Contract: an NPZ that is there is whole and stands for its source's bytes under the folder's `settings.json`.
Everything else can be made again from it.
"""

import hashlib
import io
import itertools
import json
import pathlib
import sys
import zipfile
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from experiments.harness.command import StopRequest
from experiments.harness.locked_folder import LockedFolder
from experiments.harness.progress import Progress
from experiments.picture_files import PictureFile
from experiments.study.run_folder import FinishedFiles, versions
from fer_jax import figures
from fer_jax.data import ImageRejected
from fer_jax.errors import DataError, StorageError, UsageError
from fer_jax.explanation import OFFERED
from fer_jax.figures.style import DPI, number

SCHEMA = 1
_RECORD = "settings.json"
_LONGEST_TITLE, _LONGEST_CLASS = 44, 18
_REJECTIONS_TOLD = 20
_WIDE = 1.5
# Latin letters, which the figures' font has. An escaped dollar sign begins no formula.
_DRAWN = range(0x20, 0x250)


class ExplainedFolder(LockedFolder, FinishedFiles):
    """A locked folder of explanations that were all made in one way.

    Args:
      out: where.
      images: where the pictures lie.
      made: JSON-ready: how they are explained, and which network.

    Raises:
      UsageError: the folder holds explanations made in another way, other files, or is in use.
      StorageError: it cannot be written, or its record cannot be read.
    """

    def __init__(self, out: str, images: str, made: dict):
        self.made = json.loads(json.dumps(made))
        self._images = str(pathlib.Path(images).resolve())
        super().__init__(out, record=_RECORD, holds="explanations", leftovers=("LOCK", "flags.txt"))
        try:
            self._check_record()
        except BaseException:
            self.close()
            raise

    def _check_record(self):
        if not self.has(_RECORD):
            record = {"schema": SCHEMA, "images": self._images, "made": self.made, "versions": versions()}
            self.write_json(_RECORD, record)
            return
        wanted = self.made | {"images": self._images}
        try:
            record = self.read_json(_RECORD)
            schema, known = record["schema"], record["made"] | {"images": record["images"]}
            differ = [f"{name} was {known.get(name)!r}, is {v!r}" for name, v in wanted.items() if known.get(name) != v]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StorageError(
                f"`{self.path / _RECORD}`: damaged ({type(error).__name__}). Choose another --out, or remove this one."
            ) from error
        if schema != SCHEMA:
            raise StorageError(f"`{self.path / _RECORD}`: wanted schema {SCHEMA}, got {schema}.")
        if differ:
            raise UsageError(
                f"`--out`: {self.path} holds explanations made in another way ({'; '.join(differ):.200}). "
                "Choose another folder, or remove this one."
            )

    def saved(self, file: PictureFile, digest: str) -> dict[str, np.ndarray] | None:
        """Return a finished picture's arrays, or None if it is not finished or its file has changed since."""
        if not self.has(f"{file.name}.npz"):
            return None
        try:
            arrays = self.read_arrays(file.name)
            same = (str(arrays["source"]), str(arrays["sha256"])) == (file.source, digest)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None  # damaged from outside
        return arrays if same else None

    def draw(self, file: PictureFile, arrays: dict[str, np.ndarray]) -> None:
        """Draw the picture with one overlay a method, as PNG."""
        names = [_drawable(_short(str(name), _LONGEST_CLASS)) for name in arrays["class_names"]]
        target, predicted = int(arrays["target"]), int(arrays["logits"].argmax())
        notes = [
            f"predicted: {names[predicted]} (probability {number(_probabilities(arrays)[predicted])})",
            f"explained: {names[target]}" + (f", not {names[1 - target]}" if len(names) == 2 else ""),
        ]
        titles = {method: f"{OFFERED[method].replace(' ', chr(0xA0))} for {names[target]}" for method in OFFERED}
        maps = {titles[method]: arrays[method] for method in OFFERED if method in arrays}
        figure = figures.draw_saliency(arrays["picture"], maps, title=_drawable(_short(file.source)), notes=notes)
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=DPI, metadata={"Software": None})
        self.write_bytes(f"{file.name}.png", content.getvalue())


def fill(
    folder: ExplainedFolder,
    files: list[PictureFile],
    *,
    explain: Callable[[Iterator[np.ndarray]], Iterator[tuple[int, dict]]],
    to_input: Callable[[bytes], tuple[np.ndarray, str]],
    stop: StopRequest,
) -> None:
    """Explain what is not finished yet, write it picture by picture, and the tables at the end.

    Args:
      folder: where.
      files: all files, picture or not.
      explain: from pictures (H, W, 3) to (index, arrays) of each, in any order. It reads a picture when there is room.
      to_input: from a file's bytes to what the network sees, and the crop that was made.
      stop: asked before each picture is read.

    Raises:
      DataError: none of the files is a picture that can be read.
      Preempted: a stop was asked for.
    """
    rows, rejected, waiting = {}, [], {}
    progress = Progress("explaining", len(files), unit="pictures")
    numbers = itertools.count()

    def unfinished():
        for file in files:
            stop.check()
            try:
                data = file.read()
                digest = hashlib.sha256(data).hexdigest()
                arrays = folder.saved(file, digest)
                if arrays is None:
                    picture, crop = to_input(data)
                    known = {"picture": picture, "crop": crop, "source": file.source, "sha256": digest}
                    waiting[next(numbers)] = file, {name: np.asarray(value) for name, value in known.items()}
                    yield picture
                else:
                    if not folder.has(f"{file.name}.png"):
                        folder.draw(file, arrays)
                    rows[file.name] = summary_row(file, arrays)
            except ImageRejected as rejection:
                rejected.append({"image": file.source, "reason": rejection.reason, "detail": rejection.detail})
                _tell(rejected)

    new = 0
    for index, results in explain(unfinished()):
        file, known = waiting.pop(index)
        arrays = {name: np.asarray(value) for name, value in results.items()} | known
        arrays["class_names"] = np.asarray(folder.made["class_names"])
        arrays["settings"] = np.asarray(json.dumps(folder.made))
        if "masks" in arrays:
            arrays["areas"] = np.asarray(folder.made["areas"])
        folder.draw(file, arrays)
        folder.write_arrays(file.name, **arrays)
        rows[file.name] = summary_row(file, arrays)
        new += 1
        progress.update(len(rows) + len(rejected))
    folder.write_text("rejected.csv", _as_csv(rejected, ("image", "reason", "detail")))
    if not rows:
        first = f", such as {files[0].source} ({rejected[0]['reason']})" if rejected else ""
        raise DataError(f"`--images`: wanted pictures, got none that can be read: {len(files)} file(s){first}.")
    folder.write_text("summary.csv", _as_csv([rows[file.name] for file in files if file.name in rows]))
    _tell_doubts(folder.made, rows.values())
    earlier = f", {len(rows) - new} were there already" if len(rows) > new else ""
    progress.finish(f"{new} pictures{earlier}, {len(rejected)} rejected")


def _tell(rejected):
    last = rejected[-1]
    if len(rejected) <= _REJECTIONS_TOLD:
        sys.stderr.write(f"rejected {last['image']}: {last['reason']}: {last['detail']}\n")
    elif len(rejected) == _REJECTIONS_TOLD + 1:
        sys.stderr.write("more were rejected; rejected.csv will list them\n")


def _tell_doubts(made, rows):
    """Tell what the drawings do not show: faces not found, masks that are wide yet, values not finite."""
    lost = sum(made["crop"] == "face" and row["crop"] != "face" for row in rows)
    if lost:
        sys.stderr.write(f"No face was found in {lost} of {len(rows)} pictures: their central square was taken.\n")
    broken = sum(not row.get("finite", True) for row in rows)
    if broken:
        sys.stderr.write(f"Extremal Perturbation met values that are not finite in {broken} pictures.\n")
    for area in made["areas"]:
        reached = np.mean([row.get(f"area_{area:g}", 0) for row in rows])
        if reached > _WIDE * area:
            sys.stderr.write(
                f"Extremal Perturbation: masks cover {reached:.0%} of a picture on average where {area:.0%} was "
                "asked: not converged. More --iterations, or a smaller --ep_reward_scale, bring them nearer.\n"
            )


def summary_row(file: PictureFile, arrays: dict[str, np.ndarray]) -> dict:
    """Return a line of summary.csv: classes, the highest point of each map (input pixels), shares kept, files."""
    names, share, target = arrays["class_names"], _probabilities(arrays), int(arrays["target"])
    predicted = int(arrays["logits"].argmax())
    row = {
        "image": file.source,
        "predicted": str(names[predicted]),
        "probability": round(float(share[predicted]), 6),
        "target": str(names[target]),
        "target_probability": round(float(share[target]), 6),
        "crop": str(arrays["crop"]),
    }
    for method in OFFERED:
        if method in arrays:
            row[f"{method}_x"], row[f"{method}_y"] = _peak(arrays[method])
    for area, reached in zip(arrays.get("areas", ()), arrays.get("final_area", ()), strict=True):
        row[f"area_{area:g}"] = round(float(reached), 6)
    if "finite" in arrays:
        row["finite"] = bool(arrays["finite"])
    return row | {"png": f"{file.name}.png", "npz": f"{file.name}.npz"}


def _as_csv(rows, columns=None):
    return pd.DataFrame(rows, columns=columns).to_csv(index=False, lineterminator="\n")


def _probabilities(arrays):
    logits = np.asarray(arrays["logits"], np.float64)
    shifted = np.exp(logits - logits.max())
    return shifted / shifted.sum()


def _peak(heat):
    """Return column and row of the first highest value, or None twice where a map does not vary."""
    if not np.isfinite(heat).all() or np.ptp(heat) == 0:
        return None, None
    y, x = np.unravel_index(int(heat.argmax()), heat.shape)
    return int(x), int(y)


def _drawable(text):
    """Return text that a figure can show as it is."""
    shown = "".join(letter if ord(letter) in _DRAWN and letter.isprintable() else "?" for letter in text)
    return shown.replace("$", r"\$")


def _short(text, longest=_LONGEST_TITLE):
    return text if len(text) <= longest else f"…{text[1 - longest :]}"
