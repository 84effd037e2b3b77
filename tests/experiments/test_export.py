"""The card `experiments.export`: what it writes is the run's network, for other libraries and for our own cards."""

import json

import cv2
import jax
import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from experiments import explain, export
from experiments.config import StudyConfig, resolve
from experiments.harness import command
from experiments.study.run import Run
from experiments.study.train import starting_variables
from fer_jax import models
from fer_jax.expressions import EXPRESSIONS

from .jobs import RUN_PX


def _export(*arguments):
    argv = ["export", *map(str, arguments)]
    return command.run(export.main, export.ExportConfig, usage=export.__doc__, argv=argv)


def _equal(a, b):
    return jax.tree.all(jax.tree.map(lambda x, y: bool((x == y).all()), a, b))


@pytest.mark.parametrize(
    ("flags", "which", "names"),
    [
        (["--pair=sad-happy"], lambda members, multiclass: members[7], ["happy", "sad"]),
        (["--pair=happy-sad", "--finetuned"], lambda members, multiclass: members[20], ["happy", "sad"]),
        ([], lambda members, multiclass: multiclass, list(EXPRESSIONS)),
    ],
)
def test_a_file_is_the_network_and_says_what_it_is(run, tmp_path, capsys, flags, which, names):
    path, *networks = run
    file = tmp_path / "new" / "net.safetensors"
    assert _export(f"--run={path}", f"--out={file}", *flags) == 0
    assert capsys.readouterr().out.strip() == str(file)
    again = models.from_state_dict(load_file(file), models.TinyResNet(num_classes=len(names)))
    assert _equal(again, which(*networks))
    with safe_open(file, "numpy") as opened:
        said = json.loads(opened.metadata()["fer_jax"])
    assert (said["arch"], said["class_names"], said["image_size"]) == ("tiny", names, RUN_PX)
    before = file.read_bytes()
    assert _export(f"--run={path}", f"--out={file}", *flags) == 0
    assert file.read_bytes() == before


def test_every_member_goes_into_a_folder(run, tmp_path):
    path, members, _ = run
    assert _export(f"--run={path}", "--pair=all", f"--out={tmp_path / 'members'}") == 0
    files = {file.stem: file for file in (tmp_path / "members").iterdir()}
    assert sorted(files) == sorted(EXPRESSIONS.pair_name(pair) for pair in range(len(EXPRESSIONS.pairs)))
    for pair in (0, 27):
        again = models.from_state_dict(load_file(files[EXPRESSIONS.pair_name(pair)]), models.TinyResNet(num_classes=2))
        assert _equal(again, members[pair])


def test_explain_and_training_take_it_as_it_is(run, tmp_path):
    path, members, _ = run
    file, picture = tmp_path / "net.safetensors", tmp_path / "face.png"
    cv2.imwrite(str(picture), np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))
    assert _export(f"--run={path}", "--pair=happy-sad", f"--out={file}") == 0
    shared = (f"--images={picture}", "--methods=cam", "--target=sad")
    for name, source in (("run", (f"--run={path}", "--pair=happy-sad")), ("file", (f"--weights={file}",))):
        argv = ["explain", *source, *shared, f"--out={tmp_path / name}"]
        assert command.run(explain.main, explain.ExplainConfig, usage="", argv=argv) == 0
    one, other = (np.load(tmp_path / name / "face.npz") for name in ("run", "file"))
    assert list(other["class_names"]) == ["happy", "sad"] and other["picture"].shape == (RUN_PX, RUN_PX, 3)
    np.testing.assert_array_equal(one["cam"], other["cam"])
    assert set(pd.read_csv(tmp_path / "file" / "summary.csv")["target"]) == {"sad"}
    # As a start of training: its body, under a fresh head.
    config = resolve(StudyConfig(out="new", image_size=RUN_PX, init_from=str(file)))
    start = starting_variables(Run(config, None, None), models.TinyResNet(num_classes=2), "ensemble")(3)
    assert _equal(start["params"]["conv1"], members[7]["params"]["conv1"])
    assert not _equal(start["params"]["fc"], members[7]["params"]["fc"])


@pytest.mark.parametrize("said", ["{", "[]", '{"arch": "huge", "image_size": 3, "class_names": []}'])
def test_a_file_that_says_nonsense_of_itself_is_refused(run, tmp_path, said, capsys):
    file = tmp_path / "net.safetensors"
    save_file(models.to_state_dict(models.TinyResNet(num_classes=2), run[1][0]), file, metadata={"fer_jax": said})
    argv = ["explain", f"--weights={file}", "--images=x", f"--out={tmp_path / 'o'}"]
    assert command.run(explain.main, explain.ExplainConfig, usage="", argv=argv) == 2
    assert "what it says of its network cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--run="], "`--run`: wanted a run folder, such as --run=runs/first, got none"),
        (["--out=net.pth"], "`--out`: wanted a file that ends in .safetensors, got 'net.pth'"),
        (["--out="], "`--out`: wanted a file that ends in .safetensors, got ''"),
        (["--pair=all"], "`--out`: wanted a folder for a file a member, such as --out=members, got 'net.safetensors'"),
        (["--pair=happy-hapy"], "`--pair`: "),
        (["--finetuned"], "`--finetuned`: only members were fine-tuned; add --pair"),
        (["--run=gone"], "`--run`: wanted a run folder of experiments.reproduce, got gone"),
    ],
)
def test_a_wrong_flag_is_named_in_one_line(run, flags, said, capsys):
    assert _export(f"--run={run[0]}", "--out=net.safetensors", *flags) == 1
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
