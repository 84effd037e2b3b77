"""Votes of three categories: a stack with one binary network for each pair, and the label most of them choose."""

import flax.linen as nn
import jax

import fer_jax as fer


class Tiny(nn.Module):
    """A network of one convolution. Any module that returns logits and features can be stacked."""

    @nn.compact
    def __call__(self, images):
        """Return two logits, one for each category of a pair."""
        features = nn.relu(nn.Conv(8, (4, 4), 4)(images))
        return fer.models.Output(nn.Dense(2)(features.mean((1, 2))), features)


categories = fer.Categories(["genuine", "posed", "unsure"])
model = Tiny()
init = jax.jit(lambda key: fer.ensemble.init(key, model, members=categories.num_pairs))
apply = jax.jit(lambda variables, images: fer.ensemble.apply(model, variables, images).logits)
images = jax.random.uniform(jax.random.key(1), (4, 32, 32, 3))
logits = apply(init(jax.random.key(0)), images)
ballots = jax.jit(fer.ensemble.ballots)(logits)
for image, label in enumerate(jax.jit(fer.ensemble.simple_vote)(logits).tolist()):
    chosen = ", ".join(
        f"{categories.pair_name(pair)}: {'second' if logits[pair, image, 1] > logits[pair, image, 0] else 'first'}"
        for pair in range(categories.num_pairs)
    )
    print(f"image {image}: {categories[label]}, with {ballots[image, label]:.0f} of 2 votes ({chosen})")
