"""The console script `fer-study`: make a study, serve it, and take its data out.

  fer-study serve --study_dir=demo                     a demonstration on drawn faces, made if it is not there
  fer-study init --study_dir=lab --images=images.csv   a study of the researcher's own pictures
  fer-study status|export|withdraw|ingest|backup|simulate --study_dir=lab

Each command says what it wants with `fer-study COMMAND --help`.
"""

import argparse
import contextlib
import dataclasses
import functools
import pathlib
import shutil
import socket
import ssl
import sys
from collections.abc import Sequence
from typing import NoReturn

import pandas as pd

from fer_jax.errors import DataError, FerError, StorageError, UsageError
from fer_jax.expressions import EXPRESSIONS, canonical_name
from fer_jax.files import lock
from fer_jax.human import bids, observers, trials
from fer_jax.human.clicks.files import stimulus_path
from fer_jax.human.observers.regions import without_landmarks
from fer_jax.study import events, folder, listening, pictures, projection, robots, server
from fer_jax.study.records import Refused, now, sha256
from fer_jax.study.settings import Settings, checked, meaning, offered, read_settings
from fer_jax.study.store import Store

SOURCES = ("images", "folders", "prepared")
LOCK = "LOCK"
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
DEMONSTRATION_PX = 320


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Return its exit code: 0 done, otherwise that of the error."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.command(arguments)
    except FerError as error:
        sys.stderr.write(f"fer-study: {error}\n")
        return error.exit_code
    return 0


def script() -> None:
    """Run the command line, as the console script."""
    sys.exit(main())


def init(arguments) -> None:
    """Make a study's folder of the pictures that the arguments name, as `fer-study init` does."""
    settings = checked(Settings(**{name: value for name, value in _chosen(arguments).items() if value is not None}))
    given = [name for name in SOURCES if getattr(arguments, name)]
    if len(given) != 1:
        got = " and ".join(f"--{name}" for name in given) or "none"
        raise UsageError(
            "`--images`: wanted a table of pictures, or class folders by --folders, or a prepared set by --prepared, "
            f"got {got}."
        )
    for name in ("categories", "class_map"):
        if getattr(arguments, name) and given != ["folders"]:
            raise UsageError(f"`--{name}`: wanted class folders by --folders, got --{given[0]}.")
    if given == ["images"]:
        found = pictures.from_table(pathlib.Path(arguments.images), num_options=settings.num_options)
    else:
        options = {"categories": arguments.categories, "class_map": arguments.class_map, "note": _say}
        draw = pictures.from_prepared
        if given == ["folders"]:
            draw = functools.partial(pictures.from_folders, **options)
        try:
            found = draw(
                pathlib.Path(getattr(arguments, given[0])),
                size=settings.image_px,
                per_ordered_pair=arguments.per_ordered_pair,
                practice=settings.practice,
                seed=settings.seed,
            )
        except FerError as error:
            error.args = (str(error).replace("`path`", f"`--{given[0]}`"),)
            raise
    count = len(found.practice)
    if count < settings.practice:
        _say(f"practice: {count} trials instead of {settings.practice}: there are no other pictures for it.")
    _make(arguments.study_dir, found, settings, arguments.participants)
    _say(f"codes and links: {pathlib.Path(arguments.study_dir) / folder.CODES}. Next: fer-study serve --study_dir="
         f"{arguments.study_dir}")  # fmt: skip


def serve(arguments) -> None:
    """Serve a study until Ctrl+C, as `fer-study serve` does."""
    path = pathlib.Path(arguments.study_dir)
    if not path.exists():
        _say(f"{path} is not there yet: making a demonstration study of drawn faces.")
        _make_demonstration(path)
    settings = read_settings(path)
    _check_tls(arguments.certfile, arguments.keyfile)
    remote = arguments.host not in ("127.0.0.1", "::1", "localhost")
    tls = arguments.certfile is not None
    if remote and not (tls or arguments.behind_proxy):
        raise UsageError(
            "`--host`: wanted 127.0.0.1, or --certfile and --keyfile, or --behind_proxy: answers travel in the clear "
            f"otherwise; got {arguments.host}."
        )
    with _locked(path), Store(path) as store:
        named = [name.strip() for name in arguments.names.split(",") if name.strip()]
        hosts = (*LOCAL_NAMES, *((arguments.host,) if remote else ()), *named)
        secure = tls or arguments.behind_proxy
        app = server.make_app(path, store, settings, hosts=hosts, secure=secure, proxied=arguments.behind_proxy)
        people = store.participants()

        def ready(port: int) -> None:
            host = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
            address = f"{'https' if tls else 'http'}://{named[0] if named else host}:{port}"
            if arguments.behind_proxy and named:
                address = f"https://{named[0]}"
            told = [f"The study is open at {address} until you press Ctrl+C."]
            if people and settings.open_link:
                told.append(f"Open link: {address}/")
            elif people:
                told.append(f"First participant: {address}/s/{folder.token_of(path, people[0].label)}")
                told.append(f"All codes and links: {path / folder.CODES}")
            sys.stdout.write("\n".join(told) + "\n")
            sys.stdout.flush()

        _refuse_taken(arguments.host, arguments.port)
        listening.serve(
            app,
            host=arguments.host,
            port=arguments.port,
            certfile=arguments.certfile,
            keyfile=arguments.keyfile,
            ready=ready,
        )


