"""What is made again when flags, files or inputs change: with stages that take no time, and tables of a whole run."""

import dataclasses
import json

import pytest

from experiments import reproduce
from experiments.config import StudyConfig, resolve
from experiments.harness import command
from experiments.study import stages
from experiments.study.run_folder import RunFolder
from experiments.study.stage_records import StageRecords
from experiments.study.stage_table import FREE, STAGES, TABLE
from fer_jax.errors import StorageError, UsageError

MAIN = {  # what stands for a stage's result here: its first file, and what it was made from
    name: (entry.leaves[0] + "manifest.json" if entry.leaves[0].endswith("/") else entry.leaves[0].replace("*", "all"))
    for name, entry in TABLE.items()
}


@pytest.fixture
def made(monkeypatch):
    """Stages that write what they read into their first file; the names of those that ran."""
    ran = []

    def work_of(name):
        def work(study):
            ran.append(name)
            flags = {flag: getattr(study.config, flag) for flag in TABLE[name].reads}
            read = {need: (study.folder.path / MAIN[need]).read_text() for need in TABLE[name].needs}
            study.folder.write_text(MAIN[name], json.dumps([flags, read]))

        return work

    monkeypatch.setattr(stages, "WORK", {name: work_of(name) for name in STAGES})
    return ran


@pytest.fixture
def again(made, tmp_path, capsys):
    """Run the study with further flags: exit code, the stages that ran, what was said."""

    def run(*flags):
        made.clear()
        capsys.readouterr()
        argv = ["reproduce", f"--out={tmp_path / 'run'}", *flags]
        code = command.run(reproduce.main, StudyConfig, usage="", argv=argv)
        return code, list(made), capsys.readouterr().err

    assert run()[:2] == (0, list(STAGES))
    return run


def test_every_flag_is_read_by_a_stage_or_binds_nothing():
    read = {flag for entry in TABLE.values() for flag in entry.reads}
    assert not read & set(FREE)
    assert read | set(FREE) == {field.name for field in dataclasses.fields(StudyConfig)}


def test_stages_need_earlier_ones():
    for name, entry in TABLE.items():
        assert all(STAGES.index(need) < STAGES.index(name) for need in entry.needs)


def test_an_unchanged_run_is_left_alone_and_says_so(again):
    code, ran, said = again()
    assert (code, ran) == (0, []), said
    assert "everything is up to date" in said


@pytest.mark.parametrize(
    ("flag", "wanted"),
    [
        ("--masked_ratio=0.9", "finetune compare figures report"),
        ("--area=0.2", "saliency compare figures report"),
        ("--participants=30", "people finetune compare figures report"),
        ("--per_ordered_pair=6", "design vote people saliency finetune compare figures report"),
        ("--slots=3", ""),
        ("--memory_gb=2.0", ""),
        ("--over_devices=shard_map", ""),
        ("--save_every_s=30.0", ""),
    ],
)
def test_a_flag_makes_again_what_reads_it_and_what_follows(again, tmp_path, flag, wanted):
    code, ran, said = again(flag)
    assert (code, ran) == (0, wanted.split())
    name, _, value = flag.removeprefix("--").partition("=")
    assert f"--{name}={value}\n" in (tmp_path / "run" / "flags.txt").read_text()
    if ran:
        assert f"{ran[0]}: made again: --{name} was " in said
        assert f"{ran[-1]}: made again: " in said
    assert again(flag)[1] == []


@pytest.mark.parametrize(
    "flag", ["--seed=1", "--faces=hard", "--learning_rate=0.01", "--multiclass_epochs=3", "--init_from=x.safetensors"]
)
def test_what_networks_were_trained_with_is_not_replaced(again, tmp_path, flag):
    name = flag.removeprefix("--").partition("=")[0]
    before = (tmp_path / "run" / "flags.txt").read_text()
    for stages_flag in ((), ("--stages=figures",)):
        code, ran, said = again(flag, *stages_flag)
        assert (code, ran) == (1, [])
        assert f"--{name} was " in said and "or --overwrite, which deletes the whole run." in said
        assert said.count("\n") == 1
    assert (tmp_path / "run" / "flags.txt").read_text() == before
    assert again(flag, "--overwrite")[:2] == (0, list(STAGES))


def test_stages_that_are_named(again, tmp_path):
    assert again("--stages=figures")[:2] == (0, ["figures"])
    code, ran, said = again("--stages=members,saliency,report")
    assert (code, ran) == (0, ["report"])
    assert "members: up to date, stays as it is" in said and "report: made again: named in --stages" in said
    code, ran, said = again("--stages=saliency", "--area=0.3")
    assert (code, ran) == (0, ["saliency"])
    assert "out of date now: compare, figures, report; the same command without --stages makes them again" in said
    code, ran, said = again("--stages=figures", "--area=0.3")
    assert (code, ran) == (1, [])
    assert "`--stages`: figures wants compare made again (saliency has changed)" in said
    assert again("--stages=figures", "--area=0.4")[0] == 1
    assert "--area=0.3\n" in (tmp_path / "run" / "flags.txt").read_text()  # what is refused is not recorded
    assert again("--area=0.3")[1] == ["compare", "figures", "report"]


