"""Stages `members` and `multiclass`: the 28 binary networks as one queue through the slots, and the eight-way one."""

import dataclasses
import math
import types
from collections.abc import Callable, Iterable

import jax
import numpy as np
import optax
import pandas as pd

from experiments.config import StudyConfig, chosen_members
from experiments.study import time_limit
from experiments.study.feed import Feed
from experiments.study.fit import Plan, fit
from experiments.study.run import Run, open_run
from experiments.study.slots import slots_of, training_network
from fer_jax import checkpoints, data, ensemble, models, training
from fer_jax.augment import Augmentation
from fer_jax.categories import DROP
from fer_jax.errors import UsageError

# For the statistics of a finished member: enough for means and variances, little beside training.
STATISTICS_BATCH = 64
STATISTICS_IMAGES = 1024

# Where a run of some members keeps them, until `experiments.merge_members` makes an ensemble of such runs.
PART = "part"


def train_members(run: Run) -> None:
    """Train one member a pair on balanced images until its target accuracy or its last epoch (paper §5.1).

    Columns:
      pair: the member's two expressions.
      first, second: the expression of logit 0, of logit 1.
      train_images: pictures of an epoch.
      epochs, steps: that the network was trained for.
      train_accuracy: over the augmented pictures of its last epoch, 0 to 1.
      stopped_by: what ended its training: its target, a limit of epochs or images, or "failed" (loss not finite).
        Of fine-tuning, "no study image" stands for a member that is as before.
    """
    config, train = run.config, run.pictures("train")
    chosen = chosen_members(config, run.categories.num_pairs)
    feed = Feed(config, train, run.hosts)
    batches = {pair: batches_of(run, pair, feed) for pair in chosen}
    votes = {pair: votes_of(run, pair) for pair in chosen}
    optimiser = optax.adam(config.learning_rate)
    model = run.network(2)
    starting = starting_variables(run, model, "ensemble")

    def batch_of(member, step):
        return feed.batch(batches[member].at(step), votes[member])

    step = member_step(run, optimiser)
    like = run.state_like(2, optimiser)

    def images_with(config):
        return most_images(config, [each.images_per_epoch for each in batches.values()])

    def start(member):
        return training.init_state(starting(member), optimiser)

    first = chosen[0]
    batch = batch_of(first, 0)
    config = time_limit.bounded(run, "members", step, lambda: start(first), feed.with_pixels(batch), images_with)
    beside = {"hosts": run.hosts, "pictures": feed.on_device, "room": feed.room}
    where = slots_of(config, step, like, batch, members=len(chosen), **beside)
    plan = Plan(
        name="ensemble",
        trainer=training.Trainer(
            step,
            [training.Job(pair, batches[pair].images_per_epoch) for pair in chosen],
            start=start,
            batch_of=batch_of,
            key=run.key("member_training"),
            batch_size=config.batch_size,
            stop=stop_rule(config),
            **where,
            **feed.arguments(where["width"]),
        ),
        like=like,
        label=run.categories.pair_name,
        most_images=images_with(config),
    )
    left = fit(run, plan)
    if not run.hosts.leads:
        return
    members = [left[pair][0] for pair in chosen]
    if config.batch_statistics == "population":
        members = [
            _at_rest(run, model, variables, pair, train.images[batches[pair].first_epoch])
            for pair, variables in zip(chosen, members, strict=True)
        ]
    save_members(run, members, chosen)
    table = pd.DataFrame(
        {
            "pair": run.categories.pair_name(pair),
            "first": run.categories[run.categories.pairs[pair][0]],
            "second": run.categories[run.categories.pairs[pair][1]],
            "train_images": batches[pair].images_per_epoch,
            **left[pair][1],
        }
        for pair in chosen
    )
    run.folder.write_table("members", table)


def member_step(run: Run, optimiser) -> Callable:
    """Return the training step of one member."""
    view = training.augmented_view(Augmentation())
    return training.make_step(
        training_network(run, 2), optimiser, training.cross_entropy(), view, accumulate=run.config.accumulate
    )


