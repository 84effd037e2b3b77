"""The whole study, tiny, through the command line: its report and contract, and kills in the middle."""

import dataclasses
import fnmatch
import html
import html.parser
import json
import shutil
import subprocess
import sys
import time

import jax
import numpy as np
import pandas as pd
import pytest

from experiments import compare_attention, draw_figures, reproduce
from experiments.config import StudyConfig, resolve
from experiments.harness import command
from experiments.study import codebook, flag_sentences, stages, template
from experiments.study.run_folder import FinishedFiles
from experiments.study.stage_records import StageRecords
from experiments.study.stage_table import FREE, STAGES, TABLE
from experiments.study.vote import named_by_members, near_chance
from fer_jax import human
from fer_jax.expressions import EXPRESSIONS

from .jobs import environment
from .watched import Watch

TINY = (
    "--image_size=32", "--train_per_expression=12", "--validation_per_expression=12", "--per_ordered_pair=1",
    "--batch_size=8", "--max_images=48", "--multiclass_epochs=1", "--ep_iterations=3", "--finetune_images=16",
    "--participants=6",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def quick_figures():
    """None here: these are the figures that users get."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("study") / "run"
    watched = {name: Watch.around(name, work) for name, work in stages.WORK.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "WORK", watched)
        code = command.run(reproduce.main, StudyConfig, usage="", argv=["reproduce", f"--out={out}", *TINY])
    assert code == 0
    return out


def _owner(path):
    """The stage that leaves a file of the run folder, and whether it does so while it is under way."""
    for name, entry in TABLE.items():
        for pattern in (*entry.leaves, *entry.parts):
            folder = pattern.rstrip("/").removesuffix("/**/*")
            if fnmatch.fnmatch(path, pattern) or path.startswith(f"{folder}/"):
                return name
    return None


def test_stages_read_the_flags_and_files_that_their_table_names_and_no_others(finished):
    seen = {name: {flag for stage, flag in Watch.flags if stage == name} for name in STAGES}
    for name, flags in seen.items():
        unnamed = flags - set(TABLE[name].reads) - set(TABLE[name].at_first) - set(FREE)
        assert not unnamed, f"{name} reads {unnamed}"
    read = {(stage, path) for stage, path in Watch.files if path.startswith(f"{finished}/")}
    assert len({stage for stage, _ in read}) == len(STAGES)  # the first reads the record that it wrote
    for stage, path in read:
        file = path.removeprefix(f"{finished}/")
        if file.startswith(("stages/", "run.json", "metrics", "tensorboard", ".")):
            continue
        owner = _owner(file)
        assert owner, f"{stage} reads {file}, which no stage leaves"
        assert owner in (stage, *TABLE[stage].needs), f"{stage} reads {file} of {owner}"


def test_attention_under_every_choice_takes_the_run_s_own_maps(finished, tmp_path, capsys):
    argv = [
        "compare_attention",
        f"--run={finished}",
        f"--out={tmp_path / 'out'}",
        "--each_area=0.1",
        "--each_target=true",
    ]
    assert command.run(compare_attention.main, compare_attention.CompareAttentionConfig, usage="", argv=argv) == 0
    told = capsys.readouterr()
    assert "explaining" not in told.err
    table = pd.read_csv(tmp_path / "out" / "multiverse.csv", keep_default_na=False).drop(columns="area")
    wanted = pd.read_csv(finished / "tables" / "multiverse.csv", keep_default_na=False)
    pd.testing.assert_frame_equal(table[wanted.columns], wanted)
    page = (tmp_path / "out" / "report.html").read_text()
    assert told.out.splitlines()[0][:60] in page
    assert "The people are programs." in page


def test_checkpoints_of_finished_training_are_gone(finished):
    assert not [path for path in (finished / "training").rglob("*") if path.is_file()]


def test_every_file_is_some_stage_s(finished):
    ours = ("stages/", "tensorboard/", "tables/codebook.csv", "run.json", "flags.txt", "metrics", "LOCK")
    files = (str(path.relative_to(finished)) for path in finished.rglob("*") if path.is_file())
    assert not [file for file in files if not file.startswith(ours) and not _owner(file)]


def test_the_codebook_has_a_meaning_for_every_column_of_every_table(finished):
    book = pd.read_csv(finished / "tables" / "codebook.csv", keep_default_na=False)
    assert book["meaning"].str.len().min() > 4
    tables = {path.stem for path in (finished / "tables").glob("*.csv")} - {"codebook"}
    assert set(book["table"]) == tables == set(codebook.TABLES) - {"study_images_given"}  # which a prepared set brings
    for name in tables:
        columns = list(pd.read_csv(finished / "tables" / f"{name}.csv", nrows=0).columns)
        assert list(book.loc[book["table"] == name, "column"]) == columns
    # Nor is anything described that no table has.
    functions = {function for functions in codebook.TABLES.values() for function in functions}
    described = {column for function in functions for column in codebook.described(function)}
    assert described == set(book["column"])


def test_pairs_are_named_in_every_table(finished):
    names = {EXPRESSIONS.pair_name(pair) for pair in range(EXPRESSIONS.num_pairs)}
    assert set(pd.read_csv(finished / "tables" / "dice.csv")["unit"]) == names
    assert set(pd.read_csv(finished / "tables" / "members_validated.csv")["pair"]) == names


def test_the_report_names_the_best_baseline_and_the_members_near_chance(finished):
    page = (finished / "report.html").read_text()
    best = pd.read_csv(finished / "tables" / "dice_baselines.csv").sort_values("dice").iloc[-1]
    named = {"other pairs": "people's map of the other pairs", "uniform": "a map that covers everything"}
    assert html.escape(f"the best baseline, {named[best['baseline']]}: {best['dice']:.2f}".replace("0.", ".")) in page
    found = np.load(finished / "predictions.npz")
    right, images = named_by_members(found["ensemble_logits"], found["labels"], EXPRESSIONS.pairs)
    weak = [near_chance(*each) for each in zip(right, images, strict=True)]
    assert any(weak)  # two epochs do not train a network
    assert f"{sum(weak)} of 28 members are not shown to be better than guessing" in page
    row = weak.index(True)
    share = 100 * np.mean(right[row] / images[row])
    assert f"{EXPRESSIONS.pair_name(row)} ({share:.1f} % of {images[row][0]} and {images[row][1]})" in page


@pytest.mark.parametrize(
    ("right", "images", "wanted"),
    [
        ((23, 23), (44, 44), True),
        ((30, 30), (44, 44), False),
        ((0, 0), (0, 0), True),
        ((0, 9), (10, 10), True),
        ((1000, 0), (1000, 12), True),  # 99 % right, by calling everything by one label
        ((700, 12), (1000, 12), False),
    ],
)
def test_near_chance_is_where_the_interval_of_balanced_accuracy_does_not_lie_above_half(right, images, wanted):
    assert near_chance(np.asarray(right), np.asarray(images)) is wanted


def test_a_members_pictures_are_those_of_its_labels_that_it_has_an_answer_for():
    logits = np.array([[[1, 0], [0, 1], [0, 1], [1, 0], [np.nan, 1]]])
    right, images = named_by_members(logits, np.array([2, 2, 5, 3, 5]), [(2, 5)])
    assert right.tolist() == [[1, 1]] and images.tolist() == [[2, 1]]


@pytest.mark.parametrize(
    ("changes", "stages"),
    [
        ({}, []),
        ({"masked_ratio": 0.9}, ["finetune", "report"]),
        ({"per_ordered_pair": 2}, ["design"]),
        ({"slots": 2, "over_members": "vmap"}, []),
        ({"profile": "oracle"}, ["people"]),
    ],
)
def test_what_a_finished_run_would_make_again(finished, changes, stages):
    config = resolve(command.parse(StudyConfig, ["p", f"--out={finished}", *TINY], usage=""))
    records = StageRecords(FinishedFiles(finished), dataclasses.replace(config, **changes))
    records.refuse_changes()
    assert [name for name in STAGES if records.why(name)] == stages


def _summary(out):
    summary = json.loads((out / "summary.json").read_text())
    del summary["seconds"]
    return summary


def test_the_summary_keeps_its_contract(finished):
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["simulated_people"] is True
    assert [tuple(member["pair"]) for member in summary["members"]] == [
        (EXPRESSIONS[a], EXPRESSIONS[b]) for a, b in EXPRESSIONS.pairs
    ]
    for member in summary["members"]:
        assert member["stopped_by"] in ("target", "max_images")
        assert member["steps"] > 0
        assert 0 <= member["train_accuracy"] <= 1
    for score in (summary["ensemble"]["simple_vote"], summary["finetuned"]["weighted_vote"], summary["multiclass"]):
        assert 0 <= score["accuracy"] <= 1
        assert list(score["recall"]) == list(EXPRESSIONS)
    assert set(summary["dice"]) == {"cam", "grad_cam", "extremal_perturbation"}
    assert len(summary["dice"]["cam"]["per_pair"]) == 28
    assert [len(summary["anova"]["df"]), len(summary["tukey"])] == [2, 3]
    assert set(summary["tukey"][0]) == {"a", "b", "t", "p"}
    assert set(summary["people"]) >= {"participants", "trials", "accuracy", "r_clicks_time", "r_time_accuracy"}
    assert set(summary["seconds"]) >= set(STAGES) - {"report"}


def test_the_participants_table_says_whom_the_report_excludes(finished):
    people = pd.read_csv(finished / "people" / "data" / "study-fer2afc_description-participants_data.csv")
    excluded = pd.read_csv(finished / "tables" / "people_exclusions.csv").dropna(subset="participant")
    assert people["participant"][people["excluded"] == 1].tolist() == sorted(excluded["participant"])
    assert people["exclusion_reason"].notna().tolist() == (people["excluded"] == 1).tolist()
    assert len(people) - len(excluded) == json.loads((finished / "summary.json").read_text())["people"]["participants"]


def test_the_summary_follows_from_the_tables(finished):
    summary = _summary(finished)
    predictions = np.load(finished / "predictions.npz")
    labels = predictions["labels"]
    right = predictions["multiclass_logits"].argmax(-1) == labels
    np.testing.assert_allclose(summary["multiclass"]["accuracy"], right.mean(), rtol=1e-5)
    votes = np.zeros((len(labels), 8))
    for pair, logits in zip(EXPRESSIONS.pairs, predictions["ensemble_logits"], strict=True):
        votes[np.arange(len(labels)), np.asarray(pair)[logits.argmax(-1)]] += logits.max(-1)
    weighted = (votes.argmax(-1) == labels).mean()
    np.testing.assert_allclose(summary["ensemble"]["weighted_vote"]["accuracy"], weighted, rtol=1e-5)
    dice = pd.read_csv(finished / "tables" / "dice.csv")
    np.testing.assert_allclose(summary["dice"]["cam"]["mean"], dice[dice["method"] == "cam"]["dice"].mean())


def test_the_report_tells_how_training_ended():
    members = [{"stopped_by": "target", "epochs": 3}] * 20 + [{"stopped_by": "max_images", "epochs": 13}] * 8
    config = resolve(StudyConfig(out="run"))
    assert flag_sentences.training_card(config, members)[0] == "20 of 28"
    assert flag_sentences.training_ends(config, members).endswith(
        "20 of 28 reached that, 8 ended at the limit of 6,240 images."
    )
    members = [{"stopped_by": "max_epochs", "epochs": 30}] * 27 + [{"stopped_by": "failed", "epochs": 2}]
    config = resolve(StudyConfig(out="run", stop_accuracy=0.0, max_epochs=30))
    assert flag_sentences.training_card(config, members)[:2] == ("2 to 30", "epochs a member")
    ends = flag_sentences.training_ends(config, members)
    assert ends == "whatever its training accuracy: 27 ended at the limit of 30 epochs, 1 failed."


def test_study_images_are_kept_out_of_training_and_evaluation(finished):
    study = pd.read_csv(finished / "tables" / "study_images.csv")
    assert len(study) == 56
    evaluated = set(np.load(finished / "predictions.npz")["names"])
    assert not evaluated & set(study["image"])
    assert all(name.startswith("validation/") for name in study["image"])


def test_the_report_is_one_page_without_a_network(finished):
    page = (finished / "report.html").read_text()
    html.parser.HTMLParser().feed(page)
    assert "simulated" in page
    assert 'src="http' not in page
    assert page.count("data:image/png;base64,") >= 15
    names = {path.stem for path in (finished / "figures").glob("*.png")}
    assert names == {path.stem for path in (finished / "figures").glob("*.svg")}


def test_figures_drawn_again_are_those_of_the_report(finished, tmp_path, capsys):
    def draw(*flags):
        argv = ["draw_figures", f"--run={finished}", f"--out={tmp_path}", *flags]
        return command.run(draw_figures.main, draw_figures.DrawConfig, usage="", argv=argv)

    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.name != "LOCK"}
    some = ("confusion_correlation", "fig04_click_sequences", "fig09_saliency", "fig10_dice")
    assert draw("--format=png", "--dpi=150", f"--figures={','.join(some)}") == 0
    drawn = {path.name: path.read_bytes() for path in tmp_path.glob("*.png")}
    assert drawn == {f"{name}.png": (finished / "figures" / f"{name}.png").read_bytes() for name in some}
    assert draw("--figures=fig10_dice", "--width_mm=89", "--style=grayscale") == 0
    assert (tmp_path / "fig10_dice.pdf").read_bytes().startswith(b"%PDF")
    assert "fig10_dice: text of 3.7 pt at 89 mm; 5 pt want --width_mm=121" in capsys.readouterr().err
    assert before == {path: path.stat().st_mtime_ns for path in before}
    for flag, wanted in (
        ("--figures=fig10_dise", "Did you mean `fig10_dice`"),
        ("--format=tiff", "`--format`: wanted some of png, svg, pdf, eps, got 'tiff'"),
        ("--style=nothing", "or a .mplstyle file, got 'nothing'"),
        ("--run=", "`--run`: wanted a folder, such as --run=runs/first, got none"),
    ):
        assert draw(flag) != 0
        assert wanted in capsys.readouterr().err


def test_the_same_command_redoes_nothing(finished):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file() and path.name != "LOCK"}
    assert command.run(reproduce.main, StudyConfig, usage="", argv=["r", f"--out={finished}", *TINY]) == 0
    assert before == {path: path.stat().st_mtime_ns for path in before}


def _of_people(folder, trials):
    """Write tables as if people had answered."""
    tables = {name: getattr(trials, name).assign(simulated=False) for name in ("participants", "trials")}
    people = tables["participants"].assign(excluded=False, exclusion_reason=None)
    human.trials.write(folder, dataclasses.replace(trials, participants=people, trials=tables["trials"]))


def _reproduce(*flags):
    return command.run(reproduce.main, StudyConfig, usage="", argv=["reproduce", *TINY, *flags])


def test_people_of_a_folder_give_the_numbers_that_they_give_as_simulated_ones(finished, tmp_path, capsys):
    out, folder = tmp_path / "run", tmp_path / "people"
    shutil.copytree(finished, out)  # the networks stay: nothing of them depends on people
    _of_people(folder, human.trials.read(finished / "people"))
    assert _reproduce(f"--out={out}", f"--people={folder}") == 0
    said = capsys.readouterr().err
    assert "design: made again: --people was 'simulated'" in said and "members: made again" not in said
    before, after = (pd.read_csv(run / "tables" / "study_images.csv") for run in (finished, out))
    order = after["image"].map(dict(zip(before["image"], before.index, strict=True))).to_numpy()
    pd.testing.assert_frame_equal(before.loc[order].reset_index(drop=True), after)
    maps = [np.load(run / "attention.npz")["maps"] for run in (finished, out)]
    np.testing.assert_array_equal(maps[0][order], maps[1])
    for name in ("people_pairs", "people_correlations", "dice", "dice_options"):
        wanted, got = (pd.read_csv(run / "tables" / f"{name}.csv") for run in (finished, out))
        pd.testing.assert_frame_equal(wanted, got, rtol=1e-6)
    wanted, got = _summary(finished), _summary(out)
    assert (got["simulated_people"], got["people"].pop("provenance")) == (False, "real")
    assert wanted["people"].pop("provenance") == "simulated"
    assert (wanted["people"].pop("profile"), got["people"].pop("profile")) == ("typical", None)
    assert got["people"].pop("simulated") == 0
    assert wanted["people"].pop("simulated") == wanted["people"]["participants"]
    assert got["people"] == wanted["people"] and got["ensemble"] == wanted["ensemble"]
    page, people = (out / "report.html").read_text(), got["people"]["participants"]
    assert f"The {people} people in this report are real." in page and "simulated" not in page
    assert "are those of the 96 of validation that people saw" in page
    svg = (out / "figures" / "confusion_correlation.svg").read_text()
    assert "simulated" not in svg and "simulated" in (finished / "figures" / "confusion_correlation.svg").read_text()

    # The same tables redo nothing. Others, in the same place, redo what follows from them.
    assert _reproduce(f"--out={out}", f"--people={folder}") == 0
    assert "everything is up to date" in capsys.readouterr().err
    trials = human.trials.read(folder)
    programs = trials.participants["participant"].eq("P01"), trials.trials["participant"].eq("P01")
    mixed = {
        name: getattr(trials, name).assign(simulated=program.astype("boolean"))
        for name, program in zip(("participants", "trials"), programs, strict=True)
    }
    human.trials.write(folder, dataclasses.replace(trials, **mixed))
    assert _reproduce(f"--out={out}", f"--people={folder}", "--stages=people") == 1
    assert "people wants design made again (content of --people has changed)" in capsys.readouterr().err
    assert _reproduce(f"--out={out}", f"--people={folder}", "--stages=design,people") == 0
    said = capsys.readouterr().err
    assert "people: made again: content of --people has changed" in said
    assert "out of date now: finetune, compare, figures, report" in said
    assert json.loads((out / "people.json").read_text())["people"] == "mixed"


_FALSE = "people simulated mixed real chosen_by_people drawn papers left_out copies_kept crop detector profile"
_EMPTY = "source image_size preset model seed train study_images validation evaluation categories kind looks"


@pytest.mark.parametrize(
    ("blind", "told"),
    [
        (0, "mostly at the eyes (--profile=eye_biased)."),
        (
            3,
            "(--profile=eye_biased). 3 of the 56 pictures come without landmarks. There the simulated clicks aim where",
        ),
        (56, "(--profile=eye_biased). These pictures come without landmarks, so the simulated clicks aim where eyes"),
    ],
)
def test_the_report_says_where_simulated_people_looked(blind, told):
    names = "participants ordered_pairs accuracy trials r_clicks_time r_clicks_accuracy r_time_accuracy reason who"
    values = dict.fromkeys(f"{names} {_FALSE} {_EMPTY} foils bounded limit".split(), "")
    values |= {
        "simulated": True,
        "profile": "eye_biased",
        "looks": flag_sentences.looks("eye_biased"),
        "sequences": True,
        "kinds": "expressions",
    }
    values |= {"study_images": 56, "blind": blind, "all_blind": blind == 56}
    text = template.section("people", values).text
    assert text.endswith(told) if not blind else told in text
    profiles = human.observers.PROFILES
    assert len({flag_sentences.looks(profile) for profile in profiles}) == len(profiles)


@pytest.mark.slow  # test_kills.py kills training in the fast suite
@pytest.mark.parametrize("cue", ["training/ensemble/[0-9]*", "saliency/02_*.npz"])
def test_killed_in_the_middle_the_same_command_ends_with_the_same_summary(finished, tmp_path, root, cue):
    out = tmp_path / "run"
    # As many devices as this process, which made the run to compare with: their number moves the last bits of a sum.
    alike = environment(root, devices=jax.local_device_count())
    command_line = [sys.executable, "-m", "experiments.reproduce", f"--out={out}", "--save_every_s=0.5", *TINY]
    child = subprocess.Popen(command_line, cwd=root, env=alike, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    deadline = time.monotonic() + 600
    while not list(out.glob(cue)):
        assert child.poll() is None, child.stderr.read().decode()
        assert time.monotonic() < deadline, "the cue never came"
        time.sleep(0.02)
    child.kill()
    child.communicate()
    assert not (out / "summary.json").exists()
    done = subprocess.run(command_line, cwd=root, env=alike, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(out / "report.html")
    assert _summary(out) == _summary(finished)


@pytest.mark.slow
def test_killed_while_pictures_end_early_it_goes_on_and_ends_in_equal_maps(tmp_path, root):
    unbroken, killed = tmp_path / "unbroken", tmp_path / "killed"

    def command_line(out, stages):
        known = [flag for flag in TINY if not flag.startswith("--ep_iterations")]
        few = ["--categories=happy,sad,anger,fear", "--people=none"]
        early = ["--ep_stop=converged", "--ep_iterations=70", *few, f"--stages={stages}"]
        return [sys.executable, "-m", "experiments.reproduce", f"--out={out}", *known, *early]

    def finish(out, stages):
        done = subprocess.run(
            command_line(out, stages), cwd=root, env=environment(root), capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stderr

    finish(unbroken, "data,design,members")
    shutil.copytree(unbroken, killed)
    finish(unbroken, "saliency")
    child = subprocess.Popen(
        command_line(killed, "saliency"), cwd=root, env=environment(root), stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 600
    while not list(killed.glob("saliency/*.npz")):
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    child.kill()
    child.wait()
    assert not (killed / "maps.npz").exists()
    kept = {path: path.stat().st_mtime_ns for path in killed.glob("saliency/*.npz")}
    finish(killed, "saliency")
    assert all(path.stat().st_mtime_ns == written for path, written in kept.items())  # pairs that were done stay
    wanted, found = (np.load(out / "maps.npz") for out in (unbroken, killed))
    assert set(found) == set(wanted) >= {"extremal_perturbation", "cam", "grad_cam"}
    for name in wanted:
        np.testing.assert_array_equal(found[name], wanted[name], err_msg=name)