def _status(arguments) -> None:
    rows = []
    with Store(arguments.study_dir) as store:
        for person in store.participants():
            told = store.events(person.id)
            planned = [trial.trial for trial in store.plan(person.id) if trial.trial > 0]
            done = {trial for trial in projection.answered(told) if trial > 0}
            rows.append(
                {
                    "participant": person.label,
                    "who": "simulated" if person.simulated else "person",
                    "trials": f"{len(done)}/{len(planned)}",
                    "clicks": sum(event["type"] == "click" and (event["trial"] or 0) > 0 for event in told),
                    "reloads": sum(event["type"] == "reload" for event in told),
                    "last seen": person.last_seen or "-",
                    "state": person.closed or ("finished" if len(done) == len(planned) else "open" if told else "new"),
                }
            )
        rows += [{"participant": label, "state": f"withdrew {utc}"} for label, utc in store.tombstones()]
    sys.stdout.write(pd.DataFrame(rows, dtype=object).fillna("").to_string(index=False) + "\n")


def _export(arguments) -> None:
    out = pathlib.Path(arguments.out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"`--out`: wanted a new folder, {out} {'has files in it' if out.is_dir() else 'is a file'}.")
    if arguments.bids and (arguments.split_by or arguments.with_stimuli):
        raise UsageError("`--bids`: wanted without --split_by and --with_stimuli, for its layout is fixed.")
    path = pathlib.Path(arguments.study_dir)
    with Store(path) as store:
        found = projection.tables(store, read_settings(path))
        shown = [one for one in store.stimuli().values() if not one.practice]
    if found.participants.empty:
        raise DataError("`--study_dir`: nobody has taken part yet, there is nothing to export.")
    if arguments.prefix:
        found = trials.prefixed(found, f"{arguments.prefix}-")
    if arguments.bids:
        bids.write_bids(out, found)
    else:
        trials.write(out, found, split_by=arguments.split_by)
    if arguments.with_stimuli:
        _copy_stimuli(path / folder.STIMULI, out / "images", shown)
    people, programs = (~found.participants["simulated"]).sum(), found.participants["simulated"].sum()
    who = "person" if people == 1 else "people"
    _say(f"{out}: {people} {who}, {programs} simulated, {len(found.trials)} answers, {len(found.clicks)} clicks.")


def _copy_stimuli(source, target, shown) -> None:
    """Copy the sharp pictures to the names that the tables call them by."""
    for one in shown:
        place = target / stimulus_path(one.image)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / f"{one.file}.sharp.png", place)


def _withdraw(arguments) -> None:
    with Store(arguments.study_dir) as store:
        store.withdraw(arguments.participant).result()
    _say(f"{arguments.participant}: everything is deleted. Exports and backups made before still hold it.")


def _ingest(arguments) -> None:
    path = pathlib.Path(arguments.file)
    try:
        values = events.parse(path.read_bytes())
    except OSError as error:
        raise StorageError(f"`file`: {path} cannot be read: {error.strerror}.") from error
    except events.BadEvent as error:
        raise DataError(f"`file`: {path}: {error}") from None
    if not isinstance(values, dict) or not isinstance(values.get("token"), str):
        raise DataError(f"`file`: {path}: wanted a file that the study's page offered, got something else.")
    with Store(arguments.study_dir) as store:
        person = _person(store, values["token"])
        options = {trial.trial: trial.options for trial in store.plan(person.id)}
        try:
            checked = events.check_events(values.get("events"), options)
        except events.BadEvent as error:
            raise DataError(f"`file`: {path}: {error}") from None
        settings = read_settings(pathlib.Path(arguments.study_dir))
        checked = events.asked_for(checked, ask=settings.ask, url_parameters=settings.url_parameters)
        added, there = store.ingest(person.label, checked).result()
    _say(f"{person.label}: {added} events added, {there} were there already.")