def stop_rule(config: StudyConfig) -> training.StopRule:
    """Return the conditions on which a member leaves."""
    return training.StopRule(config.stop_accuracy or None, config.max_epochs or None, config.max_images or None)


def most_images(config: StudyConfig, sizes: Iterable[int]) -> int:
    """Count the images that members see if none stops early.

    Args:
      config: resolved.
      sizes: images of an epoch of each member.
    """
    return sum(size * stop_rule(config).epochs_for(size) for size in sizes)


def batches_of(run: Run, pair: int | None, feed: Feed) -> data.Batches:
    """Return the training batches of one member, or of the network that sees all categories (None).

    Args:
      run: the run.
      pair: the member.
      feed: of the training pictures.
    """
    config, train = run.config, run.pictures("train")
    votes, labels = votes_of(run, pair), train.labels
    if votes is not None:
        labels = np.where(votes.any(1), labels, DROP).astype(labels.dtype)
    source = types.SimpleNamespace(labels=labels, images=feed.read, categories=run.categories)
    own = {} if pair is None else {"undersample": config.undersample}  # a network of all pictures leaves none out
    return data.Batches(source, batch_size=config.batch_size, seed=config.seed, pair=pair, ahead=0, **own)


def votes_of(run: Run, pair: int | None) -> np.ndarray | None:
    """Return the shares of the votes that one network learns, for all training pictures, None where it learns labels.

    Of a member (a pair) these are the two categories' shares of the votes for either, zeros without such a vote. The
    pictures that it sees are those labelled as one of the two, as ever: a single stray vote for fear would make a happy
    face a fearful one with certainty in the pair of fear and sadness (ours).
    """
    votes = run.pictures("train").votes
    return votes if votes is None or pair is None else data.pair_shares(votes, pair, categories=run.categories)


def starting_variables(run: Run, model, name: str) -> Callable[[int], dict]:
    """Return a function member -> its variables before training: fresh ones, or those of `--init_from`.

    Args:
      run: the run.
      model: the network to fill.
      name: "ensemble" or "multiclass", which is also where a run that is started from keeps it.
    """
    source = run.config.init_from
    key = run.key("members" if name == "ensemble" else "multiclass")

    def key_of(member):
        return jax.random.fold_in(key, member) if name == "ensemble" else key

    if source is None:
        fresh = jax.jit(model.init)
        sample = np.zeros((1, run.config.image_size, run.config.image_size, 3), np.float32)
        return lambda member: fresh(key_of(member), sample)
    if source.endswith(".safetensors"):
        arrays = checkpoints.read_safetensors(source)
        return lambda member: models.from_state_dict(arrays, model, head="new", key=key_of(member))
    other = open_run(source, flag="init_from")
    if other.config.model != run.config.model:
        raise UsageError(
            f"`--init_from`: {source} holds networks of --model={other.config.model}, wanted {run.config.model}."
        )
    if name == "multiclass":
        variables = other.load_multiclass()
        return lambda member: variables
    members = other.load_ensemble()
    return lambda member: ensemble.member(members, member)


def save_members(run: Run, members: list[dict], numbers: list[int]) -> None:
    """Keep trained members: all of them as the ensemble, some as a part of one, to be merged."""
    name = "ensemble" if len(numbers) == run.categories.num_pairs else PART
    facts = run.facts(name) | ({} if name == "ensemble" else {"members": numbers})
    checkpoints.save(run.folder.path / name, ensemble.stack(members), facts=facts, stacked=True)


def load_part(run: Run) -> tuple[list[int], list[dict]]:
    """Load the members that a run of some, or of all, has trained: their numbers and variables.

    Raises:
      UsageError: the run has not ended its training yet.
      StorageError: a checkpoint that is damaged or was made otherwise.
    """
    path = run.folder.path
    if checkpoints.exists(path / "ensemble"):
        return list(range(run.categories.num_pairs)), ensemble.unstack(run.load_ensemble())
    if not checkpoints.exists(path / PART):
        raise UsageError(f"`{path}`: wanted trained members, there are none yet; finish that run first.")
    numbers = checkpoints.facts(path / PART)["members"]
    like = run.variables_like(2, len(numbers))
    return numbers, ensemble.unstack(run.load(PART, like, PART))


