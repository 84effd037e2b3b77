"""Training that fits into `--minutes`: how far each stage is shortened, and the record that repeats a run (ours).

When training begins, a few steps are timed, and what is left of the minutes is shared out: explanations and predictions
take what they take, and training of the members, of the multiclass network and fine-tuning are shortened by one factor.
Time that members leave by stopping early goes to the stages after them. The limits given stand in `limits.json` and as
ordinary flags in `flags.txt`, so a run repeats without looking at a clock.
"""

import dataclasses
import functools
import json
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

import jax

from experiments.study.slots import layout, roughly_at_once
from experiments.study.stage_table import LIMITS, left_out
from fer_jax import placement, training
from fer_jax.errors import StorageError

RECORD = "limits.json"
# A prediction costs about a third of a training image, a step of an explanation half as much again as one.
# Tables, figures and the report take about so many seconds.
_PREDICTION, _EXPLAINING, _REST_S = 1 / 3, 1.5, 30.0
_TIMED_STEPS = 3
# Iterations of at most 800 until masks had converged, on average of a run's study pictures: FER+ and drawn faces.
CONVERGED = (283, 358)


def as_recorded(config: Any) -> Any:
    """Return the configuration with the limits that an earlier start of the same run was given.

    Args:
      config: resolved, with `minutes`.

    Raises:
      StorageError: a damaged record.
    """
    if not config.minutes:
        return config
    given = {
        limit["flag"]: limit["given"]
        for limit in limits_of(pathlib.Path(config.out)).values()
        if getattr(config, limit["flag"]) == limit["asked"]
    }
    return dataclasses.replace(config, **given)


def limits_of(path: pathlib.Path) -> dict[str, dict]:
    """Read a run folder's limits: stage -> flag, asked, given, and the seconds it was given for.

    Raises:
      StorageError: a damaged record.
    """
    file = path / RECORD
    if not file.exists():
        return {}
    try:
        limits = json.loads(file.read_text(encoding="utf-8"))
        if all({"flag", "asked", "given", "seconds"} <= set(limit) for limit in limits.values()):
            return limits
    except (ValueError, AttributeError, TypeError, OSError):
        pass
    raise StorageError(f"`{file}`: is damaged. Put it back, or remove it to have training shortened anew.")


def bounded(
    run: Any, name: str, step: Callable, start: Callable[[], Any], batch: dict, images_with: Callable[[Any], float]
) -> Any:
    """Return the configuration a stage trains with, its limit lowered and recorded where the minutes ask for it.

    Args:
      run: the run. Its configuration is changed as well.
      name: "members", "multiclass" or "finetune".
      step: one member's step.
      start: makes a member's state, to time the step with.
      batch: one batch.
      images_with: a configuration -> images that all members of the stage see at most.

    Returns:
      `run.config`.

    Raises:
      StorageError: a record that is damaged, or cannot be written.
    """
    config, limits = run.config, limits_of(run.folder.path)
    if not config.minutes or name in limits:
        return config
    flag, stages = LIMITS[name], run.folder.stages
    at_once = 1 if name == "multiclass" or layout(config) != "loop" else roughly_at_once(config, batch)
    seconds, own = seconds_an_image(config, step, start(), batch, at_once=at_once), images_with(config)
    left = 60 * config.minutes - stages.spent() - _fixed_seconds(run, seconds)
    if left <= 0:
        sys.stderr.write(
            f"{name}: what cannot be shortened takes the {config.minutes:g} minutes; training is the least. Give "
            "more, fewer --per_ordered_pair, or --ep_stop=converged.\n"
        )
    share = max(0.0, left / (seconds * (own + _later_images(run, name))))
    asked = getattr(config, flag)
    given = asked
    if share < 1:
        least = min(config.batch_size, asked) if name == "finetune" else 1
        changed = functools.partial(dataclasses.replace, config)
        given = _fitting(lambda value: images_with(changed(**{flag: value})) <= share * own, least, asked or int(own))
        sys.stderr.write(f"{name}: --{flag}={given}, not {asked}, to end within --minutes={config.minutes:g}\n")
        needed = seconds * images_with(changed(**{flag: given}))
        if needed > 60 + 1.5 * share * own * seconds:
            sys.stderr.write(f"{name}: even that takes about {needed / 60:.0f} minutes; the run will be late\n")
    limit = {"flag": flag, "asked": asked, "given": given, "seconds": round(min(share, 1.0) * own * seconds, 1)}
    run.folder.write_json(RECORD, limits | {name: limit | {"minutes": config.minutes}})
    run.config = dataclasses.replace(config, **{flag: given})
    run.folder.reconfigure(run.config, name)
    return run.config


