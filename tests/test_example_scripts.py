"""Each script of `examples` runs from the project's folder and prints what a reader is promised."""

import pathlib
import re
import runpy

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))
PRINTED = {
    "dice": r"mean Dice 0\.\d{3}.*\[1\.0, 1\.0, 1\.0\]",
    "drawn_faces": r"shows happy.*against neutral *: mouth .*nothing differs from itself: 0",
    "explain_any_function": r"extremal perturbation: [6-9]\d% of the mask.*Grad-CAM: highest at cell \([12], [45]\)",
    "vote": r"image 0: (genuine|posed|unsure), with [12] of 2 votes.*image 3: ",
}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_an_example_runs_and_prints_its_numbers(script, capsys):
    runpy.run_path(str(script), run_name="__main__")
    assert re.search(PRINTED[script.stem], capsys.readouterr().out, re.DOTALL)


def test_every_example_is_short_and_known():
    assert {script.stem for script in SCRIPTS} == set(PRINTED)
    assert all(len(script.read_text(encoding="utf-8").splitlines()) < 40 for script in SCRIPTS)
