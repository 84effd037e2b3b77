"""The words of a study's page: ours in each language, and the researcher's own in their place.

Contract: `texts/` of a study's folder may hold `consent.txt`, `instructions.txt`, and `LANG.json` with some of the keys
of ours. All of it reaches the page as text and is never taken for HTML. In a consent `{minutes}` stands for the minutes
that the study takes, about, and `{breaks}`, `{asked}` and `{address}` for what is true of some studies only.
"""

import datetime
import importlib.resources
import json
import math
import pathlib
from collections.abc import Iterable

from fer_jax.errors import DataError, StorageError
from fer_jax.study.folder import TEXTS
from fer_jax.study.records import sha256
from fer_jax.study.settings import Settings

LONG = ("consent", "instructions")
# What a consent says of studies with breaks, with questions, and with parameters of the link.
_OF_SOME = ("breaks", "asked", "address")

# Ours: simulated people, whose times are fitted to the paper's, take 9 s a trial. And reading what comes before.
TRIAL_S, READING_S = 10.0, 180.0
_ROUNDED_TO = 5  # minutes, upward


def page_texts(folder: pathlib.Path, settings: Settings, labels: Iterable[str], *, trials: int) -> dict:
    """Return the texts of the page, the names of the labels on it, and the fingerprint of the consent.

    Args:
      folder: of the study.
      settings: of the study.
      labels: answers on offer.
      trials: of one person, practice among them.

    Raises:
      DataError: a file of the researcher's that cannot be used.
      StorageError: a file that cannot be read.
    """
    ours = importlib.resources.files("fer_jax.study") / "page" / "texts" / f"{settings.lang}.json"
    texts = json.loads(ours.read_text(encoding="utf-8"))
    names = texts.pop("labels")
    own = _own(folder / TEXTS / f"{settings.lang}.json")
    names |= own.pop("labels", {})
    strange = sorted(set(own) - set(texts))
    if strange and strange[0] in {*labels, *names}:
        raise DataError(
            f'{TEXTS}/{settings.lang}.json: wanted words for answers as {{"labels": {{"{strange[0]}": '
            f'"{own[strange[0]]}"}}}}, got {strange[0]!r} beside the texts.'
        )
    if strange:
        raise DataError(f"{TEXTS}/{settings.lang}.json: wanted some of {', '.join(texts)}, labels, got {strange[0]!r}.")
    texts |= own
    for name in LONG:
        text = _read(folder / TEXTS / f"{name}.txt")
        if text is not None:
            texts[name] = text
    texts["consent"] = _filled(
        texts["consent"], {name: texts.pop(f"consent_{name}") for name in _OF_SOME}, settings, trials
    )
    return {
        "lang": settings.lang,
        "texts": texts,
        "labels": {label: names.get(label, label) for label in sorted(labels)},
        "consent_sha256": sha256(texts["consent"]),
    }


def minutes(trials: int, settings: Settings) -> int:
    """Return the minutes that a study takes, about, rounded up to five."""
    seconds = READING_S + trials * (TRIAL_S + settings.iti_ms / 1000)
    return _ROUNDED_TO * math.ceil(seconds / 60 / _ROUNDED_TO)


def _filled(consent: str, of_some: dict[str, str], settings: Settings, trials: int) -> str:
    """Return a consent with what is true of the study in its gaps."""
    holds = {"breaks": settings.blocks > 1, "asked": settings.ask, "address": settings.url_parameters}
    gaps = {name: text if holds[name] else "" for name, text in of_some.items()}
    gaps["address"] = gaps["address"].replace("{names}", ", ".join(settings.url_parameters))
    for name, text in (gaps | {"minutes": str(minutes(trials, settings))}).items():
        consent = consent.replace(f"{{{name}}}", text)
    return consent


def seconds_since(utc: str) -> float | None:
    """Return the seconds since a time, None where there is none."""
    if not utc:
        return None
    then = datetime.datetime.fromisoformat(utc.replace("Z", "+00:00"))
    return (datetime.datetime.now(datetime.UTC) - then).total_seconds()


def _own(path) -> dict:
    text = _read(path)
    if text is None:
        return {}
    try:
        values = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path}: wanted JSON: {error}. Mend the file.") from None
    flat = {**values, **values.get("labels", {})} if isinstance(values, dict) else {}
    if not flat or not all(isinstance(value, str) for name, value in flat.items() if name != "labels"):
        raise DataError(f"{path}: wanted an object of texts.")
    return values


def _read(path) -> str | None:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"{path}: cannot be read as UTF-8 text: {error}.") from error
