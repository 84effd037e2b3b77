"""The tables of a study: exported while people are at it, and what rescue files add."""

import json
import threading
import time

import pandas as pd
import pytest

from fer_jax import human
from fer_jax.study import Store, commands, read_settings, tables
from fer_jax.study.folder import token_of
from fer_jax.study.records import sha256
from tests.human.psych_ds import faults

from .conftest import make, table

UGLY = ['=SUM(A1), "quoted"\nand ü', "Ärger; wütend", "+1 한국어", "- plain", "NA", "1E5"]


def run(*arguments):
    return commands.main([str(argument) for argument in arguments])


def wire(seq, kind, trial=None, t_ms=1.0, **body):
    return {"seq": seq, "trial": trial, "type": kind, "t_ms": t_ms, "body": body}


def answers(plan, *, clicks=2, first=2, blind=False):
    """The events of some trials: a start, clicks inside the picture and one outside, an answer."""
    found = []
    for place, trial in enumerate(plan):
        found.append(wire(0, "trial_start", trial.trial, 0.0, utc="2026-03-01T09:30:00.000Z", css_scale=1.0))
        for click in range(0 if blind else clicks):
            found.append(wire(0, "click", trial.trial, 100.0 * (click + 1), x=1.5, y=2.5 + click, inside=click != 1,
                              pointer="mouse", travel=3.0))  # fmt: skip
        found.append(wire(0, "answer", trial.trial, 500.25 + place, response=trial.options[0], **{"with": "keyboard"}))
    return [event | {"seq": seq} for seq, event in enumerate(found, first)]


def take_part(study, label, *, trials=None, **body):
    """Put a person's events into the database."""
    with Store(study) as store:
        person = store.participant(sha256(token_of(study, label)))
        plan = [trial for trial in store.plan(person.id) if trial.trial > 0][:trials]
        events = [wire(1, "consent", version="1", **body), *answers(plan)]
        store.append(person.id, store.claim(person.id).result(), events).result()


@pytest.fixture
def study(tmp_path):
    """P01 is through, P02 in the middle, P03 only agreed, P04 withdrew, P05 never came."""
    images = table().assign(image=[f"{name} {row}.png" for row, name in enumerate(UGLY)])
    names = dict(zip(("happy", "sad", "anger"), UGLY, strict=False))
    images = images.assign(**{column: images[column].map(names) for column in ("true_label", "false_label")})
    make(tmp_path / "study", participants=5, images=images)
    take_part(tmp_path / "study", "P01", gender='=HYPERLINK("x"), "me"\n', age="23")
    take_part(tmp_path / "study", "P02", trials=2)
    take_part(tmp_path / "study", "P03", trials=0)
    take_part(tmp_path / "study", "P04")
    assert run("withdraw", "--study_dir", tmp_path / "study", "P04") == 0
    return tmp_path / "study"


def test_people_in_every_state_and_ugly_text_survive_an_export(study, tmp_path, capsys):
    for flags in ((), ("--split_by=subject",), ("--prefix=tü",)):
        out = tmp_path / f"out{len(flags)}{flags}"
        assert run("export", "--study_dir", study, "--out", out, *flags) == 0
        assert "3 people, 0 simulated, 8 answers, 16 clicks" in capsys.readouterr().err
        found = human.trials.read(out, note=lambda line: pytest.fail(line))
        people = found.participants.set_index(found.participants["participant"].str[-3:])
        assert people.index.tolist() == ["P01", "P02", "P03"]
        assert people["n_trials"].tolist() == [6, 2, 0] and people["gender"].iloc[0] == '=HYPERLINK("x"), "me"\n'
        assert set(found.trials["image"]) == {f"{name} {row}.png" for row, name in enumerate(UGLY)}
        assert set(found.trials["response"]) <= set(UGLY[:3])
        assert (found.trials["n_clicks"] == 1).all() and (found.trials["rt_first_click_ms"] == 100.0).all()
        assert (found.trials["rt_decision_ms"] == found.trials["rt_total_ms"] - 100).all()
        assert faults(out) == []
        assert not any("\n=" in path.read_text() for path in (out / "data").iterdir())
    with Store(study) as store:
        wanted = tables(store, read_settings(study))
    for name in human.columns.TABLES:
        pd.testing.assert_frame_equal(
            getattr(human.trials.read(tmp_path / "out0()"), name), getattr(wanted, name), check_exact=True
        )


def test_the_layout_of_bids(study, tmp_path, capsys):
    assert run("export", "--study_dir", study, "--out", tmp_path / "out", "--bids") == 0
    events = pd.read_csv(tmp_path / "out/sub-P02/beh/sub-P02_task-reveal2afc_events.tsv", sep="\t", quoting=3)
    assert events["trial_type"].tolist() == ["trial", "click", "click"] * 2
    assert run("export", "--study_dir", study, "--out", tmp_path / "b", "--bids", "--split_by=subject") == 1
    assert "wanted without --split_by" in capsys.readouterr().err and not (tmp_path / "b").exists()


