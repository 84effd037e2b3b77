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
from fer_jax.compare.agreement import HALF
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


NAMES = ["no", "yes", "maybe", "never"]
# Rows true. People and the vote take "no" and "yes" for each other, and have no other error in common.
PEOPLE = np.array([[5, 4, 1, 0], [4, 5, 0, 1], [0, 1, 9, 0], [1, 0, 0, 9]])
VOTE = [[2, 2, 0, 0], [2, 2, 0, 0], [0, 0, 4, 0], [0, 0, 0, 4]]
OTHER = [[4, 0, 0, 0], [0, 4, 0, 0], [0, 0, 3, 1], [0, 0, 1, 3]]


def predicted(counts):
    return np.concatenate([np.repeat(np.arange(4), row) for row in counts])


def run_of(dice, baselines=None, *, leads=None, contrasts=None, people="real", correlation=(0.1, 0.4), half=None):
    """A run whose methods have these Dice, one list a method, over pairs."""
    pairs = PAIRS[: len(next(iter(dice.values())))]
    baselines = {"other pairs": 0.3, "centre": 0.2} if baselines is None else baselines
    tables = {
        "dice": pd.concat([pd.DataFrame({"unit": pairs, "method": name, "dice": each}) for name, each in dice.items()]),
        "dice_baselines": pd.DataFrame({"baseline": [*baselines], "dice": np.array([*baselines.values()], float)}),
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
        "pair_answers": pd.DataFrame(
            [
                ("accuracy of members", 0.9, 0.87, 0.92),
                ("κ of people with members", 0.05, -0.01, 0.12),
                ("κ of people with people", 0.22, 0.16, 0.27),
            ],
            columns=["statistic", "value", "low", "high"],
        ),
        **{
            f"confusion_{name}": pd.DataFrame(counts, columns=NAMES)
            for name, counts in (
                ("ensemble_simple_vote", VOTE),
                ("ensemble_weighted_vote", VOTE),
                ("multiclass", OTHER),
            )
        },
    }
    if leads is not None:
        rows = [(method, name, *ends, len(pairs)) for (method, name), ends in leads.items()]
        columns = ["method", "baseline", "difference", "low", "high", "n"]
        tables["dice_over_baselines"] = pd.DataFrame(rows, columns=columns)
    if half is not None:
        columns = ["metric", "source", "value", "low", "high"]
        tables["agreement"] = pd.DataFrame([("dice", HALF, *half)], columns=columns)
    rows = [("pair", "paired", *names, p, len(pairs)) for names, p in (contrasts or {}).items()]
    tables["contrasts"] = pd.DataFrame(rows, columns=["unit", "test", "a", "b", "p", "n"])
    arrays = {
        "predictions": {
            "labels": np.repeat(np.arange(4), 4),
            # Members of all pairs that let the simple vote say what VOTE says.
            "ensemble_logits": _ballots(predicted(VOTE)),
            "multiclass_logits": np.eye(4, dtype=np.float32)[predicted(OTHER)],
        },
        "people_confusion": {"counts": PEOPLE},
    }
    categories = Categories(NAMES)
    offered = [(categories[true], categories[foil]) for true, foil in categories.ordered_pairs]
    return types.SimpleNamespace(
        folder=Folder(tables, arrays),
        categories=categories,
        study_table=pd.DataFrame(offered, columns=["true_label", "false_label"]),
        provenance=Provenance(pictures="photographs", people=people),
        config=types.SimpleNamespace(seed=0, stop_accuracy=0.9),
    )


def _ballots(wanted):
    pairs = np.asarray(Categories(NAMES).pairs)
    return np.stack([np.stack([wanted == first, wanted == second], -1) for first, second in pairs]).astype(np.float32)


def told(run):
    """The answer's paragraphs."""
    values = SHARED | {"people": run.provenance.has_people} | answer.values(run)
    return template.head(values)[1].text.split("\n\n")


EP, CAM, GRAD = "extremal_perturbation", "cam", "grad_cam"
DICE = {EP: [0.5] * 12, CAM: [0.4] * 12, GRAD: [0.35] * 12}
CLEAR = {(CAM, EP): 0.001, (GRAD, EP): 0.001, (CAM, GRAD): 0.2}


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


def test_a_baseline_that_no_map_could_beat_is_called_that_and_the_middle_is_named():
    leads = {(EP, "other pairs"): (-0.2, -0.3, -0.1), (EP, "centre"): (0.3, 0.2, 0.4)}
    first = told(run_of(DICE, leads=leads, contrasts=CLEAR, half=(0.31, 0.29, 0.33)))[0]
    assert "one half of people reaches .31 on the other half, hardly more than that map" in first
    assert first.endswith("is above a blob in the middle by .30 (.20 to .40).")
    assert "other half" not in told(run_of(DICE, leads=leads, contrasts=CLEAR, half=(0.5, 0.4, 0.6)))[0]


