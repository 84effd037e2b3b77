"""One drawn face, what is known of it, and where it differs from the same person showing another expression."""

import numpy as np

from fer_jax import faces
from fer_jax.expressions import EXPRESSIONS

scene = faces.draw(0, "train", 1, preset="easy", size=96)
face = faces.render(scene)
strength = zip(faces.ACTION_UNITS, face.au.max(0).tolist(), strict=True)
units = {unit: round(amount, 2) for unit, amount in strength if amount > 0.2}
print(f"a face of {face.image.shape} that shows {EXPRESSIONS[face.expression]}; action units {units}")
regions = faces.region_mask(face, 96)
for foil in ("neutral", "sad", "anger"):
    difference = faces.oracle(scene, EXPRESSIONS.index(foil))
    share = {
        name: difference[regions == number].sum() / difference.sum() for number, name in enumerate(faces.REGIONS, 1)
    }
    first, second = sorted(share, key=share.get)[:-3:-1]
    print(f"against {foil:8}: {first} {share[first]:.0%}, {second} {share[second]:.0%} of the difference")
print(f"nothing differs from itself: {np.max(faces.oracle(scene, face.expression)):.0f}")
