"""The paper's protocol: people's and a network's maps averaged within each pair, made binary, and their Dice."""

import numpy as np

from fer_jax.compare import dice

rng = np.random.default_rng(0)
y, x = np.mgrid[:48, :48]


def blob(row, column):
    """Return a map with one soft spot."""
    return np.exp(-((y - row) ** 2 + (x - column) ** 2) / 60).astype(np.float32)


pairs = np.repeat(np.arange(3), 8)  # 24 images of three pairs
people = np.stack([blob(16 + 8 * pair + rng.normal(0, 2), 24 + rng.normal(0, 2)) for pair in pairs])
network = np.stack([blob(20 + 6 * pair + rng.normal(0, 2), 24 + rng.normal(0, 2)) for pair in pairs])
table = dice.dice_per_pair(people, network, pairs)
print(table.to_string(index=False, float_format="{:.3f}".format))
print(f"mean Dice {table['dice'].mean():.3f}; of people with themselves:")
print(dice.dice_per_pair(people, people, pairs)["dice"].tolist())
