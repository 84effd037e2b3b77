"""Run the study with people: blurred faces that are uncovered click by click, in a browser (paper §4).

    python -m experiments.run_study --study_dir=lab --folders=PATH --per_ordered_pair=5 --participants=24
    python -m experiments.run_study --study_dir=lab --prepared=tfds/ferplus/plurality/1.0.0
    python -m experiments.run_study --study_dir=lab --flagfile=lab.txt

Where do people look when they tell two expressions apart? Makes the study's folder unless it is there, prints the
commands that follow, and serves the study until Ctrl+C. The same command goes on with the same study. Pictures come
from class folders, from a prepared set (whose held-out study images it shows), or from a table (--images). Without any,
faces are drawn for a demonstration. --noserve makes the folder alone. A file of flags repeats a study elsewhere. The
same as the console script `fer-study init` and `fer-study serve`, whose code it calls. One machine of the lab, no GPU.
The paper: 22 people, 280 pictures, 83.9 % right.
"""

import argparse
import dataclasses
import pathlib
import sys
from typing import Any

from experiments.config import People
from experiments.harness import command
from experiments.harness.command import again, option
from fer_jax.errors import UsageError
from fer_jax.study import commands
from fer_jax.study.settings import Settings, meaning, offered


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a study lies, of which pictures it is made, and where it is served."""

    study_dir: str = option("", "Folder of the study.")
    images: str = option("", "Pictures by a CSV table: image, true_label, false_label (options, practice).")
    folders: str = option("", "Pictures in class folders, one a category.", fills=("path",))
    categories: str | None = option(None, "With --folders: folders to take, such as happy,sad,anger.", unset="all")
    class_map: str | None = option(
        None, "With --folders: folders under other names, or left out, such as angry_faces:anger,x:drop.", unset="none"
    )
    prepared: str = option("", "Pictures of a set that experiments.prepare_data has made.", fills=("path",))
    per_ordered_pair: int = again(People, "per_ordered_pair")
    participants: int = option(24, "Places for people.", low=1, high=10_000)
    serve: bool = option(True, "Serve the study once it is there.")
    host: str = option("127.0.0.1", "Address to listen at.")
    port: int = option(8000, "Port, 0 for a free one.", low=0, high=65_535)
    names: str = option("", "Names by which browsers call the server, separated by commas.")
    certfile: str | None = option(None, "TLS certificate.", unset="none")
    keyfile: str | None = option(None, "TLS key.", unset="none")
    behind_proxy: bool = option(False, "A proxy on this machine speaks https to browsers.")


def _flag(field) -> tuple[str, type, Any]:
    """Return the flag of a setting, with the words of the library."""
    several = isinstance(field.default, tuple)
    kind = str if several else type(field.default)
    default = ",".join(field.default) if several else field.default
    return field.name, kind, option(default, meaning(field.name), choices=offered(field.name))


# The settings of a study are defined once, in the library.
RunStudyConfig = dataclasses.make_dataclass(
    "RunStudyConfig", [_flag(field) for field in dataclasses.fields(Settings)], bases=(Place,), frozen=True
)


def main(config: Place) -> None:
    """Make the study's folder unless it is there, say what follows, and serve it."""
    if not config.study_dir:
        raise UsageError("`--study_dir`: wanted a folder for the study, such as --study_dir=lab, got none.")
    command.check_bounds(config)
    arguments, path = argparse.Namespace(**dataclasses.asdict(config)), pathlib.Path(config.study_dir)
    drawn = not any(getattr(config, name) for name in commands.SOURCES)
    if drawn and not path.exists() and not config.serve:
        raise UsageError("`--folders`: wanted pictures by --folders, --prepared or --images, got none.")
    if not drawn and not (path / "study.json").exists():
        commands.init(arguments)
    chosen = "".join(
        f" '--{name}={getattr(config, name)}'" for name in ("categories", "class_map") if getattr(config, name)
    )
    print(
        f"What people did:  fer-study export --study_dir={path} --out=tables\n"
        "What it means:    python -m experiments.analyse_study --people=tables --out=analysis\n"
        "And networks:     python -m experiments.reproduce --out=runs/people --people=tables --dataset=class_folders "
        f"--data_dir={config.folders or 'PATH'}{chosen}",
        flush=True,
    )
    if config.serve:
        commands.serve(arguments)


if __name__ == "__main__":
    sys.exit(command.run(main, RunStudyConfig, usage=__doc__))
