import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure

from fer_jax import figures
from fer_jax.categories import Categories
from fer_jax.errors import UsageError
from fer_jax.expressions import EXPRESSIONS
from fer_jax.provenance import Provenance

RANDOM = np.random.default_rng(7)
COUNTS = RANDOM.integers(0, 90, (8, 8))
CELLS = pd.DataFrame(
    [(EXPRESSIONS[a], EXPRESSIONS[b], k / 100, 20) for k, (a, b) in enumerate(EXPRESSIONS.ordered_pairs)],
    columns=["true_label", "false_label", "accuracy", "n"],
)
DICE = pd.DataFrame(
    [(p, m, RANDOM.uniform(0.2, 0.8), 0.25) for m in ("CAM", "Grad-CAM") for p in range(28)],
    columns=["unit", "method", "dice", "chance"],
)
MARKED = Provenance(pictures="drawn", people="simulated")
METRICS = pd.DataFrame(
    [
        ("ensemble", EXPRESSIONS.pair_name(p), e, 64 * e, min(0.5 + e * (p + 1) / 100, 0.95))
        for p in range(28)
        for e in range(1, 9)
    ],
    columns=["model", "pair", "epoch", "images", "train_accuracy"],
)
MEMBERS = pd.DataFrame(
    [(EXPRESSIONS.pair_name(p), 1000 + p, 8, 0.91, 0.6 + p / 100, "target" if p else "max_epochs") for p in range(28)],
    columns=["pair", "train_images", "epochs", "train_accuracy", "validation_accuracy", "stopped_by"],
)
CORRELATIONS = pd.DataFrame(
    {"model": ["a", "b"], "r_all": [0.9, np.nan], "r_off_diagonal": [-0.3, 0.2], "p_qap": [5e-4, 0.3]}
)
PICTURES = RANDOM.integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)
MAPS = {"CAM": RANDOM.normal(size=(4, 4)), "Grad-CAM": np.zeros((16, 16))}
RECALL = {"votes": dict.fromkeys(EXPRESSIONS, 0.5), "multiclass": dict.fromkeys(EXPRESSIONS, np.nan)}
LOCATED = pd.DataFrame(
    [
        (method, kind, score, 0.3 + 0.1 * k, 0.2 + 0.1 * k, 0.5 + 0.1 * k, np.nan if score == "swap" else 0.1)
        for score in ("dice", "auc", "swap", "energy")
        for k, (method, kind) in enumerate((("CAM", "network"), ("EP", "network"), ("edges", "none")))
    ],
    columns=["method", "kind", "score", "mean", "ci_low", "ci_high", "chance"],
)
BY_PAIR = pd.DataFrame(
    [(EXPRESSIONS.pair_name(p), m, p / 40 + 0.1 * (m == "EP")) for m in ("EP", "CAM") for p in range(28)],
    columns=["pair_name", "method", "dice"],
)
PEOPLE = np.array([1, 2, 4, 7])
CURVE = pd.DataFrame(
    [
        (source, n, "cc", value, value - 0.02, value + 0.02, value)
        for source, limit in (("gaze", 0.95), ("clicks", 0.7))
        for n, value in zip(PEOPLE, limit * np.sqrt(PEOPLE / (PEOPLE + 1)), strict=True)
    ],
    columns=["source", "people", "score", "mean", "ci_low", "ci_high", "fitted"],
)
PLAN = pd.DataFrame(
    [("gaze", 0.03, 16, 0.95, 1.0, 7), ("clicks", 0.03, 12, 0.7, 1.0, 7), ("clicks", 0.1, 3, 0.7, 1.0, 7)],
    columns=["source", "tolerance", "people", "limit", "half_signal", "largest"],
)

