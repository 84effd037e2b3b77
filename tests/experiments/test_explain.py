"""The card `experiments.explain` on a run whose networks are fresh: files, numbers, repetition, stops and errors."""

import dataclasses
import functools
import json
import os
import re
import signal
import zipfile

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import safetensors.numpy

from experiments import explain, explain_options, explained_folder, networks, picture_files
from experiments.config import StudyConfig, resolve
from experiments.harness import command
from experiments.study.run_folder import RunFolder
from fer_jax import explanation, images, models, saliency

from .jobs import RUN_PX as SIZE

FAST = ("--methods=cam,grad_cam", "--chunk=2")


@pytest.fixture
def pictures(tmp_path):
    """Three pictures, one of them grey, two of one stem; a broken one and a text besides."""
    folder = tmp_path / "pictures"
    (folder / "sub").mkdir(parents=True)
    random = np.random.default_rng(5)
    _write(folder / "face.png", random.integers(0, 256, (40, 50, 3), np.uint8))
    _write(folder / "sub" / "face.jpg", random.integers(0, 256, (64, 48, 3), np.uint8))
    _write(folder / "grey $1$.png", random.integers(0, 256, (32, 32), np.uint8))
    (folder / "broken.png").write_bytes((folder / "face.png").read_bytes()[:400])
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture(autouse=True)
def _signals_as_before():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def _write(path, picture):
    path.write_bytes(cv2.imencode(path.suffix, picture)[1].tobytes())


def _explain(*arguments):
    return command.run(explain.main, explain.ExplainConfig, usage="usage", argv=["explain", *map(str, arguments)])


def _asked_to_stop():
    """Return an `update` that sends one signal: a second one would end the process at once."""
    signals = iter([signal.SIGTERM])
    return lambda self, done: [os.kill(os.getpid(), number) for number in signals]


def _times(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.suffix in (".png", ".npz")}


@jax.jit
def _directly(variables, picture, target):
    """The library called without the card: what the NPZ must hold."""
    model = models.TinyResNet(num_classes=2)
    image = images.normalise(images.to_float(picture))
    output = model.apply(variables, image[None])
    weights, bias = models.head_weights(variables)
    features = output.features[0]

    def score(view):
        return model.apply(variables, view[None]).logits[0, target]

    options = saliency.ExtremalOptions(area=0.1, iterations=3, step=2, sigma=3.0, max_blur=20 / 7)
    mask, _ = saliency.extremal_perturbation(score, image, options)
    heat = saliency.grad_cam(lambda f: f.mean((0, 1)) @ weights + bias, features, target)
    return {
        "logits": output.logits[0],
        "cam": saliency.resize(saliency.cam(features, weights, target), (SIZE, SIZE)),
        "grad_cam": saliency.resize(heat, (SIZE, SIZE)),
        "extremal_perturbation": mask,
    }


def test_a_folder_is_explained_as_the_library_would(run, pictures, tmp_path, capsys):
    path, members, _ = run
    out = tmp_path / "explained"
    command_line = (f"--run={path}", "--pair=sad-happy", f"--images={pictures}", f"--out={out}", "--chunk=2")
    assert _explain(*command_line) == 0
    printed = capsys.readouterr()
    assert printed.out.strip() == str(out)
    assert "rejected broken.png: decode_failed" in printed.err and "rejected notes.txt: not_image" in printed.err
    assert "masks cover" in printed.err and "not converged" in printed.err
    assert list(pd.read_csv(out / "rejected.csv")["image"]) == ["broken.png", "notes.txt"]
    summary = pd.read_csv(out / "summary.csv").set_index("image")
    assert list(summary.index) == ["face.png", "grey $1$.png", "sub/face.jpg"]
    assert list(summary["npz"]) == ["face.npz", "grey_1_.npz", "sub__face.npz"]
    for image, row in summary.iterrows():
        arrays = np.load(out / row["npz"])
        seen, _ = picture_files.to_input((pictures / image).read_bytes(), SIZE, crop="square")
        np.testing.assert_array_equal(arrays["picture"], seen)
        assert list(arrays["class_names"]) == ["happy", "sad"]
        target = int(arrays["logits"].argmax())
        assert int(arrays["target"]) == target and row["predicted"] == row["target"] == arrays["class_names"][target]
        for name, wanted in _directly(members[7], seen, target).items():
            np.testing.assert_allclose(arrays[name], wanted, atol=2e-4, err_msg=f"{image}: {name}")
        np.testing.assert_allclose(arrays["masks"].mean(), row["area_0.1"], atol=1e-6)
        assert arrays["cam"][row["cam_y"], row["cam_x"]] == arrays["cam"].max()
        share = np.exp(arrays["logits"]) / np.exp(arrays["logits"]).sum()
        np.testing.assert_allclose(row["probability"], share.max(), atol=1e-6)
        assert cv2.imread(str(out / row["png"])).shape[1] > 1000
    settings = json.loads((out / "settings.json").read_text())
    assert settings["made"]["network"]["pair"] == "happy-sad"
    assert (settings["made"]["ep_score"], settings["made"]["ep_reward_scale"]) == ("logit", 1.0)