def train_multiclass(run: Run) -> None:
    """Train the network of all K categories with weighted cross-entropy (paper §5.2).

    Columns:
      train_images: pictures of an epoch, all that there are to train on.
    """
    config, train = run.config, run.pictures("train")
    weights = data.class_weights(train.labels, categories=run.categories)
    weights = {"balanced": weights, "sqrt": np.sqrt(weights), "none": None}[config.class_weights]
    model = run.network(len(run.categories))
    starting = starting_variables(run, model, "multiclass")
    feed = Feed(config, train)
    batches, votes = batches_of(run, None, feed), votes_of(run, None)

    def batch_of(member, step):
        del member
        return feed.batch(batches.at(step), votes)

    batch = batch_of(0, 0)
    network = training_network(run, len(run.categories))
    objective = training.cross_entropy(class_weights=weights, axis_name=network.axis_name)
    view = training.augmented_view(Augmentation())
    timed = optax.adam(config.learning_rate)
    config = time_limit.bounded(
        run,
        "multiclass",
        training.make_step(network, timed, objective, view, accumulate=config.accumulate),
        lambda: training.init_state(starting(0), timed),
        feed.with_pixels(batch),
        lambda config: config.multiclass_epochs * len(train),
    )
    rate = config.learning_rate
    if config.multiclass_schedule == "cosine":
        rate = optax.cosine_decay_schedule(rate, math.ceil(config.multiclass_epochs * len(train) / config.batch_size))
    optimiser = optax.adam(rate)
    step = training.make_step(network, optimiser, objective, view, accumulate=config.accumulate)
    like = run.state_like(len(run.categories), optimiser)
    one = dataclasses.replace(config, slots=1)
    where = slots_of(one, step, like, batch, members=1, pictures=feed.on_device, room=feed.room)
    plan = Plan(
        name="multiclass",
        trainer=training.Trainer(
            step,
            [training.Job(0, len(train))],
            start=lambda member: training.init_state(starting(member), optimiser),
            batch_of=batch_of,
            key=run.key("multiclass_training"),
            batch_size=config.batch_size,
            stop=training.StopRule(None, config.multiclass_epochs),
            **where,
            **feed.arguments(where["width"]),
        ),
        like=like,
        label=lambda member: "multiclass",
        most_images=len(train) * config.multiclass_epochs,
    )
    variables, row = fit(run, plan)[0]
    checkpoints.save(run.folder.path / "multiclass", variables, facts=run.facts("multiclass"))
    run.folder.write_table("multiclass", pd.DataFrame([{"train_images": len(train), **row}]))


def _at_rest(run, model, variables, member, pictures):
    """Return a member with the statistics of its training pictures at its final weights."""
    size = min(STATISTICS_BATCH, len(pictures))
    count = max(1, min(STATISTICS_IMAGES, len(pictures)) // size)
    batches = (pictures[stream(run, len(pictures), member, step, size)] for step in range(count))
    return training.population_statistics(
        model, variables, (training.plain_view(None, {"image": batch}) for batch in batches)
    )


def stream(run: Run, size: int, member: int, step: int, batch_size: int) -> np.ndarray:
    """Return the rows of one batch: a place in the member's endless stream of epoch permutations."""
    return data.stream_indices(size, seed=run.config.seed, member=member, start=step * batch_size, count=batch_size)


def failed_members(folder) -> list[str]:
    """Return names of members whose loss or updates were not finite."""
    if not folder.has("tables/members.csv"):
        return []
    table = folder.read_table("members")
    return list(table.loc[table["stopped_by"] == "failed", "pair"])
