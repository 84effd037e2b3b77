"""How hard a set of drawn faces is: named mixtures of intensity and nuisance."""

from dataclasses import dataclass

from fer_jax.errors import UsageError, check_one_of, check_range

# Shares of AffectNet's training set (Mollahosseini et al. 2017) in canonical order.
AFFECTNET_PRIOR = (74874, 134415, 25459, 14090, 6378, 3803, 24882, 3750)


@dataclass(frozen=True)
class Preset:
    """What varies in a set of faces, and by how much.

    Attributes:
      nuisance: 0..1.5, scales pose, light, framing, blur and noise.
      intensity: lowest and highest intensity of an expression.
      label_noise: share of labels replaced by another one.
      label_noise_kind: "uniform", or "affectnet" for contempt→neutral, fear→surprise, anger→disgust, disgust→contempt.
      blend: share of faces that mix two expressions. `soft_label` keeps the mixture.
      open_set: share of faces that show no expression. Their soft label is uniform.
      prior: "balanced" (categories take turns) or "affectnet".
      glasses: share of faces with glasses.
      occluders: share of faces with a mask, a hand or an eye patch.
    """

    nuisance: float = 1.0
    intensity: tuple[float, float] = (0.15, 0.85)
    label_noise: float = 0.0
    label_noise_kind: str = "uniform"
    blend: float = 0.0
    open_set: float = 0.0
    prior: str = "balanced"
    glasses: float = 0.12
    occluders: float = 0.0

    def __post_init__(self):
        low, high = self.intensity
        check_range("nuisance", self.nuisance, 0, 1.5)
        if not 0 <= low <= high <= 1.2:
            raise UsageError(f"`intensity`: wanted 0 <= low <= high <= 1.2, got {low}, {high}.")
        check_one_of("label_noise_kind", self.label_noise_kind, ("uniform", "affectnet"))
        check_one_of("prior", self.prior, ("balanced", "affectnet"))
        for name in ("label_noise", "blend", "open_set", "glasses", "occluders"):
            check_range(name, getattr(self, name), 0, 1)


PRESETS = {
    "easy": Preset(nuisance=0.3, intensity=(0.8, 1.0)),
    "medium": Preset(nuisance=0.7, intensity=(0.5, 1.0)),
    "hard": Preset(nuisance=1.0, intensity=(0.25, 1.0)),
    "study": Preset(nuisance=1.0, intensity=(0.15, 0.85)),
    "very_hard": Preset(nuisance=1.0, intensity=(0.1, 0.7)),
}


def get(preset: str | Preset) -> Preset:
    """Return a preset given by name, or itself.

    Raises:
      UsageError: an unknown name.
    """
    if isinstance(preset, Preset):
        return preset
    check_one_of("preset", preset, PRESETS)
    return PRESETS[preset]