AXES = {
    "confusion": lambda **k: figures.draw_confusion(COUNTS, **k),
    "pair_matrix": lambda **k: figures.draw_pair_matrix(CELLS, "accuracy", **k),
    "scatter": lambda **k: figures.draw_confusion_scatter(COUNTS / 900, COUNTS.T / 90, **k),
    "correlations": lambda **k: figures.draw_correlations(CORRELATIONS, **k),
    "dice": lambda **k: figures.draw_dice(DICE, **k),
    "training": lambda **k: figures.draw_training(METRICS, **k),
    "members": lambda **k: figures.draw_members(MEMBERS, **k),
    "recall": lambda **k: figures.draw_recall(RECALL, **k),
    "located": lambda **k: figures.draw_localisation_score(LOCATED, "dice", **k),
    "pair_scores": lambda **k: figures.draw_pair_scores(BY_PAIR, "dice", **k),
    "people_curve": lambda **k: figures.draw_people_curve(CURVE, "cc", plan=PLAN, floors={"centre": 0.25}, **k),
}
PANELS = {
    "stimuli": lambda **k: figures.draw_stimuli(PICTURES, PICTURES, PICTURES, EXPRESSIONS, **k),
    "clicks": lambda **k: figures.draw_click_sequence([(PICTURES[0], "one"), (PICTURES[1] / 255, "two")], **k),
    "saliency": lambda **k: figures.draw_saliency(PICTURES[0], MAPS, **k),
    "localisation": lambda **k: figures.draw_localisation(LOCATED, **k),
    "grid": lambda **k: figures.draw_saliency_grid(
        [(p, MAPS, n) for p, n in zip(PICTURES[:2], "xy", strict=True)], **k
    ),
}


def words(ax):
    return [text.get_text() for text in ax.texts]


def heading(ax):
    return " ".join([ax.get_title(), ax.get_title(loc="left"), *words(ax)])


@pytest.mark.parametrize("name", AXES)
def test_axes_come_back_and_say_whose_data_they_show(name):
    own = Figure(layout="constrained").add_subplot()
    assert AXES[name](ax=own) is own
    assert "simulated" not in own.get_title() and "synthetic" not in own.get_title()
    drawn = AXES[name](provenance=MARKED)
    assert isinstance(drawn, Axes)
    assert "simulated people" in drawn.get_title() and "synthetic faces" in drawn.get_title()
    drawn.figure.draw_without_rendering()


@pytest.mark.parametrize("name", PANELS)
def test_panels_come_back_and_say_whose_data_they_show(name):
    drawn = PANELS[name](provenance=MARKED)
    assert isinstance(drawn, Figure)
    assert "simulated people" in drawn.get_suptitle() and "synthetic faces" in drawn.get_suptitle()
    assert "simulated" not in PANELS[name]().get_suptitle()
    drawn.draw_without_rendering()


def test_nothing_sticks_out_of_a_figure():
    for name, draw in AXES.items():
        figure = draw(provenance=MARKED).figure
        figure.draw_without_rendering()
        box, tight = figure.bbox_inches, figure.get_tightbbox()
        assert tight.x0 >= -0.02 and tight.x1 <= box.width + 0.02, name
        assert tight.y0 >= -0.02 and tight.y1 <= box.height + 0.02, name


def test_confusion_prints_row_shares_and_colours_by_their_roots():
    counts = np.diag(np.full(8, 49)) + np.diag(np.full(7, 51), 1)
    counts[7] = 0
    ax = figures.draw_confusion(counts, title="T", interval=(0.4, 0.6))
    assert words(ax)[:3] == [".49", ".51", "0"]
    assert words(ax)[56:64] == ["–"] * 8
    np.testing.assert_allclose(ax.images[0].get_array()[0, :3], [0.7, 0.51**0.5, 0])
    assert ax.images[0].get_array().mask[7].all()
    assert "n = 700" in ax.get_title() and "accuracy .49 (95 % .40–.60)" in ax.get_title()
    assert [label.get_text() for label in ax.get_yticklabels()] == list(EXPRESSIONS)
    figures.draw_confusion(np.zeros((8, 8), int)).figure.draw_without_rendering()


def test_pair_matrix_puts_each_cell_where_it_belongs_in_any_row_order():
    shuffled = CELLS.sample(frac=1, random_state=1).replace({"accuracy": {0.05: np.nan}})
    ax = figures.draw_pair_matrix(shuffled, "accuracy")
    shown = np.reshape(words(ax), (8, 8))
    for k, (true, foil) in enumerate(EXPRESSIONS.ordered_pairs):
        assert shown[true, foil] == ("–" if k == 5 else f".{k:02d}")
    assert (np.diagonal(shown) == "").all()
    assert "n = 1,120 answers" in ax.get_title()


