"""The networks' training and what they learned: curves, the members, recall by category."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from fer_jax.errors import UsageError
from fer_jax.expressions import noun_of
from fer_jax.figures import style
from fer_jax.provenance import UNKNOWN, Provenance

TARGET = 0.9  # §5.1: training stops at 90 %
_STOPS = {
    "target": ("o", style.BLUE, "stopped at the target"),
    "max_epochs": ("s", style.VERMILLION, "stopped at the limit of epochs"),
    "max_images": ("D", style.ORANGE, "stopped at the limit of images"),
    "failed": ("X", style.INK, "failed"),
}


@style.styled
def draw_training(
    metrics: pd.DataFrame,
    ax: Axes | None = None,
    *,
    target: float | None = TARGET,
    title: str = "Training accuracy of the members",
    provenance: Provenance = UNKNOWN,
) -> Axes:
    """Draw a thin line for each member and a dot where it ends, coloured by whether the target was reached.

    Args:
      metrics: long, one row a member and epoch: model, pair, epoch, images, train_accuracy (0..1).
      ax: where to draw, a new figure if None.
      target: the accuracy at which a member stops, None if it trains to its limit.
      title: what is shown.
      provenance: what pictures and people are, for the heading.

    Returns:
      The axes.

    Raises:
      UsageError: a column is missing.
    """
    style.need_columns("metrics", metrics, ("model", "pair", "epoch", "images", "train_accuracy"))
    ax = style.axes_of(ax, 7.4, 4.6)
    known = metrics[metrics["train_accuracy"].notna()].sort_values("epoch", kind="stable")
    lines = [
        (str(pair), own["epoch"].to_numpy(np.float64), own["train_accuracy"].to_numpy(np.float64))
        for (_, pair), own in known.groupby(["model", "pair"], sort=False)
    ]
    kinds = [(True, style.BLUE, "o", "reached the target"), (False, style.VERMILLION, "s", "did not")]
    if target is None:
        kinds = [(False, style.BLUE, "o", "trained to its limit")]
    for reached, colour, marker, words in kinds:
        own = [line for line in lines if (target is not None and line[2][-1] >= target) == reached]
        for _, epochs, values in own:
            ax.plot(epochs, values, color=colour, linewidth=0.9, alpha=0.55)
        if own:
            ends = np.asarray([(epochs[-1], values[-1]) for _, epochs, values in own])
            ax.scatter(*ends.T, s=22, marker=marker, color=colour, zorder=3, label=f"{words} ({len(own)})")
    if target is not None:
        ax.axhline(target, color=style.INK, linewidth=1.2, linestyle="--", label=_target(target))
    ax.axhline(0.5, color=style.GREY, linewidth=1, linestyle=":", label="chance 50 %")
    lowest = min((values.min() for _, _, values in lines), default=0.5)
    ax.set_ylim(min(0.45, lowest - 0.03), 1.01)
    _name_ends(ax, lines, 0.0 if target is None else target)
    _percent(ax.yaxis)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("epoch")
    ax.set_ylabel("training accuracy")
    ax.grid(True)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=4, columnspacing=1.4)
    notes = [f"n = {len(lines)} members"]
    return style.set_heading(ax, title, notes, provenance=provenance, width=76)


@style.styled
def draw_members(
    members: pd.DataFrame,
    ax: Axes | None = None,
    *,
    target: float | None = TARGET,
    title: str = "The members: training and validation accuracy",
    provenance: Provenance = UNKNOWN,
) -> Axes:
    """Draw every member's two accuracies on one line, sorted by validation accuracy.

    Args:
      members: one row a member: pair (name), train_images, epochs, train_accuracy, validation_accuracy (0..1, NaN where
        unknown), stopped_by ("target", "max_epochs", "max_images" or "failed").
      ax: where to draw, a new figure if None.
      target: the accuracy at which a member stops, None if it trains to its limit.
      title: what is shown.
      provenance: what pictures and people are, for the heading.

    Returns:
      The axes.

    Raises:
      UsageError: a column is missing, or `stopped_by` holds another word.
    """
    columns = ("pair", "train_images", "epochs", "train_accuracy", "validation_accuracy", "stopped_by")
    style.need_columns("members", members, columns)
    unknown = sorted({str(word) for word in members["stopped_by"]} - set(_STOPS))
    if unknown:
        raise UsageError(f"`members`: wanted stopped_by to be one of {', '.join(_STOPS)}, got {unknown[0]!r}.")
    members = members.sort_values("validation_accuracy", kind="stable", na_position="first")
    ax = style.axes_of(ax, 7.4, 1.5 + 0.235 * max(len(members), 4))
    places = np.arange(len(members))
    train = members["train_accuracy"].to_numpy(np.float64)
    validation = members["validation_accuracy"].to_numpy(np.float64)
    ax.hlines(places, train, validation, color=style.PALE, linewidth=3, zorder=1)
    for stop, (marker, colour, words) in _STOPS.items():
        own = (members["stopped_by"] == stop).to_numpy(bool)
        if own.any():
            label = f"{words} ({own.sum()})"
            ax.scatter(validation[own], places[own], marker=marker, s=34, color=colour, zorder=3, label=label)
            ax.scatter(train[own], places[own], marker=marker, s=34, facecolor="white", edgecolor=colour, zorder=2)
    if target is not None:
        ax.axvline(target, color=style.INK, linewidth=1.2, linestyle="--", label=_target(target))
    ax.set_yticks(places, [str(name) for name in members["pair"]], fontsize=8.5)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(-0.7, len(members) - 0.3)
    ax.set_xlim(min(0.48, float(np.nanmin([*train, *validation, 0.5])) - 0.02), 1.01)
    side = ax.get_yaxis_transform()
    for place, images, epochs in zip(places, members["train_images"], members["epochs"], strict=True):
        words = f"{style.count(images)} · {style.count(epochs)}"
        ax.text(1.02, float(place), words, transform=side, va="center", fontsize=8, color=style.GREY)
    ax.text(1.02, len(members), "images · epochs", transform=side, va="center", fontsize=8, color=style.GREY)
    _percent(ax.xaxis)
    ax.grid(True, axis="x")
    ax.set_xlabel("accuracy: filled validation, open training")
    ax.figure.legend(loc="outside lower center", ncols=3)
    notes = [f"n = {len(members)} member{'s' * (len(members) != 1)}"]
    return style.set_heading(ax, title, notes, provenance=provenance, width=56)


@style.styled
def draw_recall(
    scores: Mapping[str, Mapping[str, float]],
    ax: Axes | None = None,
    *,
    title: str | None = None,
    provenance: Provenance = UNKNOWN,
) -> Axes:
    """Draw the share of each category that each model recognises. Where a model leans, its dots scatter.

    Args:
      scores: model -> category -> recall 0..1, in one order. NaN or None where there was no picture.
      ax: where to draw, a new figure if None.
      title: what is shown. None stands for "Recall by expression", or for "Recall by category" where others than
        the paper's are among them.
      provenance: what pictures and people are, for the heading.

    Returns:
      The axes.

    Raises:
      UsageError: no model, or a model lacks a category of another.
    """
    if not scores:
        raise UsageError("`scores`: wanted at least one model with its recalls, got none.")
    categories = list(next(iter(scores.values())))
    ax = style.axes_of(ax, 7.6, 4.6)
    places = np.arange(len(categories))
    for place in places[::2]:
        ax.axvspan(place - 0.5, place + 0.5, color="#f6f6f6", zorder=0)
    for model, (name, recalls) in enumerate(scores.items()):
        lacking = [category for category in categories if category not in recalls]
        if lacking:
            raise UsageError(f"`scores`: wanted a recall for every category, {name} lacks {', '.join(lacking)}.")
        values = np.asarray([recalls[category] for category in categories], np.float64)
        mean = style.number(float(np.nanmean(values)) if np.isfinite(values).any() else None)
        ax.scatter(
            places + 0.6 * ((model + 0.5) / len(scores) - 0.5),
            values,
            s=38,
            marker=style.MARKERS[model % len(style.MARKERS)],
            color=style.PALETTE[model % len(style.PALETTE)],
            label=f"{name} (mean {mean})",
            zorder=3,
        )
    chance = 1 / len(categories)
    ax.axhline(chance, color=style.GREY, linewidth=1, linestyle=":", label=f"chance {100 * chance:.3g} %")
    ax.set_xticks(places, categories)
    ax.tick_params(axis="x", length=0)
    ax.set_xlim(-0.5, len(categories) - 0.5)
    ax.set_ylim(-0.02, 1.02)
    _percent(ax.yaxis)
    ax.grid(True, axis="y")
    ax.set_ylabel("recall")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.07), ncols=2)
    title = title or f"Recall by {noun_of(categories)}"
    notes = [f"n = {len(scores)} models"]
    return style.set_heading(ax, title, notes, provenance=provenance, width=76)


def _target(target):
    return f"target {100 * target:g} %"


def _percent(axis):
    axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))


def _name_ends(ax, lines, target):
    """Write the names of the members that ended farthest below the target, left of their ends."""
    below = sorted((line for line in lines if line[2][-1] < target), key=lambda line: line[2][-1])[:3]
    low, high = ax.get_ylim()
    heights = style.spread(np.asarray([values[-1] for _, _, values in below]), 0.04 * (high - low), low, high)
    for (name, epochs, values), height in zip(below, heights, strict=True):
        side = ax.get_yaxis_transform()
        pointer = {"arrowstyle": "-", "color": style.VERMILLION, "lw": 0.6}
        where = {"xytext": (1.01, height), "textcoords": side, "va": "center", "arrowprops": pointer}
        ax.annotate(name, (epochs[-1], values[-1]), **where, fontsize=8, color=style.VERMILLION)
