"""The flags of a run as sentences of the report."""

from experiments.config import StudyConfig
from fer_jax import saliency

_LIMITS = {"max_epochs": "the limit of {} epochs", "max_images": "the limit of {} images"}


def training_card(config: StudyConfig, members: list[dict]) -> tuple[str, str, str]:
    """Say how training ended: figure, what it counts, and a note.

    Args:
      config: the run's.
      members: rows with `stopped_by` and `epochs`.
    """
    if config.stop_accuracy:
        reached = sum(member["stopped_by"] == "target" for member in members)
        note = f"training accuracy of {config.stop_accuracy:.0%}, at which a member stops"
        return f"{reached} of {len(members)}", "members reached the target", note
    epochs = sorted({member["epochs"] for member in members})
    told = str(epochs[0]) if len(epochs) == 1 else f"{epochs[0]} to {epochs[-1]}"
    return told, "epochs a member", "trained to its limit, whatever its training accuracy"


def training_ends(config: StudyConfig, members: list[dict]) -> str:
    """Say until when members trained, and which limit ended how many. Arguments as of `training_card`."""
    stops = [member["stopped_by"] for member in members]
    ends = [
        f"{stops.count(name)} ended at {words.format(f'{getattr(config, name):,}')}"
        for name, words in _LIMITS.items()
        if name in stops
    ]
    if "failed" in stops:
        ends.append(f"{stops.count('failed')} failed")
    if not config.stop_accuracy:
        return f"whatever its training accuracy: {', '.join(ends)}."
    ends.insert(0, f"{stops.count('target')} of {len(stops)} reached that")
    until = f"until it was right on {config.stop_accuracy:.0%} of an epoch's augmented training pictures"
    return f"{until}: {', '.join(ends)}."


def looks(profile: str | None) -> str:
    """Return where simulated people of a profile look, "" where nobody was simulated."""
    return {
        None: "",
        "typical": "at eyes and mouth in people's usual order, and somewhat more where the two labels differ",
        "eye_biased": "mostly at the eyes",
        "mouth_biased": "mostly at the mouth",
        "oracle": "where the two labels differ",
        "random": "anywhere on the picture",
        "centre": "around the middle of the picture",
    }[profile]


def ep_schedule(config: StudyConfig) -> str:
    """Return in how many steps Extremal Perturbation takes its schedule."""
    if config.ep_stop != "never":
        return f"at most {config.ep_iterations} iterations, fewer where a mask has converged"
    steps = f"{config.ep_iterations} iterations"
    return (
        steps
        if config.ep_iterations == saliency.PUBLISHED_ITERATIONS
        else f"{steps} that take the published schedule of {saliency.PUBLISHED_ITERATIONS}"
    )


def ep_score(config: StudyConfig) -> str:
    """Return the score that Extremal Perturbation keeps."""
    what = {
        "logit": "the logit of the true label",
        "difference": "the true label's lead over the foil",
        "probability": "the probability of the true label",
    }[config.ep_score]
    return (
        what
        if config.ep_reward_scale == 1
        else f"{what} (times {config.ep_reward_scale:g}, against the weight of the area)"
    )
