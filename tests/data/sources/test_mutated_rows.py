"""A thousand rows of each kind of list, each spoilt in its own way: all are rows, or rejections that name a place."""

import random
import re

import pytest

from fer_jax import data
from fer_jax.data.read import open_source
from fer_jax.errors import DataError
from tests.data import affectnet_copies as copies
from tests.data import miniature
from tests.data.sources.test_other_sets import write_rafdb

ROWS = 1000
JUNK = ("", "NULL", "-1", "nan", "1e400", "٣", "=1+1", '"', ";;;", "x" * 300, "\t", "\\", "%00", "../..", "1_0", "0x1F")


def spoilt(line: str, seed: int) -> str:
    """A line with a few characters or cells changed, never a line break."""
    rng = random.Random(seed)
    for _ in range(rng.randint(1, 3)):
        kind = rng.randrange(5)
        if kind == 0 and line:  # a cell replaced
            cells = line.split(",")
            cells[rng.randrange(len(cells))] = rng.choice(JUNK)
            line = ",".join(cells)
        elif kind == 1 and line:  # characters lost
            at = rng.randrange(len(line))
            line = line[:at] + line[at + rng.randint(1, 20) :]
        elif kind == 2:  # characters won
            at = rng.randrange(len(line) + 1)
            line = line[:at] + rng.choice(JUNK) + line[at:]
        elif kind == 3:  # a cell too many, or too few
            line = line + "," + rng.choice(JUNK) if rng.random() < 0.5 else line.rpartition(",")[0]
        elif line:  # one character changed
            at = rng.randrange(len(line))
            line = line[:at] + chr(rng.randrange(32, 0x2FF)) + line[at + 1 :]
    return line if line.strip() else "x"  # a blank line is no row


def affectnet(root):
    copies.write_original(root)
    path = root / "Manually_Annotated_file_lists" / "training.csv"
    return "affectnet", path, path.read_text(encoding="utf-8").splitlines()[:12], 1


def ferplus(root):
    miniature.write_folder(root, miniature.rows())
    path = root / "FER2013Train" / "label.csv"
    return "ferplus", path, path.read_text(encoding="utf-8").splitlines(), 0


def rafdb(root):
    write_rafdb(root)
    path = root / "EmoLabel" / "list_patition_label.txt"
    return "rafdb", path, path.read_text(encoding="utf-8").splitlines(), 0


def expw(root):
    copies.write_picture(root / "image" / "origin" / "a.jpg", copies.picture(0))
    path = root / "label" / "label.lst"
    path.parent.mkdir()
    return "expw", path, [f"a.jpg {face} 1 2 30 40 60.0 {face % 7}" for face in range(8)], 0


@pytest.mark.parametrize("write", [affectnet, ferplus, rafdb, expw])
def test_a_thousand_spoilt_rows(write, tmp_path):
    dataset, path, lines, header = write(tmp_path)
    whole = lines[header:]
    rows = [spoilt(whole[number % len(whole)], number) for number in range(ROWS)]
    path.write_text("\n".join([*lines, *rows]) + "\n", encoding="utf-8")
    name, told = path.relative_to(tmp_path).as_posix(), 0
    place = re.compile(rf"{re.escape(name)}:\d+:[^:]+: ")
    with open_source(dataset, tmp_path) as listing:
        found = [row for split in listing.splits.values() for row in split()]
        for row in found:
            if isinstance(row, data.Rejection):
                if row.reason in ("label_unknown", "bad_box"):
                    told += 1
                    assert place.match(row.detail), row
            else:
                assert all(place.match(note) for note in row.notes), row.notes
                try:
                    row.load()
                except data.ImageRejected as error:
                    assert error.reason in data.REASONS
    listed = [row for row in found if row.row >= 0]
    assert len(listed) >= ROWS + len(whole)  # one a line, none lost
    assert told > ROWS / 20


def test_a_study_list_with_spoilt_rows(tmp_path):
    from tests.datasets.sets import build
    from tests.datasets.test_photographs import write_study_set

    root = write_study_set(tmp_path / "copy")
    lines = ["image,true_label,false_label", *(f"v{label}_0.png,neutral,happy" for label in range(8))]
    for seed in range(40):
        (tmp_path / "images.csv").write_text(
            "\n".join([lines[0], *(spoilt(line, 100 * seed + at) for at, line in enumerate(lines[1:]))]),
            encoding="utf-8",
        )
        with pytest.raises(DataError) as caught:
            build("class_folders", root, tmp_path / "tfds", stimuli=str(tmp_path / "images.csv"))
        assert "\n" not in str(caught.value)