def test_stages_whose_forerunners_have_not_run(made, tmp_path, capsys):
    argv = ["reproduce", f"--out={tmp_path / 'run'}", "--stages=data,design,figures"]
    assert command.run(reproduce.main, StudyConfig, usage="", argv=argv) == 1
    assert "`--stages`: figures wants members to have run in" in capsys.readouterr().err
    assert made == []


def test_what_is_missing_is_made_again_and_the_same_content_changes_nothing(again, tmp_path):
    (tmp_path / "run" / "figures").rename(tmp_path / "gone")
    code, ran, said = again()
    assert (code, ran) == (0, ["figures"])
    assert f"figures: made again: {MAIN['figures']} is missing" in said
    (tmp_path / "run" / MAIN["data"]).unlink()
    assert again()[1] == ["data"]
    (tmp_path / "run" / MAIN["design"]).write_text("[]")  # chosen by hand: it stays, what reads it follows
    assert again()[1] == ["vote", "people", "saliency", "finetune", "compare", "figures", "report"]
    assert (tmp_path / "run" / MAIN["design"]).read_text() == "[]"


def test_a_lost_table_does_not_cost_a_trained_network(again, tmp_path):
    run = tmp_path / "run"
    record = json.loads((run / "stages" / "members.json").read_text())
    (run / "tables").mkdir(exist_ok=True)
    (run / "tables" / "members.csv").write_text("pair\n")
    record["files"]["tables/members.csv"] = record["files"][MAIN["members"]]
    (run / "stages" / "members.json").write_text(json.dumps(record))
    (run / "tables" / "members.csv").unlink()
    code, ran, said = again()
    assert (code, ran) == (1, [])
    assert "has lost tables/members.csv, but ensemble/ is there" in said
    (run / "ensemble").rename(tmp_path / "gone")
    assert again()[1][0] == "members"


def test_other_pictures_than_networks_were_trained_on_are_refused(again, tmp_path):
    (tmp_path / "run" / MAIN["data"]).write_text("another run's")
    code, _, said = again()
    assert code == 1
    assert "holds other data than its members were trained on" in said


@pytest.mark.parametrize(
    ("flag", "wanted", "ran_again"),
    [
        ("--multiclass_epochs=3", "remove multiclass/ to train multiclass anew,", "multiclass vote"),
        (
            "--learning_rate=0.01",
            "remove ensemble/, multiclass/ to train members and multiclass anew,",
            "members multiclass vote saliency finetune",
        ),
        ("--seed=1", None, ""),
    ],
)
def test_what_a_refusal_says_to_remove_is_enough(again, tmp_path, flag, wanted, ran_again):
    code, _, said = again(flag)
    assert code == 1
    if wanted is None:  # the pictures themselves: nothing can stay
        assert "Choose another folder, or --overwrite, which deletes the whole run." in said
        return
    assert f"Choose another folder, {wanted} or --overwrite, which deletes the whole run." in said
    for folder in wanted.partition(" to train ")[0].removeprefix("remove ").split(", "):
        (tmp_path / "run" / folder).rename(tmp_path / f"gone_{folder.rstrip('/')}")
    code, ran, _ = again(flag)
    assert (code, ran) == (0, [*ran_again.split(), "compare", "figures", "report"])


@pytest.fixture
def records(tmp_path):
    """A run folder's records with some flags changed."""
    folder = RunFolder(resolve(StudyConfig(out=str(tmp_path / "run"))))

    def seen_with(**changes):
        return StageRecords(folder, dataclasses.replace(folder.config, **changes))

    seen_with().make("data", lambda: folder.write_text(MAIN["data"], "pictures"))
    yield folder, seen_with
    folder.close()