def test_scatter_leaves_out_the_diagonal_and_unknown_cells():
    human = COUNTS / 900
    human[2] = np.nan
    ax = figures.draw_confusion_scatter(human, COUNTS / 90)
    assert len(ax.collections[0].get_offsets()) == 49
    assert "n = 49" in ax.get_title()


def test_correlations_print_both_r_and_p():
    said = words(figures.draw_correlations(CORRELATIONS))
    assert {".90", "–", "−.30", ".20", "< .001", ".300"} <= set(said)


def test_correlations_draw_the_intervals_that_there_are():
    assert "interval" not in heading(figures.draw_correlations(CORRELATIONS))
    ax = figures.draw_correlations(CORRELATIONS.assign(ci_low=[-0.6, np.nan], ci_high=[0.1, np.nan]))
    segments = [
        part[:, 0].tolist()
        for each in ax.collections
        if isinstance(each, LineCollection)
        for part in each.get_segments()
        if len(part)
    ]
    assert [-0.6, 0.1] in segments
    assert ax.get_xlim()[0] <= -0.7
    assert "95 % interval" in heading(ax)


def test_dice_counts_pairs_and_prints_means_chance_and_baselines():
    table = DICE.copy()
    table.loc[0, "dice"] = np.nan
    baselines = pd.DataFrame({"baseline": ["centre", "lost"], "dice": [0.71, np.nan]})
    ax = figures.draw_dice(table, intervals={"CAM": (0.41, 0.59)}, baselines=baselines)
    first, second = (label.get_text() for label in ax.get_xticklabels())
    assert first.startswith("CAM\n") and "n = 27 pairs" in first and "n = 28 pairs" in second
    assert f"mean {DICE['dice'][28:].mean():.2f}"[6:] in second
    assert "(.41–.59)" in first and "(no interval)" in second
    assert sum(tuple(line.get_ydata()) == (0.41, 0.59) for line in ax.lines) == 1
    assert "95 % interval over pairs" in ax.get_title(loc="left") + ax.get_title() + " ".join(words(ax))
    assert "chance\n.25" in words(ax) and "centre .71" in words(ax)
    assert not any("lost" in text for text in words(ax))


def test_training_draws_a_line_a_member_and_tells_who_reached_the_target():
    ax = figures.draw_training(METRICS, target=0.9)
    assert sum(len(line.get_xdata()) == 8 for line in ax.lines) == 28
    _, labels = ax.get_legend_handles_labels()
    reached = int((METRICS.groupby("pair")["train_accuracy"].last() >= 0.9).sum())
    assert f"reached the target ({reached})" in labels and "target 90 %" in labels


def test_members_that_train_to_their_limit_are_held_to_no_target():
    _, labels = figures.draw_training(METRICS, target=None).get_legend_handles_labels()
    assert labels == ["trained to its limit (28)", "chance 50 %"]
    _, labels = figures.draw_members(MEMBERS.assign(stopped_by="max_images"), target=None).get_legend_handles_labels()
    assert labels == ["stopped at the limit of images (28)"]


def test_members_are_sorted_and_bear_unknown_values():
    members = MEMBERS.copy()
    members.loc[3, ["train_accuracy", "validation_accuracy"]] = np.nan
    members.loc[3, "stopped_by"] = "failed"
    ax = figures.draw_members(members)
    assert [label.get_text() for label in ax.get_yticklabels()][:2] == [
        EXPRESSIONS.pair_name(3),
        EXPRESSIONS.pair_name(0),
    ]
    assert "n = 28 members" in ax.get_title()
    assert "failed (1)" in ax.get_legend_handles_labels()[1]


