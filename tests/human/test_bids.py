"""The BIDS layout: its files, what they say, and its validator where that is at hand."""

import json
import shutil
import subprocess
import tarfile

import numpy as np
import pandas as pd
import pytest

from fer_jax import human
from fer_jax.errors import DataError


@pytest.fixture
def written(small_cohort, tmp_path):
    start = pd.Timestamp("2026-03-01T09:30:00Z")
    seconds = small_cohort.trials["trial"].astype(int) * 1000
    shown = [(start + pd.Timedelta(second, "s")).isoformat() for second in seconds]
    people = small_cohort.participants.assign(gender=["=1+1", "a\tb", 'say "x"', None, "ü", None])
    trials = human.Trials(
        people.astype({"gender": "str"}), small_cohort.trials.assign(onset_utc=shown), small_cohort.clicks,
        small_cohort.events,
    )  # fmt: skip
    human.bids.write_bids(tmp_path / "study", trials)
    return tmp_path / "study", trials


def test_events_hold_trials_and_clicks_in_seconds(written):
    folder, trials = written
    events = pd.read_csv(folder / "sub-P02/beh/sub-P02_task-reveal2afc_events.tsv", sep="\t", na_values="n/a")
    own = trials.of(["P02"])
    assert events.columns[:3].tolist() == ["onset", "duration", "trial_type"]
    answers, clicks = (events[events["trial_type"] == kind] for kind in ("trial", "click"))
    np.testing.assert_allclose(answers["onset"], (answers["trial"] - answers["trial"].min()) * 1000)
    np.testing.assert_allclose(answers["duration"] * 1000, own.trials["rt_total_ms"])
    np.testing.assert_allclose(answers["response_time"] * 1000, own.trials["rt_decision_ms"])
    assert answers["correct"].astype(bool).tolist() == own.trials["correct"].tolist()
    assert len(clicks) == len(own.clicks) and (events["onset"].diff().dropna() >= 0).all()
    np.testing.assert_allclose(clicks["x_px"], own.clicks["x_px"], atol=1e-6)
    described = json.loads((folder / "task-reveal2afc_events.json").read_text())
    assert set(described) == set(events)


def test_people_are_described_and_no_text_opens_as_a_formula(written):
    folder, trials = written
    people = pd.read_csv(folder / "participants.tsv", sep="\t", na_values="n/a", quoting=3)
    assert people["participant_id"].tolist() == [f"sub-{name}" for name in trials.participants["participant"]]
    assert people["gender"].fillna("").tolist() == ["'=1+1", "a b", 'say "x"', "", "ü", ""]
    assert set(json.loads((folder / "participants.json").read_text())) == set(people)
    assert json.loads((folder / "dataset_description.json").read_text())["Name"].endswith("(simulated people)")


def test_two_people_of_one_name_are_refused(small_cohort, tmp_path):
    names = small_cohort.participants["participant"].replace({"P01": "a-1", "P02": "a_1"})
    other = human.Trials(
        small_cohort.participants.assign(participant=names), small_cohort.trials, small_cohort.clicks,
        small_cohort.events,
    )  # fmt: skip
    with pytest.raises(DataError, match=r"differ in their letters and digits, got 'a-1'"):
        human.bids.write_bids(tmp_path / "study", other)
    assert not (tmp_path / "study").exists()


def test_the_validator_of_bids_finds_no_error(written, root, tmp_path):
    archives = sorted((root / ".cache").glob("bids-validator-*.tgz"))
    if not archives or shutil.which("node") is None:
        pytest.skip("wants node and bids-validator: npm pack bids-validator --pack-destination=.cache")
    with tarfile.open(archives[-1]) as archive:
        archive.extractall(tmp_path, filter="data")
    line = ["node", tmp_path / "package/bin/bids-validator", "--json", written[0]]
    found = subprocess.run(line, capture_output=True, text=True, timeout=300, check=False)
    issues = json.loads(found.stdout)["issues"]
    assert issues["errors"] == [], issues["errors"]