def test_further_methods_are_the_librarys(run, pictures, tmp_path, monkeypatch):
    path, members, _ = run
    monkeypatch.setattr(saliency, "rise", functools.partial(saliency.rise, samples=5))
    out = tmp_path / "explained"
    further = [*explanation.ON_FEATURES, *explanation.ON_PICTURE]
    flags = (f"--methods={','.join(further)}", f"--images={pictures / 'face.png'}", "--pair=happy-sad", "--target=sad")
    assert _explain(f"--run={path}", f"--out={out}", *flags) == 0
    arrays = np.load(out / "face.npz")
    model, variables = models.TinyResNet(num_classes=2), members[7]
    image = images.normalise(images.to_float(arrays["picture"]))
    weights, bias = models.head_weights(variables)
    features = model.apply(variables, image[None]).features[0]

    def logits(view):
        return model.apply(variables, view[None]).logits[0]

    wanted = {
        name: saliency.resize(
            getattr(saliency, name)(lambda cells: cells.mean((0, 1)) @ weights + bias, features, 1), (SIZE, SIZE)
        )
        for name in explanation.ON_FEATURES
    }
    of_logit = functools.partial(saliency.class_score, target=1)
    wanted["input_x_gradient"] = saliency.input_x_gradient(lambda view: of_logit(logits(view)), image)
    wanted["integrated_gradients"] = saliency.integrated_gradients(lambda view: of_logit(logits(view)), image)
    wanted["rise"] = saliency.rise(jax.random.key(0), lambda view: jax.nn.softmax(logits(view))[1], image)
    for name, heat in wanted.items():
        top = float(jnp.abs(heat).max())
        np.testing.assert_allclose(arrays[name], heat, atol=1e-3 * top, err_msg=name)
    assert arrays["smooth_grad"].shape == (SIZE, SIZE) and (arrays["smooth_grad"] >= 0).all()
    summary = pd.read_csv(out / "summary.csv")
    assert all(f"{name}_x" in summary for name in further)


def test_the_same_command_goes_on_where_it_was_stopped(run, pictures, tmp_path, monkeypatch, capsys):
    out = tmp_path / "explained"
    command_line = (f"--run={run[0]}", "--pair=happy-sad", f"--images={pictures}", f"--out={out}", *FAST)
    with monkeypatch.context() as patch:
        patch.setattr(explained_folder.Progress, "update", _asked_to_stop())
        assert _explain(*command_line) == 75
    assert {path.name for path in out.glob("*.npz")} == {"face.npz", "grey_1_.npz"}
    assert not (out / "summary.csv").exists()
    before = _times(out)
    assert _explain(*command_line) == 0
    after = _times(out)
    assert {name: after[name] for name in before} == before and set(after) - set(before) == {
        "sub__face.npz",
        "sub__face.png",
    }
    whole = (out / "summary.csv").read_text()
    (out / "face.png").unlink()
    (out / "sub__face.npz").write_bytes(b"damaged")
    capsys.readouterr()
    assert _explain(*command_line) == 0
    assert "1 pictures, 2 were there already, 2 rejected" in capsys.readouterr().err
    assert (out / "summary.csv").read_text() == whole
    assert (out / "face.png").exists()
    _write(pictures / "face.png", np.full((40, 40, 3), 90, np.uint8))
    assert _explain(*command_line) == 0
    assert np.ptp(np.load(out / "face.npz")["picture"]) == 0
    assert _explain(*command_line, "--signed") == 1
    assert "made in another way (signed was False, is True)" in capsys.readouterr().err