def test_a_map_that_does_not_vary_is_said_to_be_so():
    figure = figures.draw_saliency(PICTURES[0], MAPS | {"people": np.full((2, 2), np.nan)})
    said = [text for ax in figure.axes for text in words(ax)]
    assert said == ["map does\nnot vary", "no map"]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_notes_of_an_explained_picture_fit_however_narrow_it_is(count):
    maps = {f"Extremal\xa0Perturbation for {name}": RANDOM.normal(size=(4, 4)) for name in "abc"[:count]}
    notes = ["predicted: surprise (probability .99)", "explained: surprise, not contempt"]
    figure = figures.draw_saliency(PICTURES[0], maps, title="holiday/one of them.jpg", notes=notes)
    figure.draw_without_rendering()
    said = figure.get_suptitle().replace("\n", " ")
    assert all(note in said for note in notes) and "each map by its own range" in said and "n = 1" not in said
    assert figure.get_tightbbox().x1 <= figure.bbox_inches.width + 0.02
    assert figure.get_tightbbox().y1 <= figure.bbox_inches.height + 0.02
    below = figure.texts[0].get_window_extent().y0 if figure.texts else figure._suptitle.get_window_extent().y0
    assert all(ax.title.get_window_extent().y1 <= below + 1 for ax in figure.axes)


