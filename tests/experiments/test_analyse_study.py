"""The card `experiments.analyse_study` on small simulated studies, on several sites, and on logs without foils."""

import dataclasses
import json
import re

import numpy as np
import pandas as pd
import pytest

from experiments import analyse_study
from experiments.harness import command
from fer_jax import figures, human
from fer_jax.human.columns import TABLES, typed
from tests.compare.test_people import shuffled
from tests.human.conftest import pool
from tests.human.readers import test_foreign_logs as foreign

TINY = ("--resamples=40", "--halves=4")
BOTH = {"after exclusions", "everybody"}


def run(*arguments):
    given = ["analyse_study", *TINY, *arguments]
    return command.run(analyse_study.main, analyse_study.AnalyseConfig, usage="usage", argv=given)


@pytest.fixture(scope="module")
def cohort():
    study = human.study.make_study(*pool(7), seed=2, per_ordered_pair=1)
    return human.observers.simulate(study, seed=2, image_px=32, participants=6)


@pytest.fixture(scope="module")
def analysed(cohort, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    human.trials.write(folder / "people", cohort)
    assert run(f"--people={folder / 'people'}", f"--out={folder / 'out'}", "--aligned") == 0
    return folder / "out"


def first_paragraph(out):
    return re.search("<p>(.*?)</p>", (out / "report.html").read_text()).group(1)


def tables(out):
    return {path.stem: pd.read_csv(path) for path in out.glob("*.csv")}


def test_the_first_paragraph_is_the_answer(analysed):
    text = first_paragraph(analysed)
    overall = pd.read_csv(analysed / "overall.csv").set_index(["sample", "measure"])
    row = overall.loc[("after exclusions", "accuracy")]
    assert text.startswith(f"{row['n_people']} participants, of whom {row['n_people']} are simulated, were right in ")
    assert f"{100 * row['value']:.1f} % of {row['n']} answers (95 % interval {100 * row['low']:.1f} to" in text
    assert "chance 50 %" in text
    assert f"They clicked {overall.loc[('after exclusions', 'clicks'), 'value']:.1f} times" in text
    assert "s from the first click to the answer" in text
    assert re.search(r"The commonest confusion was \w+ taken for \w+, in [\d.]+ % of the answers", text)
    assert text.endswith("Simulated participants are programs. Their numbers say nothing about people.")
    assert json.loads((analysed / "settings.json").read_text())["answer"] == text


def test_every_table_says_that_people_are_simulated_and_gives_both_samples(analysed):
    made = tables(analysed)
    assert set(made) == {
        "people", "overall", "times", "confusion", "blocks", "learning", "images", "pairs", "correlations",
        "sensitivity", "sensitivity_people", "reliability", "regions", "exclusions",
    }  # fmt: skip
    for name, table in made.items():
        assert table.columns[:2].tolist() == ["sample", "people"]
        assert set(table["people"]) == {"simulated"}
        assert set(table["sample"]) == BOTH or name == "exclusions"
    assert made["exclusions"]["reason"].tolist() == ["incomplete", "rule cannot fire"]
    assert made["reliability"][["correlation", "scaling"]].drop_duplicates().to_numpy().tolist() == [
        ["pearson", "over_mean"]
    ]
    page = (analysed / "report.html").read_text()
    captions = re.findall(r"<(?:caption|figcaption|summary)>(.*?)</", page)
    assert len(captions) > 10
    assert all("simulated people" in caption for caption in captions)


def test_times_from_the_onset_are_called_so(analysed, tmp_path, monkeypatch):
    titles = []
    draw = figures.draw_pair_matrix

    def watched(*table, title, **options):
        titles.append(title)
        return draw(*table, title=title, **options)

    monkeypatch.setattr(figures, "draw_pair_matrix", watched)
    assert run(f"--people={analysed.parent / 'people'}", f"--out={tmp_path}", "--time_from=onset") == 0
    assert "from onset to decision (Fig. 3c)" in (tmp_path / "report.html").read_text()
    assert "from first click to decision (Fig. 3c)" in (analysed / "report.html").read_text()
    assert titles[-1] == "Time from onset to decision (s)"


def test_every_missing_number_has_a_reason(analysed):
    for name, table in tables(analysed).items():
        if "reason" in table and name not in ("exclusions", "people"):
            known = table.drop(columns="reason")
            assert table["reason"][known.isna().any(axis=1)].notna().all(), name


def test_figures_2_to_4_are_drawn(analysed):
    names = {path.name for path in (analysed / "figures").glob("*.png")}
    assert names == {
        "fig02_confusion.png", "fig03a_accuracy.png", "fig03b_clicks.png", "fig03c_time_s.png",
        "fig04_click_sequences.png",
    }  # fmt: skip


def test_rows_in_another_order_give_the_same_files(analysed, cohort, tmp_path):
    human.trials.write(tmp_path / "people", shuffled(cohort))
    assert run(f"--people={tmp_path / 'people'}", f"--out={tmp_path / 'out'}", "--aligned") == 0
    for path in analysed.glob("*.csv"):
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes(), path.name
    assert (tmp_path / "out" / "report.html").read_bytes() == (analysed / "report.html").read_bytes()
    # A finished folder is analysed anew.
    assert run(f"--people={tmp_path / 'people'}", f"--out={tmp_path / 'out'}") == 0
    assert "regions of first and last clicks" in json.loads((tmp_path / "out/settings.json").read_text())["left_out"]


def test_several_sites_are_one_study_and_the_same_participant_twice_is_refused(cohort, tmp_path, capsys):
    human.trials.write(tmp_path / "a", cohort.of(["P01", "P02", "P03"]))
    human.trials.write(tmp_path / "b", cohort.of(["P03", "P04"]))
    people, out = f"--people={tmp_path / 'a'},{tmp_path / 'b'}", f"--out={tmp_path / 'out'}"
    assert run(people, out) == 2
    assert "'P03' in " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert run(people, out, "--prefixes=a_,b_") == 0
    names = pd.read_csv(tmp_path / "out" / "people.csv")["participant"].drop_duplicates()
    assert names.tolist() == ["a_P01", "a_P02", "a_P03", "b_P03", "b_P04"]


def test_answers_among_many_options_have_a_confusion_and_say_what_is_left_out(tmp_path):
    random = np.random.default_rng(0)
    names, n = ["calm", "keen", "tired"], 60
    truth = np.array(names)[random.integers(0, 3, n)]
    given = np.where(random.random(n) < 0.6, truth, np.array(names)[random.integers(0, 3, n)])
    asked = {"participant": np.repeat(["A", "B", "C"], 20), "trial": np.tile(np.arange(1, 21), 3), "simulated": False}
    shown = {"image": [f"{place % 20}_{label}" for place, label in enumerate(truth)], "true_label": truth}
    options = {"response": given, "n_options": 3, "options": "|".join(names), "block": np.tile(np.arange(20) // 10, 3)}
    trials = human.Trials(
        typed("participants", {"participant": list("ABC"), "simulated": False}),
        typed("trials", pd.DataFrame({**asked, **shown, **options})),
        typed("clicks", {}),
        typed("events", {}),
    )
    human.trials.write(tmp_path / "people", trials)
    assert run(f"--people={tmp_path / 'people'}", f"--out={tmp_path / 'out'}") == 0
    text = first_paragraph(tmp_path / "out")
    assert text.startswith("3 participants, of whom 0 are simulated, were right in ")
    assert "chance 33.3 %" in text
    assert "How long they took is not known: no times from first click to answer." in text
    assert "programs" not in text
    made = tables(tmp_path / "out")
    assert len(made["confusion"]) == 2 * 9
    counts = (
        made["confusion"].query("sample == 'everybody'").pivot(index="true_label", columns="response", values="count")
    )
    wanted = pd.crosstab(truth, given).reindex(index=names, columns=names, fill_value=0)
    np.testing.assert_array_equal(counts.to_numpy(), wanted.to_numpy())
    assert set(made["pairs"]["n"]) != {0}
    assert "correlations" not in made
    left_out = json.loads((tmp_path / "out" / "settings.json").read_text())["left_out"]
    assert left_out["reliability of attention maps"] == "there are no clicks"
    assert "no foil" in next(iter(left_out.values()))


def test_people_and_programs_together_are_called_mixed(cohort, tmp_path):
    real = cohort.participants["participant"] == "P01"
    people = cohort.participants.assign(simulated=(~real).astype("boolean"))
    trials = cohort.trials.assign(simulated=cohort.trials["participant"].ne("P01").astype("boolean"))
    human.trials.write(tmp_path / "people", dataclasses.replace(cohort, participants=people, trials=trials))
    assert run(f"--people={tmp_path / 'people'}", f"--out={tmp_path / 'out'}") == 0
    assert first_paragraph(tmp_path / "out").startswith("5 participants, of whom 4 are simulated, ")
    assert all(set(table["people"]) == {"mixed"} for table in tables(tmp_path / "out").values())
    own = pd.read_csv(tmp_path / "out" / "people.csv").set_index("participant")
    assert not own.loc["P01", "simulated"].any()
    assert own.loc["P02", "simulated"].all()


def test_somebody_who_agreed_and_answered_nothing_is_nobody(cohort, analysed, tmp_path):
    silent = typed("participants", {"participant": ["P99", "P98"], "simulated": False, "n_trials": 0, "n_blocks": 0})
    people = typed("participants", pd.concat([cohort.participants, silent]))
    human.trials.write(tmp_path / "people", dataclasses.replace(cohort, participants=people))
    assert run(f"--people={tmp_path / 'people'}", f"--out={tmp_path / 'out'}", "--aligned") == 0
    assert first_paragraph(tmp_path / "out") == first_paragraph(analysed)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "A click study of simulated people" in page and "some of them simulated" not in page
    out = pd.read_csv(tmp_path / "out" / "exclusions.csv").set_index("participant")
    assert out.loc["P99", "detail"].startswith("0 of 56 trials")
    for name, table in tables(tmp_path / "out").items():
        if name not in ("people", "exclusions"):
            pd.testing.assert_frame_equal(table, pd.read_csv(analysed / f"{name}.csv"))


def test_whom_a_researcher_excluded_by_hand_stays_out(cohort, tmp_path):
    human.trials.write(tmp_path / "people", cohort)
    path = tmp_path / "people" / human.trials.file_name("participants")
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    frame.loc[frame["participant"] == "P02", ["excluded", "exclusion_reason"]] = ["TRUE", "told us, of a migraine"]
    path.write_bytes(frame.to_csv(sep=";", index=False, lineterminator="\r\n").encode("cp1252"))
    assert run(f"--people={tmp_path / 'people'}", f"--out={tmp_path / 'out'}") == 0
    out = pd.read_csv(tmp_path / "out" / "exclusions.csv").set_index("participant")
    assert out.loc["P02", ["reason", "detail"]].tolist() == ["recorded", "told us, of a migraine"]
    people = pd.read_csv(tmp_path / "out" / "people.csv")
    kept = people["sample"] == "after exclusions"
    assert "P02" in set(people["participant"][~kept]) and "P02" not in set(people["participant"][kept])


def test_real_tile_logs_are_one_flag_away(real_data, tmp_path):
    told = f"--people={real_data / 'wegrzyn2017'}", "--log_format=wegrzyn2017"
    assert run(*told, f"--out={tmp_path / 'out'}") == 0
    text = first_paragraph(tmp_path / "out")
    assert text.startswith("19 participants, of whom 0 are simulated, were right in 71.6 % of 4,256 answers")
    assert "They saw a program open 12.1 places" in text
    assert "sad taken for fear, in 33.7 % of the answers (205 of 608)" in text


@pytest.mark.parametrize(
    ("log_format", "name", "text", "flags", "answer", "missing"),
    [
        (
            "bubbleview", "b.csv", foreign.BUBBLEVIEW, ["--picture_px=120x160", "--reveal_radius=10"],
            "2 participants, of whom 0 are simulated, opened 4 places on 2 pictures, 1.3 on each in the mean. Their "
            "log has no answers",
            {"regions of first and last clicks": "the trials have no answers"},
        ),
        (
            "model_vs_human", "g.csv", foreign.GEIRHOS, [],
            "1 participant, of whom 0 are simulated, was right in 100.0 % of 2 answers",
            {"reliability of attention maps": "there are no clicks"},
        ),
        (
            "jspsych", "j.json", json.dumps(foreign.JSPSYCH), [],
            "1 participant, of whom 0 are simulated, was right in 50.0 % of 2 answers",
            {"regions of first and last clicks": "nothing says where the faces stand in the pictures"},
        ),
        (
            "jspsych", "j.csv", foreign.as_jspsych_csv(foreign.JSPSYCH), ["--time_from=onset", "--trials_used=all"],
            "1 participant, of whom 0 are simulated, was right in 50.0 % of 2 answers",
            {},
        ),
        (
            "fixations", "f.tsv", foreign.FIXATIONS, ["--picture_px=800x600", "--log_columns=image=image"],
            "2 participants, of whom 0 are simulated, looked at 3 places on 2 pictures",
            {"reliability of attention maps": "the trials do not give one radius of the discs"},
        ),
    ],
)  # fmt: skip
def test_every_log_becomes_a_page_that_names_what_is_missing(tmp_path, log_format, name, text, flags, answer, missing):
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    told = [f"--people={tmp_path / name}", f"--log_format={log_format}", f"--out={tmp_path / 'out'}", *flags]
    assert run(*told) == 0
    assert first_paragraph(tmp_path / "out").startswith(answer)
    left_out = json.loads((tmp_path / "out" / "settings.json").read_text())["left_out"]
    for what, why in missing.items():
        assert left_out[what].startswith(why)


def test_a_scale_that_cannot_be_right_is_one_line(tmp_path, capsys):
    (tmp_path / "b.csv").write_text(foreign.BUBBLEVIEW)
    told = f"--people={tmp_path / 'b.csv'}", "--log_format=bubbleview", f"--out={tmp_path / 'out'}"
    assert run(*told, "--picture_px=50x160") == 2
    said = capsys.readouterr().err
    assert "25% of 4 outside" in said
    assert len(said.splitlines()) == 1
    assert run(*told, "--picture_px=wide") == 1
    assert "`--picture_px`: wanted one number above 0" in capsys.readouterr().err


def degenerate(cohort):
    """Return small studies that lack what analyses lean on: name -> trials."""
    one = cohort.of(["P01"])
    table, clicks = cohort.trials, cohort.clicks
    wrong = table.assign(response=table["false_label"], correct=pd.array([False] * len(table), dtype="boolean"))
    image = table["image"].iloc[0]
    silent = clicks["participant"].ne("P02")
    counts = table["n_clicks"].where(table["participant"].ne("P02"), 0)
    return {
        "one person": one,
        "no right answer": dataclasses.replace(cohort, trials=wrong),
        "one image": dataclasses.replace(cohort, trials=table[table["image"] == image]),
        "one block": dataclasses.replace(cohort, trials=table.assign(block=1)),
        "no block": dataclasses.replace(cohort, trials=table.assign(block=pd.NA)),
        "missing pairs": dataclasses.replace(cohort, trials=table[table["true_label"].isin(["fear", "happy"])]),
        "a person without clicks": dataclasses.replace(
            cohort, trials=table.assign(n_clicks=counts), clicks=clicks[silent]
        ),
        "no times": dataclasses.replace(cohort, trials=table.assign(rt_decision_ms=np.nan)),
        "equal maps": dataclasses.replace(cohort, clicks=clicks.assign(x_px=16.0, y_px=16.0)),
    }


def test_what_a_study_lacks_is_nan_with_a_reason(cohort, tmp_path):
    for number, (name, trials) in enumerate(degenerate(cohort).items()):
        parts = {table: getattr(trials, table).reset_index(drop=True) for table in TABLES}
        human.trials.write(tmp_path / f"{number}", human.Trials(**{t: typed(t, rows) for t, rows in parts.items()}))
        out = tmp_path / f"out{number}"
        assert run(f"--people={tmp_path / str(number)}", f"--out={out}", "--aligned") == 0, name
        for table, rows in tables(out).items():
            if "reason" in rows and table not in ("exclusions", "people"):
                known = rows.drop(columns=["reason", "false_label"], errors="ignore")
                assert rows["reason"][known.isna().any(axis=1)].notna().all(), (name, table)


def test_times_can_be_dropped_and_taken_from_everybody(cohort, tmp_path):
    table = cohort.trials.copy()
    table.loc[table.index[::50], "rt_decision_ms"] = 50.0
    table.loc[table.index[1::50], "focus_lost"] = True
    human.trials.write(tmp_path / "people", dataclasses.replace(cohort, trials=table))
    found = {}
    for rule, trials in (("mark", "clean"), ("drop", "clean"), ("none", "all")):
        out = tmp_path / f"{rule}"
        flags = f"--rt_rule={rule}", f"--time_trials={trials}"
        assert run(f"--people={tmp_path / 'people'}", f"--out={out}", *flags) == 0
        found[rule] = {name: rows[rows["sample"] == "everybody"] for name, rows in tables(out).items()}
    n = {rule: rows["overall"].set_index("measure").loc["time_ms", "n"] for rule, rows in found.items()}
    assert found["mark"]["times"]["n"].tolist()[0] == n["mark"]
    assert found["mark"]["times"]["n"].tolist()[1] == n["drop"] < n["mark"]
    assert n["none"] == n["mark"] + len(table.index[1::50])
    assert len(found["none"]["times"]) == 1
    accuracy = [rows["overall"].set_index("measure").loc["accuracy", "value"] for rows in found.values()]
    assert len(set(accuracy)) == 1


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--out=x"], "`--people`: wanted the folder of a study"),
        (["--people=x"], "`--out`: wanted a folder"),
        (["--people=x,y", "--out=z", "--prefixes=a"], "`--prefixes`: wanted 2, one a folder"),
        (["--people=x,./x", "--out=z"], "`--people`: wanted each folder once"),
        (["--people=x", "--out=z", "--halves=0"], "--halves"),
    ],
)
def test_wrong_flags_are_one_line(flags, words, capsys):
    assert run(*flags) == 1
    told = capsys.readouterr().err
    assert words in told
    assert len(told.splitlines()) == 1


def test_a_folder_without_people_is_a_data_error(tmp_path, capsys):
    assert run(f"--people={tmp_path}", f"--out={tmp_path / 'out'}") == 2
    assert "wanted a study written by `human.trials.write`" in capsys.readouterr().err
