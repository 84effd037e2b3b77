"""Published counts of pictures of each expression, and how a copy's counts differ from them.

Counts are in canonical order. Sources: Mollahosseini et al. 2017 (AffectNet, the later set's from its users),
FER+'s label.csv (its other list, fer2013new.csv, has other votes, which nobody here has counted), Lucey et al. 2010
(CK+, labelled sequences), Li, Deng & Du 2017 (RAF-DB).
"""

import collections

import numpy as np

from fer_jax.categories import DROP, Categories
from fer_jax.expressions import EXPRESSIONS

PUBLISHED = {
    "affectnet original": {
        "train": (74_874, 134_416, 25_459, 14_090, 6_378, 3_803, 24_882, 3_750),
        "validation": (500,) * 8,
    },
    "affectnet set8": {
        "train": (74_874, 134_415, 25_459, 14_090, 6_378, 3_803, 24_882, 3_750),
        "validation": (500, 500, 500, 500, 500, 500, 500, 499),
    },
    "ferplus plurality of label.csv": {
        "train": (9_360, 7_408, 3_418, 3_368, 651, 175, 2_395, 165),
        "validation": (1_241, 877, 396, 441, 70, 31, 314, 26),
    },
    "ferplus majority of label.csv": {
        "train": (8_733, 7_284, 3_022, 3_136, 536, 116, 2_098, 120),
        "validation": (1_180, 862, 348, 411, 60, 25, 289, 16),
    },
    "rafdb basic aligned": {
        "train": (2_524, 4_772, 1_982, 1_290, 281, 717, 705, 0),
        "test": (680, 1_185, 478, 329, 74, 160, 162, 0),
    },
}
PUBLISHED["rafdb folders"] = PUBLISHED["rafdb basic aligned"]
PUBLISHED["affectnet original_with_auto"] = PUBLISHED["affectnet original"]
# Labelled sequences of all people together: one apex frame each.
CKPLUS_SEQUENCES = (0, 69, 28, 83, 25, 59, 45, 18)
# The paper names counts that no release of AffectNet has (§3). Both are reported.
PAPER_COUNTS = {"affectnet": {"labelled": 440_601, "happy": 143_991, "contempt": 5_119}}


def differences(
    release: str,
    split: str,
    stored: np.ndarray,
    rejected: collections.Counter[tuple[int, str]],
    *,
    categories: Categories = EXPRESSIONS,
) -> list[str] | None:
    """Compare a copy with the published counts, each difference with what became of the rest.

    Args:
      release: as a `Listing` calls it.
      split: its name.
      stored: int (K,) pictures kept.
      rejected: (label or `DROP`, reason) -> rows left out.
      categories: what labels are indices into.

    Returns:
      A line for each expression that differs, none where the counts are the published ones. None where nothing
      is published for this copy.
    """
    wanted = PUBLISHED.get(release, {}).get(split)
    if wanted is None:
        return None
    lines = []
    for name, published in zip(EXPRESSIONS, wanted, strict=True):
        label = categories.index(name) if name in categories else DROP
        kept = 0 if label == DROP else int(stored[label])
        if kept == published:
            continue
        reasons = {reason: count for (one, reason), count in sorted(rejected.items()) if one == label != DROP}
        out = sum(reasons.values())
        told = ", ".join(f"{count} {reason}" for reason, count in reasons.items()) or "none"
        rest = published - kept - out
        lines.append(
            f"{name}: {kept} of {published} published; left out: {told}"
            + (f"; {abs(rest)} {'not listed' if rest > 0 else 'listed beyond the published'}" if rest else "")
        )
    unknown = sum(count for (label, reason), count in rejected.items() if label == DROP and reason == "label_unknown")
    if lines and unknown:
        lines.append(f"and {unknown} rows whose label could not be read")
    return lines