def _stopped(folder, name, records):
    def work():
        folder.write_text(f"{TABLE[name].parts[0]}/1/state", "half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        records.make(name, work)
    assert not records.finished(name)


def test_checkpoints_stay_until_the_record_of_their_stage_is_written(records, monkeypatch):
    folder, seen_with = records
    made = []

    def work():
        made.append((folder.path / "training/ensemble/1/state").exists())
        folder.write_text("training/ensemble/1/state", "half")
        folder.write_text(MAIN["members"], "members")

    def killed(name, content):
        if name == "stages/members.json":
            raise KeyboardInterrupt
        write(name, content)

    seen_with().make("design", lambda: folder.write_text(MAIN["design"], "design"))
    write = folder.write_json
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(folder, "write_json", killed)
        seen_with().make("members", work)
    seen_with().make("members", work)
    assert made == [False, True]
    assert not (folder.path / "training" / "ensemble").exists()


def test_a_stage_under_way_goes_on_only_with_the_flags_it_was_begun_with(records, capsys):
    folder, seen_with = records
    found = []

    def work():
        found.append((folder.path / "saliency/1/state").exists())

    for name in ("design", "members"):
        seen_with().make(name, lambda name=name: folder.write_text(MAIN[name], name))
    _stopped(folder, "saliency", seen_with())
    seen_with().make("saliency", work)
    _stopped(folder, "saliency", seen_with(area=0.2))
    assert capsys.readouterr().err == ""
    seen_with(area=0.3).make("saliency", work)
    assert found == [True, False]
    assert "saliency: begins anew: --area was 0.2, is 0.3" in capsys.readouterr().err


def test_a_stage_begun_before_a_flag_existed_goes_on_with_the_flags_default(records, capsys):
    folder, seen_with = records
    for name in ("design", "members"):
        seen_with().make(name, lambda name=name: folder.write_text(MAIN[name], name))
    _stopped(folder, "saliency", seen_with())
    begun = folder.read_json("stages/saliency.begun.json")
    del begun["reads"]["area"]
    folder.write_json("stages/saliency.begun.json", begun)
    found = []
    seen_with().make("saliency", lambda: found.append((folder.path / "saliency/1/state").exists()))
    assert found == [True] and capsys.readouterr().err == ""


def test_training_under_way_keeps_its_flags_but_may_change_its_layout(records, capsys):
    folder, seen_with = records
    _stopped(folder, "members", seen_with())
    with pytest.raises(UsageError, match=r"\(--learning_rate was 0.001, is 0.01; stage members\)"):
        seen_with(learning_rate=0.01).refuse_changes()
    seen_with(slots=3, over_members="vmap").refuse_changes()
    seen_with(slots=3, over_members="vmap").make("members", lambda: None)
    assert "members: goes on in another layout (--over_members was None)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("damaged", "said"),
    [
        ("stages/members.begun.json", r"has lost stages/members\.begun\.json, but training/ensemble is there"),
        (
            MAIN["data"],
            r"holds other data than its members are being trained on.*remove training/ensemble to begin anew",
        ),
    ],
)
def test_checkpoints_outlive_a_lost_record_and_damaged_pictures(records, damaged, said):
    folder, seen_with = records
    _stopped(folder, "members", seen_with())
    path, there = folder.path / damaged, (folder.path / damaged).read_bytes()
    path.unlink()
    with pytest.raises(UsageError, match=said):
        seen_with().make("members", lambda: None)
    path.write_bytes(there)
    found = []
    seen_with().make("members", lambda: found.append((folder.path / "training/ensemble/1/state").exists()))
    assert found == [True]


def test_a_trained_network_outlives_its_record(records):
    folder, seen_with = records

    def train():
        folder.write_text("ensemble/manifest.json", "{}")

    seen_with().make("members", train)
    (folder.path / "stages" / "members.json").unlink()
    with pytest.raises(UsageError, match=r"has lost stages/members\.json, but ensemble/ is there.*or remove ensemble/"):
        seen_with().make("members", train)
    (folder.path / "ensemble" / "manifest.json").unlink()
    (folder.path / "ensemble").rmdir()
    seen_with().make("members", train)
    assert seen_with().finished("members")


def test_a_stage_that_loses_its_mark_tells_that_it_begins_anew(records, capsys):
    folder, seen_with = records
    for name in ("design", "members"):
        seen_with().make(name, lambda name=name: folder.write_text(MAIN[name], name))
    _stopped(folder, "saliency", seen_with())
    (folder.path / "stages" / "saliency.begun.json").unlink()
    seen_with().make("saliency", lambda: None)
    assert "saliency: begins anew: stages/saliency.begun.json is missing" in capsys.readouterr().err


def test_a_failure_leaves_no_mark_and_seconds_add_up(records):
    folder, seen_with = records
    with pytest.raises(ZeroDivisionError):
        seen_with().make("design", lambda: 1 // 0)
    assert not seen_with().finished("design")
    begun = json.loads((folder.path / "stages" / "design.begun.json").read_text())
    folder.write_json("stages/design.begun.json", begun | {"seconds": 5.0})
    seen_with().make("design", lambda: None)
    assert 5 <= seen_with().seconds()["design"] < 60


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"seconds": 1}'])
def test_a_damaged_record_is_named(records, damage):
    folder, seen_with = records
    (folder.path / "stages" / "data.json").write_text(damage)
    with pytest.raises(StorageError, match=r"stages/data.json`: is damaged, or was written by another version"):
        seen_with().why("data")
