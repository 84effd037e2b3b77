"""Contact sheet of procedural faces: a row for each person, a column for each expression.

    python -m experiments.draw_faces --out=faces.png

No figure of the paper: a look at the data set that comes with the project. One core, about two seconds.
Expected: every expression can be named at a glance. The faces are synthetic: for testing methods, never for claims
about people.
"""

import dataclasses
import pathlib
import sys

from experiments import command
from experiments.command import option
from fer_jax.errors import StorageError, UsageError

_BAND = 28


@dataclasses.dataclass(frozen=True)
class Config:
    """What to draw."""

    out: str = option("faces.png", "Where the PNG goes.")
    preset: str = option("easy", "How hard.", choices=("easy", "medium", "hard", "study", "very_hard"))
    image_size: int = option(224, "Side of a tile, pixels.")
    identities: int = option(6, "Rows.")
    seed: int = option(0, "Seed of the data set.")


def contact_sheet(config: Config):
    """uint8 (band + identities * size, 8 * size, 3) RGB, expressions named on top."""
    import cv2
    import numpy as np

    from fer_jax.expressions import EXPRESSIONS

    if config.identities < 1:
        raise UsageError(f"`identities`: wanted at least 1, got {config.identities}.")
    size = config.image_size
    rows = [
        np.concatenate([_tile(config, person, expression) for expression in range(len(EXPRESSIONS))], 1)
        for person in range(config.identities)
    ]
    band = np.full((_BAND, size * len(EXPRESSIONS), 3), 255, np.uint8)
    for column, name in enumerate(EXPRESSIONS):
        place = (column * size + size // 28, _BAND - 9)
        cv2.putText(band, name, place, cv2.FONT_HERSHEY_SIMPLEX, size / 350, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([band, *rows])


def _tile(config: Config, person: int, expression: int):
    from fer_jax import faces

    index = person * 8 + expression
    parameters = faces.draw(config.seed, "stimuli", index, preset=config.preset, expression=expression, identity=person)
    return faces.render(parameters, size=config.image_size).image


def draw_faces(config: Config) -> None:
    """Draw and write the sheet; says where."""
    import cv2

    path = pathlib.Path(config.out)
    if path.suffix != ".png":
        raise UsageError(f"`out`: wanted a name that ends in .png, got {config.out}.")
    sheet = contact_sheet(config)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), sheet[:, :, ::-1]):
        raise StorageError(f"`out`: could not write {path}; name a folder you may write to.")
    print(path)


def main(argv) -> int:
    """Parse flags, draw, answer errors; returns the exit code."""
    return command.run(draw_faces, Config, usage=__doc__, argv=argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
