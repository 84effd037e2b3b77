import csv
import dataclasses
import json

import cv2
import numpy as np
import pytest

from experiments import draw_faces, face_files
from experiments.harness import command
from fer_jax import data, faces
from fer_jax.expressions import EXPRESSIONS
from fer_jax.faces import sheets

BAND = sheets.BAND


def card(*flags):
    return command.run(draw_faces.main, draw_faces.Config, usage="usage", argv=["draw_faces", *flags])


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_sheet_has_a_row_for_each_person_and_a_column_for_each_expression(tmp_path, capsys):
    path = tmp_path / "sheets" / "faces.png"
    assert card(f"--out={path}", "--image_size=48", "--identities=2", "--seed=3") == 0
    assert capsys.readouterr().out.strip() == str(path)
    sheet = cv2.imread(str(path))
    assert sheet.shape == (2 * BAND + 2 * 48, 8 * 48, 3)
    tiles = {sheet[BAND : BAND + 48, 48 * column : 48 * (column + 1)].tobytes() for column in range(8)}
    assert len(tiles) == 8


@pytest.mark.parametrize("sheet", ["oracle", "masks", "naming"])
def test_other_sheets(sheet, tmp_path, capsys):
    path = tmp_path / "sheet.png"
    flags = [f"--sheet={sheet}", f"--out={path}", "--image_size=40", "--expressions=sad,anger"]
    assert card(*flags, *(["--identities=1"] if sheet == "naming" else [])) == 0
    written = capsys.readouterr().out.splitlines()
    scenes = sheets.cast(0, size=40, identities=1, expressions=("sad", "anger"))
    foot = "easy, nuisance 0.3, intensity 0.8..1, seed 0"
    if sheet == "naming":
        wanted, key = sheets.naming_sheet(scenes, foot=foot)
        assert written == [str(path), str(tmp_path / "sheet.csv")]
        rows = table(tmp_path / "sheet.csv")
        assert [(row["tile"], row["expression"], row["identity"]) for row in rows] == [
            (str(tile), EXPRESSIONS[each.expression], "0") for tile, each in enumerate(key, 1)
        ]
    else:
        wanted = {"oracle": sheets.oracle_sheet, "masks": sheets.mask_sheet}[sheet](scenes, foot=foot)
        assert written == [str(path)]
    np.testing.assert_array_equal(cv2.imread(str(path))[..., ::-1], wanted)


def test_each_flag_changes_one_thing_of_the_preset():
    base = faces.PRESETS["study"]
    changes = {
        "nuisance": 0.4,
        "label_noise": 0.1,
        "label_noise_kind": "affectnet",
        "blend": 0.2,
        "open_set": 0.3,
        "prior": "affectnet",
        "glasses": 0.0,
        "occluders": 0.5,
    }
    for name, value in changes.items():
        found = draw_faces.mixture(draw_faces.Config(faces="study", **{name: value}))
        assert found == dataclasses.replace(base, **{name: value}) != base
    assert draw_faces.mixture(draw_faces.Config(faces="study", intensity="0.2,0.9")).intensity == (0.2, 0.9)
    assert {*changes, "intensity"} == {field.name for field in dataclasses.fields(faces.Preset)}


def test_files_hold_the_pictures_and_all_that_is_known_of_them(tmp_path, capsys):
    folder = tmp_path / "set"
    mixture = ["--preset=hard", "--label_noise=0.5", "--occluders=0.4", "--intensity=0.5,1"]
    flags = [*mixture, f"--out={folder}", "--images=20", "--image_size=40", "--seed=4", "--split=train", "--regions"]
    assert card(*flags, "--workers=2") == 0
    assert capsys.readouterr().out.strip() == str(folder / "faces.csv")
    preset = faces.Preset(nuisance=1.0, intensity=(0.5, 1.0), label_noise=0.5, occluders=0.4)
    rows = table(folder / "faces.csv")
    assert len(rows) == 20 and len(list(folder.rglob("*.png"))) == 40
    read = data.read("class_folders", folder / "images", size=40).splits["train"]
    assert sorted(f"images/{name}" for name in read.names) == sorted(row["file"] for row in rows)
    for index, row in enumerate(rows):
        face = faces.render(faces.draw(4, "train", index, preset=preset, size=40))
        np.testing.assert_array_equal(cv2.imread(str(folder / row["file"]))[..., ::-1], face.image)
        regions = cv2.imread(str(folder / "regions" / f"{index:06d}.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(regions, faces.region_mask(face, 40))
        known = faces.face_row(face)
        assert list(row) == ["file", *known]
        for name, value in known.items():
            assert row[name] == value if isinstance(value, str) else float(row[name]) == pytest.approx(value, rel=1e-6)
    assert any(row["label"] != row["expression"] for row in rows)
    settings = json.loads((folder / "settings.json").read_text())
    assert settings["synthetic"] is True and settings["images"] == 20
    assert settings["preset"]["label_noise"] == 0.5 and settings["render_version"] == faces.RENDER_VERSION


def test_files_do_not_depend_on_the_number_of_workers_nor_on_how_many_are_asked(tmp_path):
    for name, images, workers in (("one", 40, 1), ("two", 40, 2), ("more", 44, 1)):
        assert card(f"--out={tmp_path / name}", f"--images={images}", f"--workers={workers}", "--image_size=32") == 0
    one, two = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path / "one", tmp_path / "two")
    )
    assert one == two
    pictures = [name for name in one if name.suffix == ".png"]
    assert len(pictures) == 40
    assert all((tmp_path / "more" / name).read_bytes() == one[name] for name in pictures)


