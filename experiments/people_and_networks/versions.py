"""Maps of a run's networks under the choices of what is explained: the area of Extremal Perturbation, and the target.

Contract: maps are float (T, H, W), one for each study image, NaN throughout where there is none. What is computed lies
in the folder `maps` of the results, so that the same command goes on where it was stopped. The run has its own already.
"""

import dataclasses
import json
import zipfile
from collections.abc import Callable, Sequence

import numpy as np

from experiments.harness.locked_folder import LockedFolder
from experiments.study.explain import explain_rows, settings_of, true_sides
from experiments.study.open_choices import small
from experiments.study.run import Run
from experiments.study.run_folder import sha256
from fer_jax.explanation import METHODS

EXTREMAL = "extremal_perturbation"
# What is explained: the logit of the true label, that of the label the member predicts, or true label less foil.
TARGETS = {"true": "true label", "predicted": "predicted label", "difference": "difference"}


def network_versions(
    run: Run, folder: LockedFolder, areas: Sequence[float], targets: Sequence[str], *, check: Callable[[], None]
) -> list[tuple[dict, dict[str, np.ndarray]]]:
    """Return each version of the networks' maps with its choices `target` and `area`, for `compare.multiverse`.

    Args:
      run: with maps.
      folder: of the results.
      areas: shares of the picture that Extremal Perturbation keeps.
      targets: some of `TARGETS`.
      check: called between pairs, may raise to stop.
    """
    made = _Made(run, folder, check)
    versions = []
    for target in targets:
        shared = {name: small(made.maps(name, target)) for name in METHODS if name != EXTREMAL}
        for area in areas:
            maps = shared | {EXTREMAL: small(made.maps(EXTREMAL, target, area))}
            versions.append(({"target": TARGETS[target], "area": area}, maps))
    return versions


class _Made:
    """Maps of a run, each computed once."""

    def __init__(self, run, folder, check):
        self._run, self._folder, self._check = run, folder, check
        self._settings, self._truth = settings_of(run.config), true_sides(run)
        self._own = run.folder.read_arrays("maps")
        logits = self._own["logits"]
        self._wrong = np.flatnonzero(np.isfinite(logits).all(1) & (logits.argmax(1) != self._truth))
        self._network = sha256(run.folder.path / "ensemble" / "manifest.json")

    def maps(self, method: str, target: str, area: float | None = None) -> np.ndarray:
        """Return the maps of one method."""
        everything = np.arange(len(self._truth))
        if target == "true":
            if area in (None, self._run.config.area):
                return self._own[method]
            return self._computed(method, "logit", self._truth, everything, area)
        if target == "predicted":
            # Where the member is right, its prediction is the true label. Only Extremal Perturbation takes long.
            rows = self._wrong if method == EXTREMAL else everything
            other = self._computed(method, "logit", 1 - self._truth, rows, area)
            own = self.maps(method, "true", area)
            return np.where(np.isin(everything, self._wrong)[:, None, None], other, own)
        if method == "cam":  # linear in the weights of the head
            foil = self._computed(method, "logit", 1 - self._truth, everything, area)
            return self._own[method] - foil
        return self._computed(method, "difference", self._truth, everything, area)

    def _computed(self, method, score, sides, rows, area) -> np.ndarray:
        """Explain some rows by one method. The run's own score of Extremal Perturbation stands for the logit."""
        settings = dataclasses.replace(self._settings, methods=(method,))
        if score == "difference":
            settings = dataclasses.replace(settings, score=score, ep_score=score)
        if area is not None:
            settings = dataclasses.replace(settings, extremal=dataclasses.replace(settings.extremal, area=area))
        label = "true" if sides is self._truth else "foil"
        name = "_".join([method, score, label, *([] if area is None else [f"{area:g}"])])
        made = json.dumps(
            {"network": self._network, "settings": dataclasses.asdict(settings), "sides": sides.tolist(),
             "rows": rows.tolist(), "images": self._run.study_table["image"].tolist()}
        )  # fmt: skip
        saved = self._saved(name, made)
        if saved is not None:
            return saved
        maps = np.full(self._own[method].shape, np.nan, np.float32)
        for own, found in explain_rows(self._run, settings, sides, rows, check=self._check):
            maps[own] = found[method]
        self._folder.write_arrays(f"maps/{name}", maps=maps, made=np.asarray(made))
        return maps

    def _saved(self, name, made) -> np.ndarray | None:
        """Return maps that lie in the folder, None of those made otherwise or damaged from outside."""
        try:
            with open(self._folder.path / "maps" / f"{name}.npz", "rb") as file, np.load(file) as saved:
                return saved["maps"] if str(saved["made"]) == made else None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None


def with_own(areas: Sequence[float], run: Run) -> list[float]:
    """Return areas with that of the run among them, ascending."""
    return sorted({*areas, run.config.area})
