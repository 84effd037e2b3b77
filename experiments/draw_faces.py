"""Procedural faces to look at, or as files: any mixture of expressions, people, pose, light, noise and labels.

    python -m experiments.draw_faces --out=faces.png
    python -m experiments.draw_faces --sheet=naming --nuisance=0.5 --out=naming.png
    python -m experiments.draw_faces --sheet=oracle --image_size=128 --out=oracle.png
    python -m experiments.draw_faces --sheet=masks --out=masks.png
    python -m experiments.draw_faces --num_images=2000 --faces=study --label_noise=0.2 --out=faces

The first sheet has a row for each person and a column for each expression. `naming` shows the same unnamed and
shuffled, with its key in naming.csv. `oracle` shows for every two expressions the same person with both, and the pixels
that tell them apart. `masks` shows landmarks, regions and where the strongest action units show. The last line makes a
folder: a PNG each in images/<label>/, faces.csv (columns: fer_jax/faces/table.py), settings.json. --faces is a mixture
to start from. Each flag whose default is "from the preset" changes one thing in it.

No figure of the paper: the data set that comes with the project. One core draws about a hundred faces of 224 px a
second and writes them as PNG at half that pace. Expected: every expression can be named at a glance. The faces are
synthetic: for testing methods, never for claims about people.
"""

import dataclasses
import pathlib
import sys

from experiments.config import Command, Pictures, Workers
from experiments.harness import command
from experiments.harness.command import again, option
from experiments.harness.progress import Progress
from fer_jax.cores import usable_cores
from fer_jax.errors import UsageError, check_count
from fer_jax.expressions import EXPRESSIONS

_MIXTURE = ("nuisance", "label_noise", "label_noise_kind", "blend", "open_set", "prior", "glasses", "occluders")


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the drawn faces."""

    out: str | None = option(None, "PNG of the sheet, or folder of the files.", unset="faces.png, or faces")
    sheet: str = option("contact", "What the sheet shows.", choices=("contact", "naming", "oracle", "masks"))
    num_images: int = option(0, "Instead of a sheet, a folder of this many files; 0: a sheet.", aliases=("images",))
    faces: str = again(Pictures, "faces", aliases=("preset",))
    nuisance: float | None = option(None, "Pose, light, framing, blur and noise, 0..1.5.")
    intensity: str | None = option(None, "Lowest and highest intensity of an expression in 0..1.2, such as 0.2,0.8.")
    label_noise: float | None = option(None, "Share of wrong labels.")
    label_noise_kind: str | None = option(None, "Which labels are confused.", choices=("uniform", "affectnet"))
    blend: float | None = option(None, "Share of faces that mix two expressions.")
    open_set: float | None = option(None, "Share of faces that show none of the eight.")
    prior: str | None = option(None, "Files: how often each expression comes.", choices=("balanced", "affectnet"))
    glasses: float | None = option(None, "Share of faces with glasses.")
    occluders: float | None = option(None, "Share of faces with a mask, a hand or an eye patch.")
    expressions: str | None = option(None, "Comma-separated expressions.", unset="all eight")
    identities: int | None = option(None, "People.", unset="6; 1 of oracles and masks; in files a new one for each")
    image_size: int = option(224, "Side of a face, pixels.", fills=("size",))
    seed: int = again(Command, "seed")
    split: str = option("stimuli", "Whose people.", choices=("train", "validation", "stimuli"))
    regions: bool = option(False, "Files: also write region masks.")
    workers: int = again(Workers, "workers")


def main(config: Config) -> None:
    """Draw and write a sheet, or a folder of files, and print where."""
    command.check_bounds(config)
    if config.num_images < 0:
        raise UsageError(f"`--num_images`: wanted 0 for a sheet, or how many files, got {config.num_images}.")
    names = ()
    if config.expressions is not None:
        names = command.parse_names("expressions", config.expressions, EXPRESSIONS, wanted="some of")
    preset = mixture(config)
    from experiments import face_files

    if not config.num_images:
        path = pathlib.Path(config.out or "faces.png")
        if path.suffix != ".png":
            raise UsageError(
                f"`--out`: wanted a name that ends in .png, got {path}; --num_images=N writes a folder of files."
            )
        for written in face_files.write_sheet(path, preset, names, config):
            print(written)
        return
    if names and preset.prior != "balanced":
        raise UsageError(f"`--expressions`: wanted none with --prior={preset.prior}, which draws them; drop one.")
    if config.identities is not None:
        check_count("identities", config.identities, 1)
    files = face_files.FaceFiles(
        folder=config.out or "faces",
        seed=config.seed,
        split=config.split,
        preset=preset,
        size=config.image_size,
        expressions=names,
        identities=config.identities or 0,
        regions=config.regions,
    )
    workers = config.workers or usable_cores()
    progress = Progress("Drawing", config.num_images, unit="pictures")
    print(face_files.write_folder(files, config.num_images, workers=workers, tell=progress.update))
    progress.finish()


def mixture(config: Config):
    """Return the preset with the changes of the flags: a `faces.Preset`."""
    from fer_jax import faces

    changes = {name: getattr(config, name) for name in _MIXTURE if getattr(config, name) is not None}
    if config.intensity is not None:
        try:
            low, high = map(float, config.intensity.split(","))
        except ValueError:
            raise UsageError(f"`--intensity`: wanted two numbers such as 0.2,0.8, got {config.intensity!r}.") from None
        changes["intensity"] = low, high
    return dataclasses.replace(faces.PRESETS[config.faces], **changes)


if __name__ == "__main__":
    sys.exit(command.run(main, Config, usage=__doc__))