def test_one_picture_several_areas_and_a_target(run, pictures, tmp_path):
    out = tmp_path / "explained"
    flags = ("--methods=extremal_perturbation", "--area=0.3,0.1", "--target=sadness", "--iterations=2", "--crop=none")
    image = pictures / "face.png"
    assert _explain(f"--run={run[0]}", "--pair=happy-sad", f"--images={image}", f"--out={out}", *flags) == 0
    arrays = np.load(out / "face.npz")
    assert "cam" not in arrays and int(arrays["target"]) == 1
    assert arrays["masks"].shape == (2, SIZE, SIZE) and list(arrays["areas"]) == [0.3, 0.1]
    np.testing.assert_allclose(arrays["extremal_perturbation"], arrays["masks"].sum(0), rtol=1e-6)
    row = pd.read_csv(out / "summary.csv").iloc[0]
    assert (row["target"], row["crop"]) == ("sad", "none") and {"area_0.3", "area_0.1"} <= set(row.index)


def test_pictures_whose_masks_converge_are_explained_as_alone_and_go_on(run, pictures, tmp_path, monkeypatch, capsys):
    out = tmp_path / "explained"
    flags = ("--stop=converged", "--iterations=250", "--areas=0.3", "--chunk=2", "--ep_reward_scale=0.01")
    command_line = (f"--run={run[0]}", "--pair=happy-sad", f"--images={pictures}", f"--out={out}", *flags)
    with monkeypatch.context() as patch:
        patch.setattr(explained_folder.Progress, "update", _asked_to_stop())
        assert _explain(*command_line) == 75
    before = _times(out)
    assert len(before) >= 2 and not (out / "summary.csv").exists()
    assert _explain(*command_line) == 0
    assert _times(out).items() >= before.items()
    settings = json.loads((out / "settings.json").read_text())["made"]
    assert (settings["stop"], settings["iterations"]) == ("converged", 250)
    options = saliency.ExtremalOptions(
        area=(0.3,), iterations=250, step=2, sigma=3.0, max_blur=20 / 7, stop="converged"
    )
    chosen = explanation.Settings(extremal=options, ep_reward_scale=0.01)
    batch = explanation.program(functools.partial(models.TinyResNet, num_classes=2), chosen)
    seen = [np.load(path) for path in sorted(out.glob("*.npz"))]
    wanted = batch(run[1][7], np.stack([arrays["picture"] for arrays in seen]), explanation.PREDICTED)
    assert min(wanted["iterations"]) < 250
    for place, arrays in enumerate(seen):
        for name, values in wanted.items():
            np.testing.assert_allclose(arrays[name], values[place], atol=2e-3, err_msg=name)


def test_a_network_that_computes_in_bfloat16_is_recorded_and_close(run, pictures, tmp_path, capsys):
    outs = [tmp_path / name for name in ("float32", "bfloat16")]
    for out in outs:
        flags = (f"--run={run[0]}", "--pair=happy-sad", f"--images={pictures / 'face.png'}", f"--out={out}", *FAST)
        assert _explain(*flags, f"--compute_dtype={out.name}") == 0
    whole, half = (np.load(out / "face.npz") for out in outs)
    assert 0 < abs(whole["logits"] - half["logits"]).max() < 0.05
    assert json.loads((outs[1] / "settings.json").read_text())["made"]["network"]["compute_dtype"] == "bfloat16"


