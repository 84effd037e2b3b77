"""The report's first paragraphs: what they say of given numbers, and that every number is that of a table."""

import shlex
import types

import numpy as np
import pandas as pd
import pytest

from experiments.config import StudyConfig
from experiments.harness import command
from experiments.study import answer, methods, paper_numbers, template
from experiments.study.write import MODEL_NAMES
from fer_jax.categories import Categories
from fer_jax.expressions import EXPRESSIONS
from fer_jax.provenance import Provenance

PAIRS = [f"pair {k}" for k in range(12)]
SHARED = {
    "kinds": "expressions", "kind": "expression", "source": "photographs", "members": 28, "evaluation": 40,
    "chance": "12.5", "who": "people", "participants": 22, "num_simulated": 0, "accuracy": "83.9 %", "trials": 1000,
    "simulated": False, "mixed": False, "real": True, "drawn": False, "several": True, "count": "eight",
    "ensemble_accuracy": "", "ensemble_balanced": "", "multiclass_accuracy": "", "multiclass_balanced": "",
    "training_what": "",
    "training_value": "", "training_note": "",
}  # fmt: skip


class Folder:
    """Tables and arrays of a run, as its stages would have left them."""

    path = None

    def __init__(self, tables, arrays):
        self.tables, self.arrays = tables, arrays

    def has(self, name):
        return name.removeprefix("tables/").removesuffix(".csv") in self.tables

    def read_table(self, name):
        return self.tables[name].copy()

    def read_arrays(self, name):
        return self.arrays[name]


def run_of(dice, baselines=None, *, leads=None, contrasts=None, people="real", correlation=(0.1, 0.4)):
    """A run whose methods have these Dice, one list a method, over twelve pairs."""
    table = pd.concat([pd.DataFrame({"unit": PAIRS, "method": name, "dice": values}) for name, values in dice.items()])
    baselines = {"other pairs": 0.3, "uniform": 0.2} if baselines is None else baselines
    tables = {
        "dice": table,
        "dice_baselines": pd.DataFrame({"baseline": list(baselines), "dice": list(baselines.values())}, dtype=object),
        "confusion_correlation": pd.DataFrame(
            [
                {
                    "model": "ensemble_simple_vote",
                    "r_all": 0.9,
                    "r_off_diagonal": correlation[0],
                    "p_qap": correlation[1],
                    "ci_low": correlation[0] - 0.2,
                    "ci_high": correlation[0] + 0.2,
                }
            ]
        ),
        "confusion_ensemble_simple_vote": pd.DataFrame([[3, 1], [1, 3]], columns=["no", "yes"]),
        "confusion_ensemble_weighted_vote": pd.DataFrame([[2, 2], [2, 2]], columns=["no", "yes"]),
        "confusion_multiclass": pd.DataFrame([[4, 0], [1, 3]], columns=["no", "yes"]),
    }
    tables["dice_baselines"]["dice"] = tables["dice_baselines"]["dice"].astype(float)
    if leads is not None:
        rows = [(method, name, *ends) for (method, name), ends in leads.items()]
        tables["dice_over_baselines"] = pd.DataFrame(rows, columns=["method", "baseline", "difference", "low", "high"])
    rows = [("pair", "paired", *names, *ends) for names, ends in (contrasts or {}).items()]
    tables["contrasts"] = pd.DataFrame(rows, columns=["unit", "test", "a", "b", "difference", "low", "high"])
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    vote, other = np.array([0, 0, 0, 1, 1, 1, 1, 0]), np.array([0, 0, 0, 0, 1, 1, 1, 0])
    arrays = {
        "predictions": {
            "labels": labels,
            "ensemble_logits": np.eye(2)[vote][None].astype(np.float32),
            "multiclass_logits": np.eye(2)[other].astype(np.float32),
        }
    }
    return types.SimpleNamespace(
        folder=Folder(tables, arrays),
        categories=Categories(["no", "yes"]),
        provenance=Provenance(pictures="photographs", people=people),
        config=types.SimpleNamespace(seed=0, stop_accuracy=0.9),
    )


def told(run):
    """The answer's paragraphs."""
    values = SHARED | {"people": run.provenance.has_people} | answer.values(run)
    return template.head(values)[1].text.split("\n\n")


EP, CAM, GRAD = "extremal_perturbation", "cam", "grad_cam"
DICE = {EP: [0.5] * 12, CAM: [0.4] * 12, GRAD: [0.35] * 12}
CLEAR = {(CAM, EP): (-0.1, -0.15, -0.05), (GRAD, EP): (-0.15, -0.2, -0.1), (CAM, GRAD): (0.05, 0.01, 0.09)}


@pytest.mark.parametrize(
    ("lead", "wanted"),
    [
        (
            (0.2, 0.1, 0.3),
            "It also overlaps more than the best map that asks no network, people's map of the other pairs",
        ),
        (
            (-0.2, -0.3, -0.1),
            "overlaps more still: .30, a difference of −.20 (−.30 to −.10). So this run does not show",
        ),
        ((0.1, -0.1, 0.3), "It is not clearly different from the best map that asks no network"),
        ((np.nan, np.nan, np.nan), "No interval of the difference is known."),
    ],
)
def test_a_method_is_measured_by_the_best_map_that_asks_no_network(lead, wanted):
    first = told(run_of(DICE, leads={(EP, "other pairs"): lead}, contrasts=CLEAR))[0]
    assert first.startswith(
        "Extremal Perturbation overlaps more with what people uncovered than CAM at .40 and Grad-CAM"
    )
    assert wanted in first
    assert ("does not show" in first) is (lead[1] <= 0)


