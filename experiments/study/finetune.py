"""Stage `finetune`: members go on learning from pictures as people saw them when they were right (paper §5.1)."""

import numpy as np
import optax
import pandas as pd

from experiments.study import time_limit
from experiments.study.fit import Plan, fit
from experiments.study.run import Run
from experiments.study.slots import slots_of, training_network
from experiments.study.vote import write_votes
from fer_jax import checkpoints, data, ensemble, human, training
from fer_jax.augment import Augmentation
from fer_jax.compare import decisions


def finetune(run: Run) -> None:
    """Fine-tune every member on its pair's revealed and unmasked study images, then vote on evaluation images again.

    A member whose pair people saw no picture of stays as it is.

    Columns:
      revealed_trials: right answers whose uncovered pictures the member may see.
      masked_views: such pictures, each with its mask moved in eight directions as well.
      validation_accuracy: on evaluation pictures of its own two expressions, after fine-tuning, 0 to 1.
    """
    config, shown = run.config, run.study_pictures
    attention = run.folder.read_arrays("attention")
    pools = [_Pool(run, pair, attention) for pair in range(run.categories.num_pairs)]
    shown_pairs = [pair for pair, pool in enumerate(pools) if pool.images]
    optimiser = optax.adam(config.finetune_learning_rate)
    start_from = ensemble.unstack(run.load_ensemble())
    view = training.revealed_view(Augmentation(), radius=run.reveal_radius, blur=run.blur_size)
    # Whole pictures are augmented, masked ones are not (§5.1).
    # BatchNorm keeps the running statistics of whole faces: half-blurred batches would move them (ours).
    step = training.make_step(
        training_network(run, 2),
        optimiser,
        training.cross_entropy(),
        view,
        train_statistics=False,
        accumulate=config.accumulate,
    )
    like = run.state_like(2, optimiser)

    def batch_of(pair, step):
        return pools[pair].batch(shown.images, step, config.batch_size)

    def start(pair):
        return training.init_state(start_from[pair], optimiser)

    config = time_limit.bounded(
        run,
        "finetune",
        step,
        lambda: start(0),
        batch_of(shown_pairs[0], 0),
        lambda config: len(shown_pairs) * config.finetune_images,
    )
    plan = Plan(
        name="finetuned",
        trainer=training.Trainer(
            step,
            [training.Job(pair, config.finetune_images) for pair in shown_pairs],
            start=start,
            batch_of=batch_of,
            key=run.key("finetune"),
            batch_size=min(config.batch_size, config.finetune_images),
            stop=training.StopRule(None, 1),
            **slots_of(config, step, like, batch_of(shown_pairs[0], 0), members=len(shown_pairs)),
        ),
        like=like,
        label=run.categories.pair_name,
        most_images=len(shown_pairs) * config.finetune_images,
    )
    left = fit(run, plan)
    untouched = {"epochs": 0, "steps": 0, "train_accuracy": np.nan, "stopped_by": "no study image"}
    for pair in set(range(len(pools))) - set(shown_pairs):
        left[pair] = start_from[pair], untouched
    variables = ensemble.stack([left[pair][0] for pair in range(len(pools))])
    checkpoints.save(run.folder.path / "finetuned", variables, facts=run.facts("finetuned"), stacked=True)
    evaluation = run.evaluation_pictures
    logits = run.ensemble_logits(variables, evaluation.images)
    write_votes(run, "finetuned", logits, evaluation.labels)
    accuracies = decisions.member_accuracy(logits, evaluation.labels)
    rows = [
        {
            "pair": run.categories.pair_name(pair),
            "revealed_trials": pool.trials,
            "masked_views": pool.masked,
            "validation_accuracy": accuracy,
            **left[pair][1],
        }
        for pair, (pool, accuracy) in enumerate(zip(pools, accuracies, strict=True))
    ]
    run.folder.write_table("members_finetuned", pd.DataFrame(rows))
    run.folder.write_arrays("predictions_finetuned", ensemble_logits=logits, labels=evaluation.labels)


class _Pool:
    """The pictures that one member may see: correct trials times nine moves of their masks, and the whole pictures."""

    def __init__(self, run: Run, pair: int, attention: dict[str, np.ndarray]):
        self._seed, self._pair, self._ratio = run.config.seed, pair, run.config.masked_ratio
        self._members = run.categories.num_pairs
        whole = np.flatnonzero(run.study_pairs == pair)
        self.images = len(whole)
        self._labels = (run.study_pictures.labels == run.categories.pairs[pair][1]).astype(np.int32)
        self._views = human.clicks.select_views(attention["revealed_rows"], attention["revealed_points"], whole)
        self.trials, self.masked = len(self._views.rows), self._views.masked

    def batch(self, pictures: np.ndarray, step: int, batch_size: int) -> dict:
        """Return the batch of one step: the share of masked views that was asked for, the rest unmasked."""
        batch = self._views.batch(step, batch_size, masked_ratio=self._ratio, draw=self._draw)
        rows = batch.pop("row")
        return {"image": pictures[rows], "labels": self._labels[rows], **batch}

    def _draw(self, kind, size, start, count):
        """Draw a stretch of an endless stream of permutations. Each kind of view has a stream of its own."""
        member = (2 + ("masked", "whole").index(kind)) * self._members + self._pair
        return data.stream_indices(size, seed=self._seed, member=member, start=start, count=count)
