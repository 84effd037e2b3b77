"""Small FER+ copies in its three layouts, written by the tests."""

import csv
import pathlib
import zipfile

import cv2
import numpy as np

FOLDERS = {"Training": "FER2013Train", "PublicTest": "FER2013Valid", "PrivateTest": "FER2013Test"}
HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"

# One row for each way a vote can end; the order of columns is FER+'s.
VOTES = (
    (10, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    (0, 6, 1, 1, 1, 1, 0, 0, 0, 0),
    (0, 0, 5, 5, 0, 0, 0, 0, 0, 0),  # a tie
    (1, 0, 0, 4, 3, 2, 0, 0, 0, 0),  # a plurality, no majority of the nine that count
    (0, 0, 0, 0, 9, 1, 0, 0, 0, 0),
    (0, 0, 0, 0, 0, 7, 0, 0, 3, 0),
    (0, 0, 0, 0, 0, 0, 8, 2, 0, 0),
    (0, 0, 0, 0, 0, 0, 1, 9, 0, 0),
    (1, 1, 0, 0, 0, 0, 0, 0, 8, 0),  # unknown
    (0, 0, 0, 0, 0, 0, 0, 0, 0, 10),  # not a face
)


def rows(seed: int = 0) -> list[tuple[str, str, tuple, np.ndarray]]:
    """(usage, name, votes, grey picture) of 30 rows, ten in each split."""
    rng = np.random.default_rng(seed)
    found = []
    for number, usage in enumerate(usage for usage in FOLDERS for _ in VOTES):
        votes = VOTES[number % len(VOTES)]
        found.append((usage, f"fer{number:07d}.png", votes, rng.integers(0, 256, (48, 48), np.uint8)))
    return found


def png(grey: np.ndarray) -> bytes:
    return cv2.imencode(".png", grey)[1].tobytes()


def write_folder(root: pathlib.Path, found, *, box: bool = True) -> pathlib.Path:
    """The layout that FER+'s own tool writes."""
    for usage, name, votes, grey in found:
        folder = root / FOLDERS[usage]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png(grey))
        with (folder / "label.csv").open("a", newline="") as stream:
            csv.writer(stream).writerow([name, *(["(0, 0, 48, 48)"] if box else []), *votes])
    return root


def write_zip(path: pathlib.Path, folder: pathlib.Path, *, prefix: str = "data/") -> pathlib.Path:
    """A folder as a zip, perhaps below another folder."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, prefix + file.relative_to(folder).as_posix())
    return path


def write_csv_pair(root: pathlib.Path, found) -> pathlib.Path:
    """fer2013.csv and fer2013new.csv, the rows in one order."""
    root.mkdir(parents=True, exist_ok=True)
    pixels, votes = ["emotion,pixels,Usage"], [HEADER]
    for usage, name, counts, grey in found:
        pixels.append(f"0,{' '.join(map(str, grey.ravel()))},{usage}")
        votes.append(",".join([usage, name, *map(str, counts)]))
    (root / "fer2013.csv").write_text("\n".join(pixels) + "\n")
    (root / "fer2013new.csv").write_text("\n".join(votes) + "\n")
    return root