@pytest.mark.parametrize(
    ("contrasts", "wanted"),
    [
        (
            CLEAR | {(CAM, EP): (-0.1, -0.2, 0.01)},
            "than Grad-CAM at .35: mean Dice .50 (.50 to .50) over 12 pairs. It is not",
        ),
        ({}, "but not clearly more than CAM at .40 and Grad-CAM at .35."),
    ],
)
def test_a_lead_whose_interval_holds_zero_is_called_not_clear(contrasts, wanted):
    assert wanted in told(run_of(DICE, leads={(EP, "other pairs"): (0.2, 0.1, 0.3)}, contrasts=contrasts))[0]


def test_a_run_of_before_the_intervals_and_one_without_a_dice_have_an_answer_too():
    assert "No interval of the difference is known." in told(run_of(DICE, contrasts=CLEAR))[0]
    assert "No interval" in told(run_of(DICE, {}, contrasts=CLEAR))[0]
    nothing = told(run_of({name: [np.nan] * 12 for name in DICE}))
    assert nothing[0].startswith("Of 40 pictures the 28 members' simple vote names 75.0 % (40.9 to 92.9) right")


@pytest.mark.parametrize(
    ("correlation", "wanted"),
    [
        ((0.5, 0.01), "errors are alike: off the diagonal their confusions correlate at .50 (.30 to .70), p = 0.010"),
        (
            (0.5, 0.2),
            "not shown to be alike: off the diagonal their confusions correlate at .50 (.30 to .70), p = 0.200",
        ),
        ((-0.5, 0.01), "errors are not shown to be alike"),
    ],
)
def test_errors_are_alike_only_off_the_diagonal_and_by_the_exact_test(correlation, wanted):
    run = run_of(DICE, leads={(EP, "other pairs"): (0.2, 0.1, 0.3)}, contrasts=CLEAR, correlation=correlation)
    assert wanted in told(run)[1]


def test_undefined_correlations_say_nothing_of_errors():
    assert "errors" not in told(run_of(DICE, contrasts=CLEAR, correlation=(np.nan, np.nan)))[1]


def test_without_people_the_networks_answer():
    paragraphs = told(run_of(DICE, people="none"))
    assert len(paragraphs) == 2 and "uncovered pictures in this run, so nothing is compared" in paragraphs[1]
    # One picture of eight more is right: a difference of 12.5 points, whose interval holds zero.
    assert "Calling every picture no would be right for 50.0 %." in paragraphs[0]
    assert "The two do not differ clearly: the multiclass network is ahead by 12.5 (0.0 to 37.5) perc" in paragraphs[0]


def test_simulated_people_are_called_simulated():
    values = SHARED | {"people": True, "mixed": True, "real": False, "num_simulated": 4, "participants": 21}
    text = template.head(values | answer.values(run_of(DICE, contrasts=CLEAR)))[1].text
    assert "Of the 21 people in this report 4 are simulated observers" in text
    assert "All people" not in text and "are real" not in text


@pytest.mark.parametrize(("trained", "simple"), [(0.9, ".49"), (0.0, ".48")])
def test_the_paper_is_quoted_for_the_ensemble_that_the_run_trains(trained, simple):
    run = run_of(DICE, people="none")
    run.config.stop_accuracy = trained
    table = paper_numbers.beside_ours(run, {}, MODEL_NAMES).set_index("statistic")
    row = table.loc[f"accuracy, {MODEL_NAMES['ensemble_simple_vote']}"]
    assert row["paper"] == simple and row["ours"] == ".750" and row["95 % interval"] == ".409 to .929"
    assert not [name for name in table.index if "fine" in name.lower()]  # nobody uncovered anything
    run.categories = EXPRESSIONS
    assert paper_numbers.accuracy_of(run, "ensemble_simple_vote") == float(simple)


def test_the_papers_f_follows_from_its_t_values():
    assert sum(t**2 for t in paper_numbers.TUKEY_T.values()) / 3 == pytest.approx(paper_numbers.DICE_F, abs=0.15)


def test_the_command_for_the_papers_other_ensemble_can_be_run(tmp_path):
    (tmp_path / "a run").mkdir()
    (tmp_path / "a run" / "flags.txt").write_text("--max_images=6240\n--stop_accuracy=0.9\n--seed=3\n")
    run = run_of(DICE)
    run.config.out, run.folder.path = str(tmp_path / "a run"), tmp_path / "a run"
    said = methods.other_ensemble(run)
    assert not said["fixed"]
    config = command.parse(StudyConfig, shlex.split(said["to_fixed"])[2:], usage="")
    assert (config.stop_accuracy, config.max_epochs, config.max_images, config.seed) == (0.0, 30, 0, 3)
    assert config.out == str(tmp_path / "a run_30_epochs")