def test_expressions_and_people_take_turns(tmp_path):
    flags = ["--images=10", "--image_size=32", "--expressions=contempt,happy", "--identities=2", "--workers=1"]
    assert card(*flags, f"--out={tmp_path / 'set'}") == 0
    rows = table(tmp_path / "set" / "faces.csv")
    assert [row["expression"] for row in rows] == ["happy", "contempt"] * 5
    assert [row["identity"] for row in rows] == list("0011001100")
    assert rows[0]["shape_jaw"] == rows[4]["shape_jaw"] != rows[2]["shape_jaw"]
    assert rows[0]["yaw"] != rows[4]["yaw"]


def test_a_stopped_folder_begins_anew_and_others_are_left_alone(tmp_path, monkeypatch, capsys):
    folder, flags = tmp_path / "set", ["--images=6", "--image_size=32", "--workers=1", f"--out={tmp_path / 'set'}"]
    original = face_files.FaceFiles.write

    def stopped(files, index):
        if index == 4:
            raise KeyboardInterrupt
        return original(files, index)

    monkeypatch.setattr(face_files.FaceFiles, "write", stopped)
    assert card(*flags) == 75
    assert not (folder / "faces.csv").exists()
    monkeypatch.undo()
    assert len(list(folder.rglob("*.png"))) == 4
    flags[0] = "--images=3"
    assert card(*flags) == 0
    assert len(table(folder / "faces.csv")) == len(list(folder.rglob("*.png"))) == 3
    assert not list(folder.glob("*.part"))
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert card(*flags) == 1
    assert "wanted a new or empty folder" in capsys.readouterr().err
    assert before == {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_two_processes_do_not_draw_into_one_folder(tmp_path, monkeypatch, capsys):
    flags = ["--images=3", "--image_size=32", "--workers=1", f"--out={tmp_path / 'set'}"]
    original, second = face_files.FaceFiles.write, []

    def meanwhile(files, index):
        if not second:
            second.append(None)
            second[0] = card(*flags)  # as another process would: a file opened anew has a lock of its own
        return original(files, index)

    monkeypatch.setattr(face_files.FaceFiles, "write", meanwhile)
    assert card(*flags) == 0
    assert second == [1] and "another process draws into" in capsys.readouterr().err
    assert len(table(tmp_path / "set" / "faces.csv")) == len(list((tmp_path / "set").rglob("*.png"))) == 3


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--identities=0"], "`--identities`: wanted a whole number from 1, got 0"),
        (["--image_size=8"], "`--image_size`: wanted at least 32 pixels, got 8"),
        (["--out=x.gif"], "`--out`: wanted a name that ends in .png, got x.gif"),
        (["--preset=odd"], "preset"),
        (["--seed=-1"], "`--seed`"),
        (["--nuisance=2"], "`--nuisance`: wanted a number in [0, 1.5], got 2.0"),
        (["--intensity=0.5"], "`--intensity`: wanted two numbers such as 0.2,0.8, got '0.5'"),
        (["--intensity=1,0.5"], "`--intensity`: wanted 0 <= low <= high <= 1.2"),
        (["--expressions=hapy"], "Did you mean `happy`?"),
        (["--sheet=oracle", "--expressions=sad"], "`--expressions`: wanted at least two"),
        (["--images=-1"], "`--images`: wanted 0 for a sheet"),
        (["--images=2", "--identities=0"], "`--identities`: wanted a whole number from 1, got 0"),
        (["--images=2", "--prior=affectnet", "--expressions=sad"], "`--expressions`: wanted none with"),
        (["--images=2", "--image_size=8"], "`--image_size`: wanted at least 32 pixels, got 8"),
        (["--images=2", "--workers=-1"], "`--workers`: wanted a number in [0, 1024], got -1"),
    ],
    ids=range(15),
)
def test_bad_flags_end_with_one_line_and_make_nothing(flags, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert card(*flags) == 1
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_choices_are_the_presets():
    assert draw_faces.Config.__dataclass_fields__["faces"].metadata["choices"] == tuple(faces.PRESETS)