def seconds_an_image(config: Any, step: Callable, state: Any, batch: dict, *, at_once: int = 1) -> float:
    """Time training: seconds an image. Devices that hold different members count together.

    Args:
      config: its devices.
      step: one member's step.
      state: a member's state.
      batch: one batch.
      at_once: members that step at the same time.
    """
    key, width = jax.random.key(0, impl="threefry2x32"), 1 if at_once == 1 else 2 * at_once
    slots = training.make_slots(step, width, over_members="loop", at_once=at_once)
    for slot in range(width):
        slots.load(slot, state)

    def advance():
        slots.step([batch] * width, [key] * width)

    def seconds_so_far():
        jax.block_until_ready([slots.take(slot) for slot in range(width)])
        return time.monotonic()

    advance()  # compiles
    start = seconds_so_far()
    for _ in range(_TIMED_STEPS):
        advance()
    seconds = (seconds_so_far() - start) / _TIMED_STEPS
    devices = placement.num_devices(config.over_devices, config.devices or None)
    return seconds / width / len(batch["labels"]) / devices


def trained_images(config: Any, pairs: int, train: int) -> dict[str, int]:
    """Count the images that the stages after the members train on.

    Args:
      config: resolved.
      pairs: of categories.
      train: training pictures.
    """
    return {"multiclass": config.multiclass_epochs * train, "finetune": pairs * config.finetune_images}


def expected_iterations(config: Any) -> int:
    """Return the iterations of Extremal Perturbation that a picture is counted with: the most of those measured.

    Args:
      config: resolved.
    """
    return config.ep_iterations if config.ep_stop == "never" else min(config.ep_iterations, max(CONVERGED))


def other_work(config: Any, pairs: int, validation: int) -> dict[str, float]:
    """Return what stages compute beside training, in training images of one member that take as long.

    Args:
      config: resolved.
      pairs: of categories.
      validation: validation pictures.
    """
    predicted = (pairs + 1) * validation * _PREDICTION
    return {
        "vote": predicted,
        "saliency": _EXPLAINING * 2 * pairs * config.per_ordered_pair * expected_iterations(config),
        "finetune": predicted,
    }


def _fixed_seconds(run, seconds) -> float:
    """Estimate the seconds of the stages that are not shortened."""
    work = other_work(run.config, run.categories.num_pairs, len(run.pictures("validation")))
    return _REST_S + seconds * _left(run, work)


def _later_images(run, name) -> int:
    """Count the training images of the stages after this one that have not ended."""
    work = {"members": 0} | trained_images(run.config, run.categories.num_pairs, len(run.pictures("train")))
    later = list(work)[list(work).index(name) + 1 :]
    return _left(run, {stage: work[stage] for stage in later})


def _left(run, work):
    """Add up the work of the stages that the run has and has not ended."""
    done = {*run.folder.stages.seconds(), *left_out(run.config.people)}
    return sum(each for stage, each in work.items() if stage not in done)


def _fitting(fits: Callable[[int], bool], low: int, high: int) -> int:
    """Return the largest whole number of low..high that fits, where smaller ones fit as well, low if none does."""
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
