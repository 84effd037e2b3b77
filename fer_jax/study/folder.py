"""The folder of a web study: made once from a table of pictures, with everybody's plan drawn and stored.

Contract: the folder holds `study.json`, `study.sqlite`, `stimuli/` with two PNG files a picture, `texts/` for the
researcher's words, `landmarks.npz` where landmarks are known (simulated people aim at them), and `codes.csv` with
everybody's code and link. The last is the only place where codes can be read.
"""

import base64
import csv
import hashlib
import hmac
import io
import os
import pathlib
import secrets
import shutil
import zipfile
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd

from fer_jax.data.pictures.decode import encode_png, square
from fer_jax.errors import DataError, StorageError, UsageError
from fer_jax.expressions import EXPRESSIONS, canonical_name, paper_first
from fer_jax.files import write_whole
from fer_jax.frame import LANDMARKS
from fer_jax.human import plan as plans
from fer_jax.human import stimuli as pictures
from fer_jax.human.study import COLUMNS, check_images
from fer_jax.streams import stream
from fer_jax.study.records import Stimulus, Trial, sha256
from fer_jax.study.settings import MAX_OPTIONS, MAX_TRIALS, Settings, checked, write_settings
from fer_jax.study.store import Store

CODES = "codes.csv"
SECRET = "secret"
STIMULI = "stimuli"
TEXTS = "texts"
LANDMARKS_FILE = "landmarks.npz"
# Crockford's base 32: no letter is taken for a digit.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CODE_LENGTH = 8
PRACTICE_STREAM, ORDER_STREAM, OPTION_STREAM = 3, 1, 2


def make_study_folder(
    folder: str | os.PathLike[str],
    images: pd.DataFrame,
    read: Callable[[str], np.ndarray],
    *,
    settings: Settings,
    participants: int,
    practice: pd.DataFrame | Sequence[str] = (),
    landmarks: Callable[[str], np.ndarray] | None = None,
    note: Callable[[str], None] = lambda line: None,
) -> None:
    """Make a study's folder: stimuli, plans, codes and links. A folder is made whole or not at all.

    Args:
      folder: that does not exist, or is empty.
      images: image, true_label, false_label and, where there are more than two, options separated by "|".
      read: name of an image -> its picture, uint8 (H, W, 3), RGB.
      settings: of the study.
      participants: places for people.
      practice: images for practice, which `images` does not hold: a table like `images`, or names alone. A picture of
        which no answers are known is shown with those of the study's trials in turn.
      landmarks: name of an image -> float (68, 2), iBUG order, in pixels of its picture at `settings.image_px`. All
        NaN where nobody knows them. None where they are known of no picture.
      note: takes a line for the researcher.

    Raises:
      UsageError: settings that cannot be used, a folder with files in it, no participants.
      DataError: a table that is no study, or a picture that cannot be shown.
      StorageError: the folder cannot be written.
    """
    settings = checked(settings)
    if not 1 <= participants <= 10_000:
        raise UsageError(f"`participants`: wanted 1..10000, got {participants}.")
    folder = pathlib.Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"`study_dir`: wanted a new folder, {folder} has files in it. Choose another.")
    shown = with_options(images, settings)
    if len(shown) > MAX_TRIALS:
        raise DataError(f"`images`: wanted at most {MAX_TRIALS} pictures, got {len(shown)}.")
    rehearsed = _practice_table(shown, practice, settings)
    making = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(making, ignore_errors=True)
    try:
        (making / STIMULI).mkdir(parents=True, mode=0o700)
        os.chmod(making, 0o700)
        (making / TEXTS).mkdir()
        write_settings(making, settings)
        write_whole(making / SECRET, secrets.token_hex(32))
        os.chmod(making / SECRET, 0o600)
        with Store(making, create=True) as store:
            store.add_stimuli(_render(making, pd.concat([rehearsed, shown]), read, len(rehearsed), settings))
            _add_people(making, store, shown, rehearsed, settings, participants)
        if landmarks is not None:
            _write_landmarks(making, {name: landmarks(name) for name in shown["image"]})
        if folder.exists():
            folder.rmdir()
        os.replace(making, folder)
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"`study_dir`: {folder} cannot be written: {error.strerror}. Choose another.") from error
    finally:
        shutil.rmtree(making, ignore_errors=True)
    labels = {label for text in shown["options"] for label in text.split("|")}
    strange = sorted(label for label in labels if canonical_name(label) not in EXPRESSIONS)
    if strange:
        note(
            f"the page asks which expression a face shows, and {strange[0]!r} is none: write your question, consent "
            f"and instructions into {folder / TEXTS / f'{settings.lang}.json'}."
        )
    share = settings.blur / settings.image_px
    note(
        f"{len(shown)} pictures of {settings.image_px} px, blurred with k = {settings.blur} (k / side = {share:.4f}), "
        f"discs of radius {settings.radius} px; {participants} places."
    )