def test_recall_keeps_models_apart():
    _, labels = figures.draw_recall(RECALL).get_legend_handles_labels()
    assert labels[:2] == ["votes (mean .50)", "multiclass (mean –)"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: figures.draw_confusion(COUNTS[:7]), "`counts`: wanted shape"),
        (lambda: figures.draw_confusion(COUNTS / 90), "`counts`: wanted whole numbers"),
        (lambda: figures.draw_pair_matrix(pd.concat([CELLS, CELLS[:1]]), "accuracy"), "`table`: wanted two labels"),
        (lambda: figures.draw_confusion_scatter(COUNTS, COUNTS[:2]), "`model`"),
        (lambda: figures.draw_stimuli(PICTURES, PICTURES[:7], PICTURES, EXPRESSIONS), "`veiled`"),
        (lambda: figures.draw_click_sequence([]), "`pictures`"),
        (lambda: figures.draw_saliency(PICTURES[0], {}), "`maps`"),
        (lambda: figures.draw_saliency_grid([(PICTURES[0], MAPS, ""), (PICTURES[0], {"x": 0}, "")]), "`rows`"),
        (lambda: figures.draw_members(MEMBERS.assign(stopped_by="bored")), "'bored'"),
        (lambda: figures.draw_recall({"votes": {"happy": 1, "sad": 1}, "other": {"happy": 1}}), "other lacks sad"),
        (lambda: figures.draw_recall({}), "`scores`"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(UsageError, match=words):
        call()


def test_scores_of_localisation_stand_beside_chance():
    ax = figures.draw_localisation_score(LOCATED, "dice")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["CAM", "EP", "edges"]
    marks = [part for part in ax.collections if isinstance(part, PathCollection)]
    points = [tuple(point) for part in marks for point in np.ma.getdata(part.get_offsets())]
    assert np.allclose(sorted(points), [(0.3, 0), (0.4, 1), (0.5, 2)])
    (chance,) = ax.lines
    assert set(chance.get_xdata()) == {0.1} and chance.get_label() == "chance"
    assert not figures.draw_localisation_score(LOCATED, "swap").lines  # none is known
    figure = figures.draw_localisation(LOCATED, names={"dice": "Dice"}, notes=["n = 3"])
    assert [ax.get_title(loc="center") for ax in figure.axes[:4]] == ["Dice", "auc", "swap", "energy"]
    assert "n = 3" in figure.get_suptitle()
    with pytest.raises(UsageError, match="`score`: wanted one of dice, auc, swap, energy, got 'iou'"):
        figures.draw_localisation_score(LOCATED, "iou")
    with pytest.raises(UsageError, match="`table`: wanted at least one row"):
        figures.draw_localisation(LOCATED[:0])


def test_pairs_are_sorted_by_how_well_they_are_found():
    table = BY_PAIR.sample(frac=1, random_state=2).sort_values("method", kind="stable")
    table.loc[table["pair_name"] == EXPRESSIONS.pair_name(3), "dice"] = np.nan
    ax = figures.draw_pair_scores(table, "dice")
    pairs = [label.get_text() for label in ax.get_yticklabels()]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["CAM", "EP"]
    assert pairs == [EXPRESSIONS.pair_name(p) for p in (*range(27, 3, -1), 2, 1, 0, 3)]
    shown = np.reshape(words(ax), (28, 2))
    assert list(shown[0]) == [".68", ".78"] and list(shown[-1]) == ["–", "–"]
    with pytest.raises(UsageError, match="`table`: wanted each pair once a method"):
        figures.draw_pair_scores(pd.concat([BY_PAIR, BY_PAIR[:1]]), "dice")


def test_a_region_is_outlined_on_every_map_of_its_row():
    rows = [(p, MAPS, n) for p, n in zip(PICTURES[:2], "xy", strict=True)]
    region = np.zeros((8, 8), bool)
    region[2:4, 4:6] = True
    figure = figures.draw_saliency_grid(rows, outlines=[region, region])
    for place, ax in enumerate(figure.axes[:6]):
        lines = [line for part in ax.collections for line in part.get_paths() if len(line.vertices)]
        assert len(lines) == (0 if place % 3 == 0 else 1)
        if lines:  # cells of two pixels: rows 4 to 7, columns 8 to 11
            x, y = lines[0].vertices.T
            assert (x.min(), x.max(), y.min(), y.max()) == (7.5, 11.5, 3.5, 7.5)
    for outlines, said in (([region], "one region a row, 2, got 1"), ([region, 1.0 * region], "boolean maps")):
        with pytest.raises(UsageError, match=f"`outlines`: wanted {said}"):
            figures.draw_saliency_grid(rows, outlines=outlines)


def test_one_pair_has_a_mean_and_no_interval():
    unknown = dict.fromkeys(("CAM", "Grad-CAM"), (np.nan, np.nan))
    ax = figures.draw_dice(DICE[DICE["unit"] == DICE["unit"][0]], intervals=unknown)
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert all("(no interval)" in label and label.endswith("n = 1 pair") for label in labels)


@pytest.mark.parametrize("count", [2, 3, 4, 7])
def test_any_number_of_categories_fits_into_its_figures(count):
    categories = Categories(tuple(f"category {number}" for number in range(count)))
    counts = np.random.default_rng(count).integers(5, 40, (count, count))
    shares = counts / counts.sum(1, keepdims=True)
    table = pd.DataFrame(
        [(categories[a], categories[b], 0.5, 9) for a, b in categories.ordered_pairs],
        columns=["true_label", "false_label", "accuracy", "n"],
    )
    about = {"categories": categories, "provenance": MARKED}
    drawn = [
        figures.draw_confusion(counts, title="Fine-tuned, weighted vote", interval=(0.4, 0.6), **about),
        figures.draw_pair_matrix(table, "accuracy", title="Time from first click to decision (s)", **about),
        figures.draw_confusion_scatter(shares, shares.T, **about),
        figures.draw_recall({"Ensemble, simple vote": dict(zip(categories, shares.diagonal(), strict=True))}),
    ]
    assert [label.get_text() for label in drawn[0].get_xticklabels()] == list(categories)
    for ax in drawn:
        ax.figure.draw_without_rendering()
        box, tight = ax.figure.bbox_inches, ax.figure.get_tightbbox()
        assert tight.x0 >= -0.01 and tight.x1 <= box.x1 + 0.01 and tight.y1 <= box.y1 + 0.01
    assert f"chance {100 / count:.3g} %" in drawn[3].get_legend_handles_labels()[1]
    assert "Recall by category" in drawn[3].get_title()


def test_a_matrix_of_another_size_than_its_categories_is_named():
    with pytest.raises(UsageError, match=r"wanted shape \(2, 2\), one row a category, got \(8, 8\)"):
        figures.draw_confusion(np.ones((8, 8), int), categories=Categories(("genuine", "posed")))


def test_a_curve_over_people_goes_on_to_those_that_the_plan_wants():
    ax = figures.draw_people_curve(CURVE, "cc", plan=PLAN, floors={"centre": 0.25})
    assert words(ax) == [".03 below its limit:\n16 people", ".03 below its limit:\n12 people", "centre .25"]
    ends = [line.get_xdata()[-1] for line in ax.lines if line.get_linestyle() == "--"]
    np.testing.assert_allclose(ends, [16, 12])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["gaze", "clicks"]
    # A plan that is met within the data draws no line beyond it.
    within = figures.draw_people_curve(CURVE, "cc", plan=PLAN[PLAN["source"] == "clicks"], tolerance=0.1)
    assert words(within) == [".10 below its limit:\n3 people"]
    assert max(line.get_xdata()[-1] for line in within.lines) == 7
    with pytest.raises(UsageError, match="`score`: wanted one of cc, got 'nss'"):
        figures.draw_people_curve(CURVE, "nss")
    with pytest.raises(UsageError, match=r"`tolerance`: wanted one of the plan's, 0\.03, 0\.1, got 0\.5"):
        figures.draw_people_curve(CURVE, "cc", plan=PLAN, tolerance=0.5)


def test_wide_pictures_take_low_rows():
    rows = [(np.zeros((16, side, 3)), {"gaze": np.eye(4)}, "a") for side in (16, 32)]
    square, wide = (figures.draw_saliency_grid([row]).get_size_inches() for row in rows)
    assert square[0] == wide[0]
    assert square[1] - wide[1] == pytest.approx(0.65)


def _specifications():
    """Two choices of two values each, and three methods."""
    random = np.random.default_rng(0)
    table = pd.DataFrame({"unit": ["pair", "pair", "image", "image"], "area": [0.1, 0.2, 0.1, 0.2]})
    for name in ("a", "b", "c", "centre", "other pairs"):
        table[f"dice_{name}"] = random.random(4)
    return table


def test_specifications_are_sorted_by_the_lead_and_the_paper_s_is_marked():
    table = _specifications()
    names = {"a": "First", "b": "Second", "c": "Third"}
    paper = table["area"].eq(0.1) & table["unit"].eq("pair")
    drawn = figures.draw_multiverse(table, names, ["unit", "area"], paper=paper)
    lead, means, choices = drawn.axes
    shown = np.sort(np.concatenate([dots.get_offsets()[:, 1] for dots in lead.collections]))
    wanted = table["dice_a"] - table[["dice_b", "dice_c"]].max(axis=1)
    np.testing.assert_allclose(shown, np.sort(wanted))
    order = np.argsort(wanted.to_numpy())
    place = int(np.flatnonzero(order == 0)[0])
    assert [line.get_xdata()[0] for line in lead.lines if line.get_linestyle() == "--"] == [place]
    np.testing.assert_allclose(means.collections[1].get_offsets()[:, 1], table["dice_b"].to_numpy()[order])
    labels = [label.get_text() for label in choices.get_yticklabels()]
    assert sorted(labels[:2]) == ["unit: image", "unit: pair"]
    assert labels[2:] == ["area: 0.1", "area: 0.2"]
    with pytest.raises(UsageError, match="`methods`: wanted two or more, got a"):
        figures.draw_multiverse(table, {"a": "First"}, ["unit"])
    with pytest.raises(UsageError, match="lacks nothing"):
        figures.draw_multiverse(table, names, ["nothing"])


def test_cells_of_a_face_are_drawn_in_a_row_a_method_with_unknown_cells_pale():
    maps = np.arange(24.0).reshape(2, 4, 3)
    maps[:, 3] = np.nan
    drawn = figures.draw_face_cells({"People": maps, "CAM": maps + 1}, ["happy", "sad"])
    panels = [ax for ax in drawn.axes if ax.images]
    assert [ax.get_title() for ax in panels] == ["happy", "sad", "", ""]
    assert [ax.get_ylabel() for ax in panels] == ["People", "", "CAM", ""]
    shown = panels[2].images[0].get_array()
    np.testing.assert_array_equal(shown.filled(-1), np.nan_to_num(maps[0] + 1, nan=-1))


def test_the_frame_of_a_face_shows_points_and_cells():
    points = np.array([[9.5, 9.5], [19.5, 9.5], [14.5, 29.5]])
    ax = figures.draw_face_frame(np.zeros((8, 6)), points, cell_px=5, shape=(8, 6))
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), points + 0.5)
    assert len(ax.lines) == 9 + 7
    assert ax.images[0].get_extent() == [0, 30, 40, 0]