def test_the_multiclass_network_and_signed_grad_cam(run, pictures, tmp_path):
    path, _, multiclass = run
    out = tmp_path / "explained"
    assert _explain(f"--run={path}", f"--images={pictures}", f"--out={out}", "--signed", *FAST) == 0
    for file in sorted(out.glob("*.npz")):
        arrays = np.load(file)
        image = images.normalise(images.to_float(arrays["picture"]))
        output = models.TinyResNet(num_classes=8).apply(multiclass, image[None])
        np.testing.assert_allclose(arrays["logits"], output.logits[0], atol=1e-5)
        cells = output.features.shape[1] * output.features.shape[2]
        np.testing.assert_allclose(arrays["grad_cam"] * cells, arrays["cam"], atol=1e-4)
        assert arrays["logits"].argmax() == arrays["target"]


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (["--images="], 1, "`--images`: wanted a path"),
        (["--run="], 1, "`--run`: wanted either --run=RUN or --weights=FILE.safetensors, got neither"),
        (["--weights=w.safetensors"], 1, "got both"),
        (["--class_names=a,b"], 1, "`--class_names`: goes with --weights only"),
        (["--run=", "--pair=", "--weights=gone.safetensors"], 1, "wanted a safetensors file, got gone.safetensors"),
        (["--run=nowhere"], 1, "wanted a run folder of experiments.reproduce, got nowhere"),
        (["--pair=happy"], 1, "`--pair`: wanted two categories with a hyphen"),
        (["--pair=happy-sda"], 1, "got 'sda'. Did you mean `sad`?"),
        (["--pair=happy-joy"], 1, "`--pair`: wanted two different categories"),
        (["--target=fear"], 1, "`--target`: wanted one of happy, sad (or a number in 0..1), got 'fear'"),
        (["--target=2"], 1, "got '2'"),
        (["--area=0.1,1"], 1, "`--area`: wanted different shares strictly between 0 and 1"),
        (["--area=x"], 1, "got 'x'"),
        (["--methods=cam,gradcam"], 1, "got 'gradcam'. Did you mean `grad_cam`?"),
        (["--chunk=0"], 1, "`--chunk`: wanted a number in [1, 4096], got 0"),
        (["--images=nowhere"], 2, "`--images`: wanted a picture or a folder of pictures, got nowhere"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(run, pictures, tmp_path, capsys, flags, code, words):
    rest = (f"--run={run[0]}", "--pair=happy-sad", f"--images={pictures}", f"--out={tmp_path / 'o'}", *FAST)
    assert _explain(*rest, *flags) == code
    printed = capsys.readouterr().err.strip()
    assert words in printed and printed.startswith("error: ") and len(printed.splitlines()) == 1
    assert not (tmp_path / "o").exists()


def test_folders_of_others_and_folders_without_pictures(run, pictures, tmp_path, capsys):
    rest = (f"--run={run[0]}", "--pair=happy-sad", *FAST)
    assert _explain(*rest, f"--images={pictures}", f"--out={pictures}") == 1
    assert "holds no explanations (broken.png)" in capsys.readouterr().err
    assert not (pictures / "LOCK").exists()
    assert _explain(*rest, f"--images={pictures / 'notes.txt'}", f"--out={tmp_path / 'o'}") == 2
    assert "1 file(s), such as notes.txt (not_image)" in capsys.readouterr().err
    # Results inside the folder of pictures are not pictures to explain.
    for _ in range(2):
        assert _explain(*rest, f"--images={pictures}", f"--out={pictures / 'explained'}") == 0
    assert len(pd.read_csv(pictures / "explained" / "summary.csv")) == 3


def test_a_run_that_is_not_finished_says_how_to_finish_it(tmp_path, capsys):
    config = resolve(StudyConfig(out=str(tmp_path / "run")))
    RunFolder(config).close()
    flags = (f"--run={config.out}", "--images=x", f"--out={tmp_path / 'o'}")
    assert _explain(*flags, "--pair=happy-sad") == 1
    assert "has no members yet (stage members); finish it: python -m experiments.repr" in capsys.readouterr().err
    assert _explain(*flags) == 1
    assert "has no multiclass network yet" in capsys.readouterr().err
    (tmp_path / "run" / "run.json").write_text('{"config": 3}')
    assert _explain(*flags) == 3


def _as_torch_names_them(variables):
    """Flax variables of a ResNet -> the arrays of a torchvision state dict."""
    arrays = {}
    leaves = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
    for path, leaf in jax.tree_util.tree_flatten_with_path(variables)[0]:
        *modules, last = (part.key for part in path[1:])
        name = ".".join(modules).replace("downsample_conv", "downsample.0").replace("downsample_bn", "downsample.1")
        name = re.sub(r"layer(\d+)_(\d+)", r"layer\1.\2", name)
        turned = np.transpose(leaf, {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[leaf.ndim])
        arrays[f"{name}.{leaves[last]}"] = np.ascontiguousarray(turned)
    return arrays


def test_weights_of_ones_own_are_explained(run, pictures, tmp_path, capsys):
    _, _, multiclass = run
    weights = tmp_path / "own.safetensors"
    safetensors.numpy.save_file(_as_torch_names_them(multiclass), weights)
    rest = (f"--weights={weights}", "--arch=tiny", f"--image_size={SIZE}", f"--images={pictures}", *FAST)
    assert _explain(*rest, f"--out={tmp_path / 'a'}", "--target=happy") == 1
    assert "give --class_names as well" in capsys.readouterr().err
    assert _explain(*rest, f"--out={tmp_path / 'a'}", "--target=happy", "--class_names=happy,sad") == 1
    assert "`--class_names`: wanted 8 different names" in capsys.readouterr().err
    assert _explain(*rest, f"--out={tmp_path / 'a'}", "--target=3") == 0
    assert set(pd.read_csv(tmp_path / "a" / "summary.csv")["target"]) == {"class 3"}
    named = ("--class_names=a,b,c,joy of life,e,f,g,h", "--target=joy of life")
    assert _explain(*rest, f"--out={tmp_path / 'b'}", *named) == 0
    assert set(pd.read_csv(tmp_path / "b" / "summary.csv")["target"]) == {"joy of life"}
    arrays = np.load(tmp_path / "a" / "face.npz")
    image = images.normalise(images.to_float(arrays["picture"]))
    logits = models.TinyResNet(num_classes=8).apply(multiclass, image[None]).logits[0]
    np.testing.assert_allclose(arrays["logits"], logits, atol=1e-5)
    np.testing.assert_array_equal(arrays["cam"], np.load(tmp_path / "b" / "face.npz")["cam"])


def test_names_are_one_component_and_never_clash():
    files = [
        "a.png", "a.jpg", "A.bmp", "b/c.png", "b__c.png", "b c.png", "..x.png", "-.png", "$/$.png", "\u00e9.png",
        "e\u0301.png", "\udcff.png", "x" * 250 + ".png", "x" * 250 + ".jpg", "d-0123456789ab.png", "d.png",
        "happy 1.png",
    ]  # fmt: skip
    names = picture_files.output_names(files)
    assert len({name.casefold() for name in names.values()}) == len(files) == len(names)
    for name in names.values():
        assert name not in ("", ".", "..") and not {"/", "\\", "\0"} & set(name)
        assert len(f".{name}.npz.unfinished".encode()) < 255
    assert (names["d.png"], names["happy 1.png"]) == ("d", "happy_1")
    assert picture_files.output_names(files[::-1]) == names


def test_a_zip_holds_pictures_too(pictures, tmp_path):
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        for file in ("face.png", "sub/face.jpg"):
            archive.write(pictures / file, file)
    with picture_files.open_pictures(str(tmp_path / "pictures.zip"), leave_out="explained") as files:
        assert [(file.source, file.name) for file in files] == [("face.png", "face"), ("sub/face.jpg", "sub__face")]
        assert files[1].read() == (pictures / "sub" / "face.jpg").read_bytes()


def test_a_face_is_cut_out_with_a_margin_and_a_lost_one_keeps_its_picture():
    picture = np.zeros((60, 80, 3), np.uint8)
    picture[20:36, 50:66] = 255
    data = cv2.imencode(".png", picture)[1].tobytes()
    cut, crop = picture_files.to_input(data, 20, crop="face", detector=lambda image: np.array([[50, 20, 16, 16]]))
    assert crop == "face"
    np.testing.assert_array_equal(cut[2:18, 2:18], 255)
    assert cut[:2].max() == cut[:, 18:].max() == 0
    whole, crop = picture_files.to_input(data, 20, crop="face", detector=lambda image: np.zeros((0, 4)))
    assert crop == "square" and whole.shape == (20, 20, 3)


def test_faces_that_were_not_found_are_counted(run, pictures, tmp_path, monkeypatch, capsys):
    boxes = iter([np.array([[5, 5, 20, 20]]), np.zeros((0, 4)), np.zeros((0, 4))])
    monkeypatch.setattr("fer_jax.data.face_detector", lambda name: lambda picture: next(boxes))
    out = tmp_path / "explained"
    flags = ("--pair=happy-sad", "--crop=face", "--detector=lbp", *FAST)
    assert _explain(f"--run={run[0]}", f"--images={pictures}", f"--out={out}", *flags) == 0
    assert "No face was found in 2 of 3 pictures" in capsys.readouterr().err
    assert list(pd.read_csv(out / "summary.csv")["crop"]) == ["face", "square", "square"]


def test_networks_that_saw_faces_cut_out_are_told_of(run, pictures, tmp_path, monkeypatch, capsys):
    from_run = networks.from_run
    monkeypatch.setattr(
        networks, "from_run", lambda *args, **options: dataclasses.replace(from_run(*args, **options), crop="eyes")
    )
    flags = (f"--run={run[0]}", f"--images={pictures}", "--pair=happy-sad", *FAST)
    assert _explain(*flags, f"--out={tmp_path / 'square'}") == 0
    assert "trained on faces cut out of their photographs (--crop=eyes)" in capsys.readouterr().err
    monkeypatch.setattr("fer_jax.data.face_detector", lambda name: lambda picture: np.array([[0, 0, 20, 20]]))
    assert _explain(*flags, f"--out={tmp_path / 'face'}", "--crop=face", "--detector=lbp") == 0
    assert "cut out of their photographs" not in capsys.readouterr().err


def test_a_missing_face_detector_is_named(run, pictures, monkeypatch, tmp_path, capsys):
    monkeypatch.delattr(cv2, "CascadeClassifier", raising=False)
    (tmp_path / "model.onnx").write_bytes(b"no model")
    for detector, told in (
        ("haar", "`--detector`: OpenCV "),
        (f"yunet={tmp_path / 'model.onnx'}", "cannot read"),
        ("yunet=gone.onnx", "wanted a YuNet ONNX file, got gone.onnx, which is not there"),
    ):
        flags = (f"--images={pictures}", f"--out={tmp_path / 'out'}", "--pair=happy-sad", "--crop=face")
        assert _explain(f"--run={run[0]}", f"--detector={detector}", *flags) == 1
        assert told in capsys.readouterr().err


def test_flags_offer_what_the_library_knows():
    choices = {field.name: field.metadata["choices"] for field in dataclasses.fields(explain.ExplainConfig)}
    assert choices["score"] == saliency.SCORES and choices["variant"] == saliency.VARIANTS
    assert choices["perturbation"] == saliency.PERTURBATIONS and choices["ep_stop"] == saliency.STOPS
    assert set(choices["arch"]) == set(models.MODELS) and choices["crop"] == ("none", "square", "box")
    assert explain.ExplainConfig().methods == ",".join(explanation.METHODS)
    offered = explain_options.METHODS.split(",") + explain_options.FURTHER.split(",")
    assert offered == list(explanation.OFFERED) and all(hasattr(saliency, method) for method in offered)