def _person(store, token):
    try:
        return store.participant(sha256(token))
    except Refused as refused:
        told = (
            "somebody who withdrew: nothing is taken" if refused.word == "withdrawn" else "no participant of this study"
        )
        raise DataError(f"`file`: it belongs to {told}.") from None


def _backup(arguments) -> None:
    with Store(arguments.study_dir) as store:
        store.backup(arguments.out)
    _say(f"{arguments.out}: a copy of the database as of {now()}.")


def _simulate(arguments) -> None:
    path = pathlib.Path(arguments.study_dir)
    settings = read_settings(path)
    with _locked(path), Store(path) as store:
        table, rehearsed = _study_tables(store)
        if settings.num_options != 2 or (table["false_label"] == "").any():
            raise UsageError("`simulate`: simulated people choose between two answers, this study offers more.")
        strange = [name for name in table["true_label"] if canonical_name(name) not in EXPRESSIONS]
        if strange:
            raise UsageError(
                f"`simulate`: simulated people know the paper's eight expressions only, this study has {strange[0]!r}."
                f" To try it, make a study with --class_map={strange[0]}:happy or the like."
            )
        landmarks = folder.read_landmarks(path, table["image"])
        people = observers.simulate(
            table.drop(columns="options"),
            seed=arguments.seed,
            image_px=settings.image_px,
            participants=arguments.participants,
            landmarks=landmarks,
            profile=arguments.profile,
            with_dropouts=False,
            reveal_radius=settings.radius,
            blur_k=settings.blur,
            blocks=min(settings.blocks, len(table)),
        )
        there = len(store.participants()) + len(store.tombstones())
        labels = []
        for number in range(arguments.participants):
            label = f"S{there + number + 1:02d}"
            folder.add_participant(
                path, store, label, there + number, study=table, practice=rehearsed, settings=settings, simulated=True
            )
            labels.append(label)
        with listening.serving(server.make_app(path, store, settings, hosts=LOCAL_NAMES)) as port:
            for label, person in zip(labels, people.participants["participant"], strict=True):
                clicks, answers = robots.habits_of(people, person)
                token = folder.token_of(path, label)
                plan = store.plan(store.participant(sha256(token)).id)
                client = robots.Client("127.0.0.1", port, token)
                robots.take_part(
                    client, clicks=clicks, answers=answers, images={trial.stim_id: trial.image for trial in plan}
                )
                client.close()
    _say(f"{len(labels)} simulated people ({arguments.profile}) took part, {labels[0]} to {labels[-1]}.")
    blind = int(without_landmarks(landmarks).sum())
    if blind and observers.PROFILES[arguments.profile].aim == "region":
        _say(
            f"{blind} of {len(table)} pictures come without landmarks: there they aim where eyes and mouth usually are."
        )


def _study_tables(store):
    """Return the tables that a study was made from: of its trials, and of practice."""
    rows = [
        (one.image, one.true_label, one.false_label, "|".join(one.options), one.practice)
        for one in store.stimuli().values()
    ]
    table = pd.DataFrame(rows, columns=["image", "true_label", "false_label", "options", "practice"])
    parts = [
        part.drop(columns="practice").reset_index(drop=True)
        for part in (table[~table["practice"]], table[table["practice"]])
    ]
    return parts[0], parts[1]


def _make_demonstration(path) -> None:
    settings = Settings(
        title="Which expression is it?",
        pictures="drawn",
        image_px=DEMONSTRATION_PX,
        practice=2,
        blocks=2,
        open_link=True,
    )
    _make(path, pictures.demonstration(size=DEMONSTRATION_PX, seed=0, practice=settings.practice), settings, 24)


def _make(path, found, settings, participants) -> None:
    options = {"practice": found.practice, "landmarks": found.landmarks, "note": _say}
    folder.make_study_folder(path, found.table, found.read, settings=settings, participants=participants, **options)


@contextlib.contextmanager
def _locked(path):
    """Let one process at a time serve a study."""
    try:
        file = open(path / LOCK, "a+")  # noqa: SIM115  held until the end
    except OSError as error:
        raise StorageError(f"`--study_dir`: {path} cannot be written: {error.strerror}.") from error
    with file:
        if not lock(file, f"`--study_dir`: {path}"):
            raise UsageError(f"`--study_dir`: {path} is served by another process. Stop it first.")
        yield


