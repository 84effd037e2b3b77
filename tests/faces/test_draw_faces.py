import cv2
import pytest

from experiments import draw_faces
from fer_jax.faces import PRESETS


def test_the_sheet_has_a_row_for_each_person_and_a_column_for_each_expression(tmp_path, capsys):
    path = tmp_path / "sheets" / "faces.png"
    assert draw_faces.main(["draw_faces", f"--out={path}", "--image_size=48", "--identities=2", "--seed=3"]) == 0
    assert capsys.readouterr().out.strip() == str(path)
    sheet = cv2.imread(str(path))
    assert sheet.shape == (28 + 2 * 48, 8 * 48, 3)
    tiles = {sheet[28:76, 48 * column : 48 * (column + 1)].tobytes() for column in range(8)}
    assert len(tiles) == 8


@pytest.mark.parametrize("flag", ["--identities=0", "--image_size=8", "--out=x.gif", "--preset=odd", "--seed=-1"])
def test_bad_flags_end_with_one_line_and_exit_code_one(flag, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert draw_faces.main(["draw_faces", flag]) == 1
    assert flag.split("=")[0].strip("-").removeprefix("image_") in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_choices_are_the_presets():
    assert draw_faces.Config.__dataclass_fields__["preset"].metadata["choices"] == tuple(PRESETS)
