"""How hard a set of drawn faces is: named mixtures of intensity and nuisance."""

from dataclasses import dataclass

from fer_jax.errors import UsageError

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
      blend: share of faces that mix two expressions; `soft_label` keeps the mixture.
      open_set: share of faces that show none of the eight; their soft label is uniform.
      prior: "balanced" (label = index mod 8) or "affectnet".
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
        if not 0 <= self.nuisance <= 1.5:
            raise UsageError(f"`nuisance`: wanted a number in 0..1.5, got {self.nuisance}.")
        if not 0 <= low <= high <= 1.2:
            raise UsageError(f"`intensity`: wanted 0 <= low <= high <= 1.2, got {low}, {high}.")
        if self.label_noise_kind not in ("uniform", "affectnet"):
            raise UsageError(f"`label_noise_kind`: wanted uniform or affectnet, got {self.label_noise_kind!r}.")
        if self.prior not in ("balanced", "affectnet"):
            raise UsageError(f"`prior`: wanted balanced or affectnet, got {self.prior!r}.")
        for name in ("label_noise", "blend", "open_set", "glasses", "occluders"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"`{name}`: wanted a share in 0..1, got {getattr(self, name)}.")


PRESETS = {
    "easy": Preset(nuisance=0.3, intensity=(0.8, 1.0)),
    "medium": Preset(nuisance=0.7, intensity=(0.5, 1.0)),
    "hard": Preset(nuisance=1.0, intensity=(0.25, 1.0)),
    "study": Preset(nuisance=1.0, intensity=(0.15, 0.85)),
    "very_hard": Preset(nuisance=1.0, intensity=(0.1, 0.7)),
}


def get(preset: str | Preset) -> Preset:
    """A preset by name, or itself.

    Raises:
      UsageError: an unknown name.
    """
    if isinstance(preset, Preset):
        return preset
    if preset not in PRESETS:
        raise UsageError(f"`preset`: wanted one of {', '.join(PRESETS)} or a Preset, got {preset!r}.")
    return PRESETS[preset]