@pytest.mark.parametrize(
    ("contrasts", "wanted"),
    [
        (CLEAR | {(CAM, EP): 0.2}, "than Grad-CAM at .35: mean Dice .50 (.50 to .50) over 12 pairs. It is not clearly"),
        (dict.fromkeys(CLEAR, 0.2), "but not clearly more than CAM at .40 and Grad-CAM at .35."),
        ({}, "These are too few pairs to compare it with CAM at .40 and Grad-CAM at .35."),
    ],
)
def test_a_lead_counts_by_its_corrected_p(contrasts, wanted):
    assert wanted in told(run_of(DICE, leads={(EP, "other pairs"): (0.2, 0.1, 0.3)}, contrasts=contrasts))[0]


def test_of_two_pairs_nothing_is_claimed():
    few = {name: values[:2] for name, values in DICE.items()}
    first = told(run_of(few, leads={(EP, "other pairs"): (0.2, 0.1, 0.3)}, contrasts=CLEAR))[0]
    assert "too few pairs" in first and "No interval of the difference is known." in first


def test_a_run_of_before_the_intervals_and_one_without_a_dice_have_an_answer_too():
    assert "No interval of the difference is known." in told(run_of(DICE, contrasts=CLEAR))[0]
    assert "No interval" in told(run_of(DICE, {}, contrasts=CLEAR))[0]
    nothing = told(run_of({name: [np.nan] * 12 for name in DICE}))
    assert nothing[0].startswith("Of 40 pictures the simple vote of the 28 members names 75.0 % (50.5 to 89.8) right")


@pytest.mark.parametrize(
    ("correlation", "wanted"),
    [
        ((0.5, 0.01), "confusions correlate at .50 (.30 to .70), p = .010, all of it for no and yes taken"),
        (
            (0.5, 0.2),
            "not shown to be alike: over the error cells their confusions correlate at .50 (.30 to .70), p = .200",
        ),
    ],
)
def test_the_errors_of_people_and_vote_are_told_over_the_error_cells(correlation, wanted):
    run = run_of(DICE, contrasts=CLEAR, correlation=correlation)
    second = told(run)[1]
    assert wanted in second
    assert "κ .05 (−.01 to .12), and .22 (.16 to .27) between two people" in second
    assert "right in 83.9 % of 1000 trials and the members in 90.0 % (87.0 to 92.0)." in second


def test_the_two_labels_that_carry_a_correlation_are_named():
    found = answer.values(run_of(DICE, contrasts=CLEAR, correlation=(0.5, 0.01)))
    assert found["errors_pair"] == "no and yes"
    model, human = np.asarray(VOTE) / 4, PEOPLE / 10
    kept = ~np.eye(4, dtype=bool)
    kept[0, 1] = kept[1, 0] = False
    assert (model[kept] == 0).all() and not found["errors_left"]  # a constant correlates with nothing
    assert np.corrcoef(human[~np.eye(4, dtype=bool)], model[~np.eye(4, dtype=bool)])[0, 1] > 0.9


def test_undefined_correlations_say_nothing_of_errors():
    assert "error cells" not in told(run_of(DICE, contrasts=CLEAR, correlation=(np.nan, np.nan)))[1]


def test_without_people_the_networks_answer():
    paragraphs = told(run_of(DICE, people="none"))
    assert len(paragraphs) == 2 and "uncovered pictures in this run, so nothing is compared" in paragraphs[1]
    assert "Guessing is right for 25.0 %." in paragraphs[0]
    # Two pictures of sixteen more are right, whose interval holds zero.
    assert "The two do not differ clearly: the multiclass network is ahead by 12.5 (" in paragraphs[0]
    run = run_of(DICE, people="none")
    arrays = run.folder.arrays["predictions"]
    run.folder.arrays["predictions"] = {
        name: each[..., 2:, :] if each.ndim > 1 else each[2:] for name, each in arrays.items()
    }
    run.folder.arrays["predictions"]["multiclass_logits"] = arrays["multiclass_logits"][2:] * -1
    assert "Guessing" in told(run)[0] and "The vote is better, by " in told(run)[0]


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
    assert row["paper"] == simple and row["ours"] == ".750" and row["95 % interval"] == ".505 to .898"
    assert not [name for name in table.index if "fine" in name.lower()]  # nobody uncovered anything
    run.categories = EXPRESSIONS
    assert paper_numbers.accuracy_of(run, "ensemble_simple_vote") == float(simple)


def test_of_unequal_classes_the_balanced_accuracy_stands_beside_the_papers():
    run = run_of(DICE, people="none")
    equal = paper_numbers.beside_ours(run, {}, MODEL_NAMES)
    assert not equal["statistic"].str.startswith("balanced").any()
    unequal = [[8, 0, 0, 0], [2, 2, 0, 0], [0, 0, 4, 0], [0, 0, 0, 0]]
    run.folder.tables["confusion_multiclass"] = pd.DataFrame(unequal, columns=NAMES)
    table = paper_numbers.beside_ours(run, {}, MODEL_NAMES).set_index("statistic")
    assert table.loc[f"accuracy, {MODEL_NAMES['multiclass']}", "ours"] == ".875"
    assert table.loc[f"balanced accuracy, {MODEL_NAMES['multiclass']}", ["paper", "ours"]].tolist() == [".54", ".833"]


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