def _check_tls(certfile, keyfile) -> None:
    if certfile is None:
        if keyfile is not None:
            raise UsageError("`--certfile`: wanted the certificate of --keyfile, got none.")
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certfile, keyfile)
    except OSError as error:
        raise StorageError(f"`--certfile`: {certfile} with its key: {error.strerror or error}.") from error


def _refuse_taken(host, port) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            raise UsageError(f"`--port`: {host}:{port} cannot be used: {error.strerror}. Choose another.") from None


def _chosen(arguments) -> dict:
    names = {field.name for field in dataclasses.fields(Settings)}
    found = {name: value for name, value in vars(arguments).items() if name in names}
    for name in ("ask", "url_parameters"):
        found[name] = tuple(filter(None, found[name].split(",")))
    return found


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(UsageError.exit_code, f"{self.prog}: {message}. `{self.prog} --help` lists what there is.\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="fer-study", description=__doc__.splitlines()[0], allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name, work, text):
        one = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        one.add_argument("--study_dir", required=True, help="folder of the study")
        one.set_defaults(command=work)
        return one

    one = command("init", init, "make a study of your own pictures")
    one.add_argument("--images", help="CSV table: image, true_label, false_label (options, practice)")
    one.add_argument("--folders", help="class folders, one a category")
    one.add_argument("--categories", help="with --folders: folders to take, such as happy,sad,anger")
    one.add_argument("--class_map", help="with --folders: folders under other names, such as angry_faces:anger,x:drop")
    one.add_argument("--prepared", help="a set of pictures that experiments.prepare_data has made")
    one.add_argument("--per_ordered_pair", type=int, default=5, help="pictures of each (true, false) that are drawn")
    one.add_argument("--participants", type=int, default=24, help="places")
    for field in dataclasses.fields(Settings):
        _add_setting(one, field)
    one = command("serve", serve, "run a study; a folder that is not there becomes a demonstration")
    one.add_argument("--host", default="127.0.0.1", help="address to listen at")
    one.add_argument("--port", type=int, default=8000, help="port, 0 for a free one")
    one.add_argument("--names", default="", help="names by which browsers call the server, separated by commas")
    one.add_argument("--certfile", help="TLS certificate")
    one.add_argument("--keyfile", help="TLS key")
    one.add_argument("--behind_proxy", action="store_true", help="a proxy on this machine speaks https to browsers")
    command("status", _status, "one line a participant")
    one = command("export", _export, "write tidy tables")
    one.add_argument("--out", required=True, help="folder to make")
    one.add_argument("--with_stimuli", action="store_true", help="also the sharp pictures, for prepare_data")
    one.add_argument("--prefix", default="", help="of this site, put before each participant")
    one.add_argument("--split_by", default="", choices=("subject",), help="give each participant files of his or hers")
    one.add_argument("--bids", action="store_true", help="the BIDS layout, which is written but not read back")
    one = command("withdraw", _withdraw, "delete everything of one participant")
    one.add_argument("participant", help="such as P07")
    one = command("ingest", _ingest, "take the file of unsent events that a page offered")
    one.add_argument("file", help="unsent-events.json")
    one = command("backup", _backup, "copy the database while it is in use")
    one.add_argument("--out", required=True, help="file to make")
    one = command("simulate", _simulate, "let simulated people take part through the server")
    one.add_argument("--participants", type=int, default=24, help="simulated people")
    one.add_argument("--seed", type=int, default=0, help="of the simulated people")
    one.add_argument(
        "--profile",
        choices=tuple(observers.PROFILES),
        type=lambda name: name.replace("-", "_"),
        default="typical",
        help="where they look: " + ", ".join(observers.PROFILES),
    )
    return parser


def _add_setting(parser, field) -> None:
    name, default, text = f"--{field.name}", field.default, meaning(field.name)
    if isinstance(default, bool):
        parser.add_argument(name, action="store_true", help=text)
    elif isinstance(default, tuple):
        parser.add_argument(name, default="", help=f"{text} Separated by commas.")
    else:
        told = f"{text} Default {default!r}."
        parser.add_argument(
            name, type=type(default), default=default, choices=offered(field.name), help=told.replace("%", "%%")
        )


if __name__ == "__main__":
    script()