def test_a_folder_in_use_is_not_written_over(study, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert run("export", "--study_dir", study, "--out", tmp_path / "file") == 1
    assert run("export", "--study_dir", study, "--out", tmp_path) == 1
    assert capsys.readouterr().err.count("wanted a new folder") == 2


def test_an_export_is_of_one_moment(study):
    """Somebody withdraws, others go on, while the tables are made."""
    settings, stop = read_settings(study), threading.Event()

    def busy():
        with Store(study) as store:
            person = store.participant(sha256(token_of(study, "P02")))
            epoch, seq = store.claim(person.id).result(), store.high_seq(person.id)
            while not stop.is_set():
                seq += 1
                store.append(person.id, epoch, [wire(seq, "focus")]).result()

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        with Store(study) as store, store.snapshot():
            first = [len(store.events(person.id)) for person in store.participants()]
            time.sleep(0.2)
            assert [len(store.events(person.id)) for person in store.participants()] == first
        for _ in range(5):
            with Store(study) as store:
                assert len(tables(store, settings).trials) == 8
    finally:
        stop.set()
        thread.join()


def test_thousands_of_trials_take_seconds(tmp_path):
    images = pd.concat([table().assign(image=[f"{n} {name}" for name in table()["image"]]) for n in range(47)])
    make(tmp_path / "study", participants=12, images=images.iloc[:280].reset_index(drop=True))
    with Store(tmp_path / "study") as store:
        for person in store.participants():
            plan = [trial for trial in store.plan(person.id) if trial.trial > 0]
            events = [wire(1, "consent", version="1"), *answers(plan, clicks=5)]
            store.append(person.id, store.claim(person.id).result(), events).result()
    start = time.process_time()
    assert run("export", "--study_dir", tmp_path / "study", "--out", tmp_path / "out") == 0
    seconds = time.process_time() - start
    assert seconds < 20  # of the processor; some 3 are wanted
    found = human.trials.read(tmp_path / "out")
    assert (len(found.trials), len(found.clicks), len(found.events)) == (3360, 16800, 3360 * 7 + 12)


def rescue(study, tmp_path, label, events, **more):
    file = tmp_path / "unsent-events.json"
    file.write_text(json.dumps({"token": token_of(study, label), "events": events, **more}))
    return file


def test_a_rescue_file_goes_on_where_the_server_ended_and_twice_is_once(study, tmp_path, capsys):
    with Store(study) as store:
        person = store.participant(sha256(token_of(study, "P02")))
        rest = [trial for trial in store.plan(person.id) if trial.trial > 2]
        high = store.high_seq(person.id)
    unsent = [*answers(rest, first=high + 1)]
    file = rescue(study, tmp_path, "P02", unsent)
    for told in (f"{len(unsent)} events added, 0 were there", f"0 events added, {len(unsent)} were there"):
        assert run("ingest", "--study_dir", study, file) == 0
        assert told in capsys.readouterr().err
    with Store(study) as store:
        found = tables(store, read_settings(study))
    assert found.participants.set_index("participant").loc["P02", "n_trials"] == 6
    # An event whose number another one has is kept, and changes no answer.
    other = [wire(high, "answer", 2, 9.0, response=rest[0].options[0])]
    with Store(study) as store:
        other[0]["body"]["response"] = store.plan(person.id)[-5].options[0]
    assert run("ingest", "--study_dir", study, rescue(study, tmp_path, "P02", other)) in (0, 2)
    with Store(study) as store:
        again = tables(store, read_settings(study))
    pd.testing.assert_frame_equal(again.trials, found.trials)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "wanted JSON"),
        (b'{"token": "x", "events": [', "wanted JSON"),
        (b"\xff\xfe", "wanted JSON"),
        (b"[]", "wanted a file that the study's page offered"),
        (b'{"token": "foreign", "events": []}', "belongs to no participant of this study"),
        (b'{"token": "TOKEN", "events": []}', "events: wanted a list"),
        (b'{"token": "TOKEN", "events": [{"seq": 3}]}', "wanted seq, trial"),
        (b'{"token": "TOKEN", "events": [{"seq": 1, "trial": 99, "type": "blur", "t_ms": 1, "body": {}}]}', "unknown"),
        (b'{"token": "TOKEN", "events": [{"seq": 1, "trial": null, "type": "blur", "t_ms": NaN, "body": {}}]}', "NaN"),
    ],
)  # fmt: skip
def test_a_damaged_or_foreign_rescue_file_changes_nothing(study, tmp_path, capsys, content, told):
    with Store(study) as store:
        before = tables(store, read_settings(study))
    file = tmp_path / "unsent-events.json"
    file.write_bytes(content.replace(b"TOKEN", token_of(study, "P02").encode()))
    assert run("ingest", "--study_dir", study, file) == 2
    err = capsys.readouterr().err
    assert told in err and err.count("\n") == 1
    with Store(study) as store:
        pd.testing.assert_frame_equal(tables(store, read_settings(study)).events, before.events)


def test_nothing_comes_back_after_a_withdrawal(study, tmp_path, capsys):
    file = rescue(study, tmp_path, "P02", [wire(1, "consent", version="1")])
    assert run("withdraw", "--study_dir", study, "P02") == 0
    assert run("ingest", "--study_dir", study, file) == 2
    assert "somebody who withdrew: nothing is taken" in capsys.readouterr().err
    assert run("export", "--study_dir", study, "--out", tmp_path / "out") == 0
    assert human.trials.read(tmp_path / "out").participants["participant"].tolist() == ["P01", "P03"]
    assert b"P02" not in b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
