"""Figures of points and lines: Dice, training, members, recall, correlations (paper Fig. 10 and beyond)."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from fer_jax.expressions import EXPRESSIONS
from fer_jax.figures._style import (
    BLUE,
    GREEN,
    GREY,
    METHOD_COLOURS,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    axes_or_new,
    marked,
    styled,
)

_SERIES = (BLUE, SKY, VERMILION, GREEN, ORANGE, PURPLE)
_STOP_MARKERS = {"target": ("o", BLUE), "max_epochs": ("s", ORANGE), "failed": ("X", VERMILION)}


def draw_dice(
    table: pd.DataFrame,
    ax: Axes | None = None,
    *,
    baselines: pd.DataFrame | None = None,
    simulated: bool = False,
    synthetic: bool = False,
) -> Axes:
    """Box plots of Dice by method, every pair a point, chance levels and baselines as lines (paper Fig. 10).

    Args:
      table: method, dice, chance; one row a pair and method.
      ax: where to draw; a new figure by default.
      baselines: baseline, dice.
      simulated: say that the people are simulated.
      synthetic: say that the faces are.

    Returns:
      The axes.
    """
    methods = list(dict.fromkeys(table["method"]))
    with styled():
        ax = axes_or_new(ax, 6.4, 4.4)
        spread = np.random.default_rng(0)
        for place, method in enumerate(methods):
            own = table[table["method"] == method]
            values = own["dice"].dropna().to_numpy()
            colour = METHOD_COLOURS.get(method, GREY)
            if len(values):
                ax.boxplot(values, positions=[place], widths=0.5, showfliers=False, medianprops={"color": "black"})
                jitter = place + spread.uniform(-0.16, 0.16, len(values))
                ax.scatter(jitter, values, s=14, color=colour, alpha=0.75, linewidths=0, zorder=3)
            chance = own["chance"].mean()
            ax.hlines(chance, place - 0.34, place + 0.34, color="black", linestyles=":", linewidth=1.4)
            ax.text(place + 0.36, chance, "chance", fontsize=7, va="center")
        labels = [f"{method}\nmean {table.loc[table['method'] == method, 'dice'].mean():.2f}" for method in methods]
        ax.set_xticks(range(len(methods)), labels)
        ax.set_xlim(-0.6, len(methods) + 0.35)
        if baselines is not None:
            _baseline_lines(ax, baselines, len(methods) - 0.3)
        ax.set(ylabel="Dice with people's maps", ylim=(0, 1.02))
        known = table.groupby("method")["dice"].count()
        n = f"n = {known.min()} pairs" if known.nunique() == 1 else f"n = {known.min()} to {known.max()} pairs"
        ax.set_title(marked("Overlap of networks' and people's maps", simulated=simulated, synthetic=synthetic, n=n))
    return ax


def _baseline_lines(ax, baselines, x):
    placed: list[float] = []
    for row in baselines.sort_values("dice").itertuples():
        ax.axhline(row.dice, color=GREY, linewidth=0.8, linestyle="--", zorder=0)
        height = row.dice if not placed else max(row.dice, placed[-1] + 0.045)
        placed.append(height)
        ax.text(x, height, f"{row.baseline} {row.dice:.2f}", fontsize=7, color=GREY, va="bottom")


def draw_training(
    metrics: pd.DataFrame, ax: Axes | None = None, *, target: float | None = None, synthetic: bool = False
) -> Axes:
    """Training accuracy of every member against the images it has seen; a line ends where its member stops.

    Args:
      metrics: pair, images, train_accuracy; one row a member and epoch.
      ax: where to draw; a new figure by default.
      target: accuracy at which members stop.
      synthetic: say that the faces are synthetic.

    Returns:
      The axes.
    """
    with styled():
        ax = axes_or_new(ax, 6.4, 4.0)
        last = metrics.groupby("pair")["train_accuracy"].last().sort_values()
        hard = list(last.index[:3])
        for pair, own in metrics.groupby("pair"):
            named = pair in hard
            colour = VERMILION if named else BLUE
            ax.plot(own["images"], own["train_accuracy"], color=colour, linewidth=1, alpha=0.9 if named else 0.4)
            ax.plot(own["images"].iloc[-1], own["train_accuracy"].iloc[-1], ".", color=colour, markersize=5)
        handles = [ax.plot([], [], color=VERMILION, label="lowest at its end: " + ", ".join(hard))[0]]
        if target is not None:
            handles.append(ax.axhline(target, color="black", linewidth=1, linestyle="--", label=f"target {target:g}"))
        ax.legend(handles=handles, frameon=False, fontsize=7, loc="lower right")
        ax.set(xlabel="training images seen (log scale)", ylabel="training accuracy (running)", xscale="log")
        n = f"n = {metrics['pair'].nunique()} members"
        ax.set_title(marked("Training of the binary members", synthetic=synthetic, n=n))
    return ax


def draw_members(members: pd.DataFrame, ax: Axes | None = None, *, synthetic: bool = False) -> Axes:
    """Training and validation accuracy of each member, and why it stopped.

    Args:
      members: pair, train_images, epochs, train_accuracy, validation_accuracy, stopped_by.
      ax: where to draw; a new figure by default.
      synthetic: say that the faces are synthetic.

    Returns:
      The axes.
    """
    table = members.sort_values("validation_accuracy").reset_index(drop=True)
    with styled():
        ax = axes_or_new(ax, 6.4, 0.21 * len(table) + 1.3)
        for place, row in table.iterrows():
            marker, colour = _STOP_MARKERS[row["stopped_by"]]
            ends = sorted((row["validation_accuracy"], row["train_accuracy"]))
            ax.hlines(place, *ends, color=GREY, linewidth=0.8, alpha=0.6)
            ax.plot(row["train_accuracy"], place, "|", color="black", markersize=8)
            ax.plot(row["validation_accuracy"], place, marker, color=colour, markersize=5)
        names = [f"{row.pair} ({row.train_images}, {row.epochs})" for row in table.itertuples()]
        ax.set_yticks(range(len(table)), names, fontsize=7)
        ax.axvline(0.5, color=GREY, linewidth=0.8, linestyle=":")
        ax.set(xlabel="accuracy", ylabel="pair (training images, epochs)")
        present = [stop for stop in _STOP_MARKERS if stop in set(table["stopped_by"])]
        handles = [
            ax.plot(
                [], [], _STOP_MARKERS[stop][0], color=_STOP_MARKERS[stop][1], label=f"validation, stopped by {stop}"
            )[0]
            for stop in present
        ]
        handles.append(ax.plot([], [], "|", color="black", label="training")[0])
        handles.append(ax.plot([], [], ":", color=GREY, label="chance")[0])
        ax.legend(handles=handles, frameon=False, fontsize=7, loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=2)
        ax.set_title(marked("The binary members", synthetic=synthetic, n=f"n = {len(table)}"), pad=34)
    return ax


def draw_recall(recalls: dict[str, dict[str, float]], ax: Axes | None = None, *, synthetic: bool = False) -> Axes:
    """Recall by expression of several models.

    Args:
      recalls: model -> expression -> recall, NaN or None where an expression never came.
      ax: where to draw; a new figure by default.
      synthetic: say that the faces are synthetic.

    Returns:
      The axes.
    """
    with styled():
        ax = axes_or_new(ax, 7.2, 3.9)
        for index, (model, recall) in enumerate(recalls.items()):
            shift = (index - (len(recalls) - 1) / 2) * 0.13
            values = [np.nan if recall[name] is None else recall[name] for name in EXPRESSIONS]
            places = np.arange(len(EXPRESSIONS)) + shift
            ax.plot(places, values, "o", color=_SERIES[index % len(_SERIES)], markersize=5, label=model)
        for place in range(1, len(EXPRESSIONS)):
            ax.axvline(place - 0.5, color=GREY, linewidth=0.4, alpha=0.5)
        ax.axhline(1 / len(EXPRESSIONS), color=GREY, linewidth=0.8, linestyle=":", label="chance")
        ax.set_xticks(range(len(EXPRESSIONS)), EXPRESSIONS)
        ax.set(ylabel="recall", ylim=(-0.03, 1.03))
        ax.legend(frameon=False, fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3)
        ax.set_title(marked("Recall by expression", synthetic=synthetic))
    return ax


def draw_correlations(
    table: pd.DataFrame, ax: Axes | None = None, *, simulated: bool = False, synthetic: bool = False
) -> Axes:
    """Correlation of people's and each network's confusions, with and without the diagonal.

    Args:
      table: model, r_all, r_off_diagonal, p_qap.
      ax: where to draw; a new figure by default.
      simulated: say that the people are simulated.
      synthetic: say that the faces are.

    Returns:
      The axes.
    """
    with styled():
        ax = axes_or_new(ax, 6.4, 0.45 * len(table) + 1.5)
        places = np.arange(len(table))[::-1]
        ax.plot(table["r_all"], places, "o", color=GREY, label="all cells (the paper's)")
        ax.plot(table["r_off_diagonal"], places, "D", color=VERMILION, label="off the diagonal, errors only")
        for place, row in zip(places, table.itertuples(), strict=True):
            if np.isfinite(row.r_off_diagonal):
                text = f"p = {row.p_qap:.3f}" if row.p_qap >= 0.001 else "p < .001"
                ax.annotate(
                    text,
                    (row.r_off_diagonal, place),
                    xytext=(0, 6),
                    textcoords="offset points",
                    fontsize=7,
                    ha="center",
                )
        ax.axvline(0, color="black", linewidth=0.8)
        ax.set_yticks(places, table["model"])
        ax.set(
            xlabel="Pearson r of confusion matrices; exact permutation p",
            xlim=(-1, 1.03),
            ylim=(-0.6, len(table) - 0.3),
        )
        ax.legend(frameon=False, fontsize=7, loc="lower left")
        title = "People and networks: confusions"
        ax.set_title(marked(title, simulated=simulated, synthetic=synthetic, n="n = 64 and 56 cells"))
    return ax
