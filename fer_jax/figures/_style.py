"""How every figure looks, and how it is saved: the same bytes for the same numbers.

Contract: figures are made through matplotlib's object interface, so drawing neither needs nor changes global state.
"""

import os
import pathlib

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart with any common colour vision.
BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#767676",
)  # fmt: skip
METHOD_COLOURS = {"CAM": BLUE, "Grad-CAM": SKY, "Extremal Perturbation": VERMILION}

_LOOK = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "fer_jax",
    "svg.fonttype": "path",
}
DPI = 150


def styled():
    """A context in which figures get the project's look."""
    return mpl.rc_context(_LOOK)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches, on the Agg canvas."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def axes_or_new(ax: Axes | None, width: float, height: float) -> Axes:
    """The axes given, or those of a new figure."""
    return new_figure(width, height).add_subplot() if ax is None else ax


def marked(title: str, *, simulated: bool = False, synthetic: bool = False, n: str = "") -> str:
    """A title that says what the numbers are of: simulated people, synthetic faces, and how many."""
    kinds = [text for shown, text in ((simulated, "simulated people"), (synthetic, "synthetic faces")) if shown]
    second = ", ".join([*kinds, *([n] if n else [])])
    return f"{title}\n{second}" if second else title


def save(figure: Figure, path: str | os.PathLike) -> tuple[pathlib.Path, pathlib.Path]:
    """Write a figure as PNG and SVG.

    Args:
      figure: what the drawing functions return, or an Axes' `.figure`.
      path: without suffix.

    Returns:
      The two paths. Two saves of equal figures give equal bytes: no dates, fixed identifiers.
    """
    path = pathlib.Path(path)
    png, svg = path.with_name(f"{path.name}.png"), path.with_name(f"{path.name}.svg")
    with styled():
        figure.savefig(png, dpi=DPI, metadata={"Software": None}, bbox_inches="tight")
        figure.savefig(svg, metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    return png, svg