def read_landmarks(folder: str | os.PathLike[str], images: Iterable[str]) -> np.ndarray:
    """Return the landmarks of some pictures of a study.

    Returns:
      float32 (T, 68, 2), iBUG order, in pixels of the stimuli. All NaN of a picture without.

    Raises:
      StorageError: a file that is damaged.
    """
    path = pathlib.Path(folder) / LANDMARKS_FILE
    unknown = np.full((LANDMARKS, 2), np.nan, np.float32)
    if not path.is_file():
        return np.stack([unknown for _ in images])
    try:
        with np.load(path, allow_pickle=False) as arrays:
            known = dict(zip(arrays["image"].tolist(), arrays["landmarks"], strict=True))
        return np.stack([known.get(image, unknown) for image in images])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise StorageError(f"`study_dir`: {path} cannot be read: {error}. Remove it to go on without.") from None


def _write_landmarks(folder, known) -> None:
    """Write what is known. A picture without landmarks is left out."""
    known = {name: points for name, points in known.items() if np.isfinite(points).all()}
    if known:
        file = io.BytesIO()
        np.savez(file, image=np.array(list(known)), landmarks=np.stack(list(known.values())).astype(np.float32))
        write_whole(folder / LANDMARKS_FILE, file.getvalue())


def with_options(images: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Return the table with a column `options`: the true label first.

    With two options the second is the false label. With more, the table's own options stand, or the false ones are
    drawn.

    Raises:
      DataError: a row that is no trial of this study.
    """
    if "options" in images and not (images["options"].isna() | images["options"].eq("")).all():
        return _own_options(images)
    labels = paper_first({*images["true_label"], *images.get("false_label", ())} - {""})
    if settings.num_options == 2:
        check_images(images)
        options = [f"{true}|{false}" for true, false in zip(images["true_label"], images["false_label"], strict=True)]
        return _refuse_bars(images[list(COLUMNS)].assign(options=options))
    if settings.num_options > len(labels):
        raise DataError(
            f"`num_options`: wanted at most the {len(labels)} labels of the pictures, got {settings.num_options}."
        )
    options = []
    for row, true in enumerate(images["true_label"]):
        foils = [label for label in labels if label != true]
        order = np.argsort(stream(settings.seed, OPTION_STREAM, row).random(len(foils)), kind="stable")
        options.append("|".join([true, *(foils[i] for i in sorted(order[: settings.num_options - 1]))]))
    check_images(images.assign(false_label=[text.split("|")[1] for text in options]))
    return _refuse_bars(images[["image", "true_label"]].assign(false_label="", options=options))


def token_of(folder: pathlib.Path, label: str) -> str:
    """Return the token in a participant's link: 128 bits that nobody can guess.

    Raises:
      StorageError: the study's secret cannot be read.
    """
    return base64.b32encode(_digest(folder, f"token {label}")[:16]).decode().rstrip("=").lower()


def code_of(folder: pathlib.Path, label: str) -> str:
    """Return the code a participant types: 8 characters of Crockford's base 32."""
    return _short(_digest(folder, f"code {label}"))


def end_code_of(folder: pathlib.Path, label: str) -> str:
    """Return the code that shows that a participant has finished."""
    return _short(_digest(folder, f"end {label}"))


def _short(digest: bytes) -> str:
    number = int.from_bytes(digest[:8], "big")
    return "".join(_ALPHABET[(number >> 5 * place) & 31] for place in range(CODE_LENGTH))


def _digest(folder, text: str) -> bytes:
    """Return what only this study can work out from a text."""
    path = pathlib.Path(folder) / SECRET
    try:
        return hmac.new(path.read_bytes(), text.encode(), hashlib.sha256).digest()
    except OSError as error:
        raise StorageError(f"`study_dir`: {path} cannot be read: {error.strerror}.") from error


def typed_code(text: str) -> str:
    """Return a code as it was meant: no blanks or dashes, upper case, O and I and L as digits."""
    text = "".join(text.split()).replace("-", "").upper()
    return text.translate(str.maketrans("OIL", "011"))


def add_participant(
    folder: pathlib.Path,
    store: Store,
    label: str,
    number: int,
    *,
    study: pd.DataFrame,
    practice: pd.DataFrame,
    settings: Settings,
    simulated: bool = False,
) -> None:
    """Draw one participant's plan and store it.

    Args:
      folder: of the study.
      store: its database.
      label: of the person.
      number: of the person's stream, from 0.
      study: from `with_options`.
      practice: the same for practice.
      settings: of the study.
      simulated: whether a program takes part.
    """
    store.add_participant(
        label,
        token=token_of(folder, label),
        code=code_of(folder, label),
        plan=_plan(study, practice, number, settings),
        simulated=simulated,
    )


def _plan(study, practice, number, settings) -> list[Trial]:
    drawn = plans.draw_plan(
        study,
        participant=number,
        seed=settings.seed,
        blocks=min(settings.blocks, len(study)),
        order=settings.order,
        side=settings.side,
    )
    options = dict(zip(study["image"], study["options"], strict=True))
    # With more than two, the order of the answers is one person's own and stays.
    everything = paper_first({label for text in study["options"] for label in text.split("|")})
    keys = stream(settings.seed, number, ORDER_STREAM).random(len(everything))
    place = dict(zip(everything, keys, strict=True))
    trials = []
    for row in range(len(practice)):
        image, text = practice["image"].iloc[row], practice["options"].iloc[row]
        order = sorted(text.split("|"), key=lambda label: place.get(label, 2.0))
        trials.append(Trial(row - len(practice), 0, image, secrets.token_urlsafe(12), tuple(order)))
    for row in drawn.to_dict("records"):
        listed = options[row["image"]].split("|")
        two = [row["left_label"], row["right_label"]]
        order = two if len(listed) == 2 else sorted(listed, key=place.__getitem__)
        trials.append(Trial(row["trial"], row["block"], row["image"], secrets.token_urlsafe(12), tuple(order)))
    return trials


def _add_people(folder, store, shown, rehearsed, settings, participants) -> None:
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\n")
    table.writerow(["participant", "code", "link", "end_code"])
    width = max(2, len(str(participants)))
    for number in range(participants):
        label = f"P{number + 1:0{width}d}"
        add_participant(folder, store, label, number, study=shown, practice=rehearsed, settings=settings)
        table.writerow([label, code_of(folder, label), f"/s/{token_of(folder, label)}", end_code_of(folder, label)])
    write_whole(folder / CODES, written.getvalue())
    os.chmod(folder / CODES, 0o600)


def _render(folder, table, read, num_practice, settings):
    for row, (image, true, false, options) in enumerate(
        zip(table["image"], table["true_label"], table["false_label"], table["options"], strict=True)
    ):
        sharp = square(_checked_picture(read(image), image), settings.image_px)
        veiled = pictures.blurred(sharp, settings.blur)
        name = f"{row:05d}"
        found = {}
        for kind, pixels in (("sharp", sharp), ("blurred", veiled)):
            encoded = encode_png(pixels)
            write_whole(folder / STIMULI / f"{name}.{kind}.png", encoded)
            found[kind] = (len(encoded), sha256(encoded))
        yield Stimulus(
            image, name, true, false, tuple(options.split("|")), row < num_practice, *found["sharp"], *found["blurred"]
        )


def _checked_picture(image, name) -> np.ndarray:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise DataError(f"`images`: {name}: wanted uint8 (H, W, 3), got {image.dtype} {image.shape}.")
    return image


def _practice_table(shown, practice, settings) -> pd.DataFrame:
    if not isinstance(practice, pd.DataFrame):
        practice = pd.DataFrame({"image": list(practice)})
    practice = practice.head(settings.practice).reindex(columns=[*COLUMNS, "options"], fill_value="")
    twice = set(practice["image"]) & set(shown["image"])
    if twice:
        raise DataError(f"`practice`: wanted pictures that the study does not show, got {sorted(twice)[0]!r}.")
    # The true label is not stored: nobody is told which answer is right.
    options = [_practice_options(shown, row, one, settings) for row, one in enumerate(practice.to_dict("records"))]
    return practice.assign(true_label="", false_label="", options=options)


def _practice_options(shown, row, one, settings) -> str:
    """Return the answers to a practice picture: its own, or those of a trial with the same true label."""
    two = settings.num_options == 2 and one["true_label"] and one["false_label"]
    if one["options"] or two:
        return with_options(pd.DataFrame([one]), settings)["options"].iloc[0]
    alike = shown["options"][shown["true_label"] == one["true_label"]]
    answers = alike if len(alike) else shown["options"]
    return answers.iloc[row % len(answers)]


def _own_options(images) -> pd.DataFrame:
    rows = []
    for row, (image, true, text) in enumerate(
        zip(images["image"], images["true_label"], images["options"], strict=True)
    ):
        options = [option.strip() for option in str(text).split("|")]
        if true not in options or len(set(options)) != len(options) or not 2 <= len(options) <= MAX_OPTIONS:
            raise DataError(
                f"`images`: row {row}: options: wanted 2..{MAX_OPTIONS} different ones, the true label {true!r} among "
                f"them, got {text!r}."
            )
        others = [option for option in options if option != true]
        rows.append((image, true, others[0] if len(options) == 2 else "", "|".join([true, *others])))
    table = pd.DataFrame(rows, columns=[*COLUMNS, "options"])
    check_images(table.assign(false_label=[text.split("|")[1] for text in table["options"]]))
    return table


def _refuse_bars(table) -> pd.DataFrame:
    for label in {*table["true_label"], *table["false_label"]}:
        if "|" in label:
            raise DataError(f"`images`: wanted labels without |, got {label!r}.")
    return table
