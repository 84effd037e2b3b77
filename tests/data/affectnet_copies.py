"""Small AffectNet copies in every layout, written by the tests."""

import csv
import pathlib

import cv2
import numpy as np

from fer_jax.expressions import EXPRESSIONS

HEADER = (
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
    "valence",
    "arousal",
)
SIDE = 64
FACE = (20, 16, 32, 36)  # x, y, width, height


def picture(seed: int) -> np.ndarray:
    """Smooth colours, unlike any other's, unlike their own mirror image."""
    rng = np.random.default_rng(seed)
    return cv2.resize(rng.integers(0, 256, (5, 6, 3), np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)


def landmarks() -> np.ndarray:
    """68 points; the eyes level, in the face's box."""
    points = np.tile(np.array([[30.0, 30.0]]), (68, 1)) + np.arange(68)[:, None] * 0.1
    eye = np.array([(-2, 0), (-1, -1), (1, -1), (2, 0), (1, 1), (-1, 1)])
    points[36:42], points[42:48] = eye + np.array((28, 28)), eye + np.array((44, 28))
    return points


def line(name: str, label: int, *, box=FACE, points=None, valence="0.5", arousal="0.1") -> list[str]:
    points = landmarks() if points is None else points
    return [name, *map(str, box), ";".join(f"{value:.2f}" for value in points.ravel()), str(label), valence, arousal]


def write_csv(path: pathlib.Path, rows, *, header=HEADER) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(rows)


def write_picture(path: pathlib.Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", image[..., ::-1])[1].tobytes())


def write_original(root: pathlib.Path, *, each: int = 1, split_rows=None, lists="Manually_Annotated_file_lists"):
    """Layout A: two lists, pictures in numbered folders; `split_rows` adds lines to a list."""
    images = root / "Manually_Annotated_Images"
    for offset, name in ((0, "training.csv"), (100, "validation.csv")):
        rows = []
        for label in range(11):
            for number in range(each):
                file = f"{label + 1}/{offset + 11 * number + label:04x}.jpg"
                write_picture(images / file, picture(offset + 11 * number + label))
                affect = ("-2", "-2") if label > 8 else ("0.5", "0.1")
                rows.append(line(file, label, valence=affect[0], arousal=affect[1]))
        write_csv(root / lists / name, rows + list((split_rows or {}).get(name, [])))
    return root


def write_arrays(root: pathlib.Path, *, validation="val_set") -> pathlib.Path:
    """Layout B: one `.npy` an annotation, of several dtypes."""
    for offset, name in ((0, "train_set"), (100, validation)):
        (root / name / "annotations").mkdir(parents=True)
        for label in range(8):
            stem = root / name / "annotations" / str(label)
            write_picture(root / name / "images" / f"{label}.jpg", picture(offset + label))
            np.save(f"{stem}_exp.npy", np.array(label if label % 2 else str(label)))
            np.save(f"{stem}_val.npy", np.array("0.5"))
            np.save(f"{stem}_aro.npy", np.float32(0.1))
            np.save(f"{stem}_lnd.npy", landmarks().reshape(-1))
    return root


def write_folders(root: pathlib.Path, *, names=False) -> pathlib.Path:
    """Layout C: numbers or names."""
    for offset, split in ((0, "train"), (100, "val")):
        for label, name in enumerate(EXPRESSIONS):
            folder = name.upper() if names else str(label)
            write_picture(root / split / folder / f"{label}.jpg", picture(offset + label))
    return root


def write_named(root: pathlib.Path) -> pathlib.Path:
    """Layout D: labels in the names."""
    for offset, split in ((0, "train"), (100, "val")):
        for label in range(8):
            write_picture(root / split / f"{label:07d}s{label}s500s100.jpg", picture(offset + label))
    return root


def write_relabelled(root: pathlib.Path) -> pathlib.Path:
    """Layout E: class folders and a list of a model's labels, one of which differs from its folder."""
    rows = []
    for label, name in enumerate(EXPRESSIONS):
        write_picture(root / name / f"image{label:07d}.png", picture(label))
        rows.append([label, f"{name}/image{label:07d}.png", "happy" if name == "contempt" else name, 0.9])
    write_csv(root / "labels.csv", rows, header=("", "pth", "label", "relFCs"))
    return root
