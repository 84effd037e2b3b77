"""The choices of one web study: checked when a study is made and each time its file is read.

Contract: `study.json` in the study's folder holds the fields of `Settings`. What the paper leaves open is
ours. Sizes are whole pixels of the stimulus, times are seconds or ms as named.
"""

import dataclasses
import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from fer_jax import masks
from fer_jax.errors import DataError, StorageError, UsageError, check_one_of
from fer_jax.files import write_whole
from fer_jax.human.plan import BLOCKS, ORDERS, SIDES

FILE = "study.json"

# Ours: the side of the models' input, so that maps need no resampling.
IMAGE_PX = 224

LANGUAGES = ("en", "de", "ko")
FIELDS = ("age", "gender", "vision")
MAX_OPTIONS = 8
MAX_TRIALS = 5_000


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a study shows, asks and stores.

    Attributes:
      title: title of the study, on every page.
      pictures: what is shown, "photographs" or "drawn".
      image_px: side of the stimulus, pixels.
      blur_k: side of the blur window, pixels. 0 takes the paper's share of the side.
      reveal_radius_px: radius of the disc that a click opens, pixels. 0 takes our share of the side.
      num_options: answers on offer, 2 in the paper, at most 8.
      practice: trials before the first block, on other pictures.
      blocks: parts of the study, with breaks between.
      order: "random" trials (§4.2), or "stratified": blocks with as many pictures of each category, or one more.
      side: of the true label: "balanced" in each block, "random", or "fixed" by the order of the labels.
      allow_blind: let an answer count before the first click.
      iti_ms: blank interval between trials, ms.
      pointer: "any" or "mouse".
      size: "pixels" shows a stimulus pixel as one CSS pixel, "angle" at `view_deg` after a calibration.
      view_deg: visual angle of the picture's width with `size="angle"`, degrees (§4.2).
      distance_cm: from eye to screen with `size="angle"`, cm (§4.2).
      min_window: smallest window, width x height in CSS pixels.
      ask: questions, some of age,gender,vision. Each can be left empty.
      url_parameters: names in the address of a link that are stored, such as PROLIFIC_PID.
      open_link: let the address without a code take the next free place.
      completion_url: where the last page leads, or "" for an end code.
      resume_hours: hours after which an unfinished run is closed.
      lang: language of the page: "en", "de" or "ko".
      seed: seed of the plans and of the draw of pictures.
    """

    title: str = "Facial expressions"
    pictures: str = "photographs"
    image_px: int = IMAGE_PX
    blur_k: int = 0
    reveal_radius_px: int = 0
    num_options: int = 2
    practice: int = 4
    blocks: int = BLOCKS
    order: str = "random"
    side: str = "balanced"
    allow_blind: bool = False
    iti_ms: int = 500
    pointer: str = "any"
    size: str = "pixels"
    view_deg: float = 4.5
    distance_cm: float = 57.0
    min_window: str = "320x480"
    ask: tuple[str, ...] = ()
    url_parameters: tuple[str, ...] = ()
    open_link: bool = False
    completion_url: str = ""
    resume_hours: float = 12.0
    lang: str = "en"
    seed: int = 0

    @property
    def blur(self) -> int:
        """Side of the blur window, pixels."""
        return self.blur_k or masks.blur_size(self.image_px)

    @property
    def radius(self) -> int:
        """Radius of the disc that a click opens, pixels."""
        return self.reveal_radius_px or masks.reveal_radius(self.image_px)

    @property
    def smallest_window(self) -> tuple[int, int]:
        """Width and height, CSS pixels."""
        width, height = self.min_window.split("x")
        return int(width), int(height)


_BOUNDS = {
    "image_px": (32, 2048),
    "blur_k": (0, 2048),
    "reveal_radius_px": (0, 1024),
    "num_options": (2, MAX_OPTIONS),
    "practice": (0, 100),
    "blocks": (1, 100),
    "iti_ms": (0, 60_000),
    "view_deg": (0.1, 90.0),
    "distance_cm": (5.0, 1_000.0),
    "resume_hours": (0.0, 1e5),
    "seed": (0, 2**53),
}
CHOICES = {
    "pictures": ("photographs", "drawn"),
    "order": ORDERS,
    "side": SIDES,
    "pointer": ("any", "mouse"),
    "size": ("pixels", "angle"),
    "lang": LANGUAGES,
}
_PARAMETER = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")


def checked(settings: Settings) -> Settings:
    """Return the settings if they can be used.

    Raises:
      UsageError: the first field that cannot be, with what was wanted.
    """
    for field in dataclasses.fields(Settings):
        value = getattr(settings, field.name)
        _check_type(field.name, value, type(getattr(Settings, field.name)))
        if field.name in _BOUNDS:
            low, high = _BOUNDS[field.name]
            if not low <= value <= high:
                raise UsageError(f"`{field.name}`: wanted {low}..{high}, got {value}.")
        if field.name in CHOICES:
            check_one_of(field.name, value, CHOICES[field.name])
    for name in settings.ask:
        check_one_of("ask", name, FIELDS)
    for name in settings.url_parameters:
        if not _PARAMETER.fullmatch(name):
            raise UsageError(f"`url_parameters`: wanted names such as PROLIFIC_PID, got {name!r}.")
    if not re.fullmatch(r"\d{1,5}x\d{1,5}", settings.min_window):
        raise UsageError(f"`min_window`: wanted width x height such as 900x700, got {settings.min_window!r}.")
    if settings.completion_url and not settings.completion_url.startswith("https://"):
        raise UsageError(f"`completion_url`: wanted an address with https://, got {settings.completion_url!r}.")
    return settings


def offered(name: str) -> tuple[str, ...] | None:
    """Return the values that a command line offers for a setting, None where it takes any."""
    return CHOICES[name] if name in ("lang", "order", "size") else None


def meaning(name: str) -> str:
    """Return what a setting means, in the words of the docstring of `Settings`."""
    told = re.search(rf"^ +{name}: (.+?)(?=^ +\w+: |\Z)", Settings.__doc__ or "", re.MULTILINE | re.DOTALL)
    text = " ".join(told[1].split()) if told else name
    return text[0].upper() + text[1:]


def read_settings(folder: pathlib.Path) -> Settings:
    """Read the settings of a study's folder.

    Raises:
      StorageError: no such file, or one that cannot be read.
      DataError: a file that is no JSON, or a field that cannot be used.
    """
    path = pathlib.Path(folder) / FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StorageError(f"`study_dir`: no study in {folder}: make one with `fer-study init`.") from None
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise DataError(f"{path}: wanted JSON: {error}. Mend the file.") from None
    return settings_of(values, where=str(path))


def settings_of(values: Any, *, where: str) -> Settings:
    """Return settings from the values of a file. Fields that are not there keep their defaults.

    Raises:
      DataError: no object, an unknown field, or a value that cannot be used.
    """
    names = {field.name for field in dataclasses.fields(Settings)}
    if not isinstance(values, Mapping):
        raise DataError(f"{where}: wanted an object of settings, got {type(values).__name__}.")
    strange = sorted(set(values) - names)
    if strange:
        raise DataError(f"{where}: wanted some of {', '.join(sorted(names))}, got {strange[0]!r}.")
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    try:
        return checked(Settings(**fields))
    except UsageError as error:
        raise DataError(f"{where}: {error}") from None


def write_settings(folder: pathlib.Path, settings: Settings) -> None:
    """Write the settings into a study's folder.

    Raises:
      StorageError: the folder cannot be written.
    """
    write_whole(pathlib.Path(folder) / FILE, json.dumps(dataclasses.asdict(settings), indent=2) + "\n")


def _check_type(name, value, kind) -> None:
    wanted = {bool: "true or false", int: "a whole number", float: "a number", str: "text", tuple: "a list of names"}
    fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    fits = fits or (kind is float and isinstance(value, int) and not isinstance(value, bool))
    if isinstance(value, tuple):
        fits = fits and all(isinstance(item, str) for item in value)
    if kind is float and fits:
        fits = value == value  # no NaN
    if not fits:
        raise UsageError(f"`{name}`: wanted {wanted[kind]}, got {value!r}.")
