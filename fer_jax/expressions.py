"""The paper's eight expressions, their other names, and the label tables of the data sets.

Contract: an expression is an integer 0..7, an index into `EXPRESSIONS`. See `categories` for pairs of any K categories.
"""

import difflib
import unicodedata
from collections.abc import Iterable, Mapping

import numpy as np

from fer_jax.categories import DROP, Categories
from fer_jax.errors import DataError, UsageError

# AffectNet's order (Mollahosseini et al. 2017), which the paper's eight classes follow (§3).
EXPRESSIONS = Categories(("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt"))

# Label of each source, in the source's order -> index into EXPRESSIONS.
LABEL_TABLES = {
    "affectnet": (0, 1, 2, 3, 4, 5, 6, 7, DROP, DROP, DROP),
    "fer2013": (6, 5, 4, 1, 2, 3, 0),
    "ferplus": (0, 1, 3, 2, 6, 5, 4, 7, DROP, DROP),
    "ckplus": (0, 6, 7, 5, 4, 1, 2, 3),
    "rafdb": (DROP, 3, 4, 5, 1, 2, 6, 0),  # counted from 1
    "fer2013_contempt": (6, 5, 4, 1, 2, 3, 0, 7),  # FER2013's seven, then contempt: CK+ as one csv
    "sorted_names_8": (6, 7, 5, 4, 1, 0, 2, 3),
    "sorted_names_7": (6, 5, 4, 1, 0, 2, 3),
    "affectnet_c25": (1, 2, 3, 4, 5, 6, 7, 0),
    "wegrzyn2017": (1, 2, 6, 4, 5, 3, 0),
}

_FIRST = {"rafdb": 1}  # tables that do not count from 0
DROPPED = "drop"  # the new name of a class that is left out
_TOLD = 3  # classes of a table that tell it from the others

# Other names of the eight: the word's other forms, and what German, French, Spanish, Korean, Japanese and Chinese
# call the same expression. Case, accents and how a file system composes letters make no difference.
_ALIASES = {
    "neutral": """normal neutrality neutre neutro neutralität 중립 무표정 中立 無表情 ニュートラル 真顔 中性 无表情""",
    "happy": """happiness joy joyful freude fröhlich froehlich glücklich gluecklich glück heureux heureuse joie joyeux
        joyeuse bonheur feliz felicidad alegría alegre 행복 기쁨 喜び 幸福 幸せ 嬉しい 高兴 高興 快乐 快樂 开心 開心
        喜悦""",
    "sad": """sadness trauer traurig traurigkeit triste tristesse tristeza 슬픔 슬픈 悲しみ 悲しい 悲伤 悲傷 伤心 傷心
        难过 難過""",
    "surprise": """surprised suprise suprised überraschung ueberraschung überrascht ueberrascht surpris sorpresa
        sorprendido sorprendida 놀람 놀라움 驚き 惊讶 驚訝 惊奇 驚奇 吃惊 吃驚""",
    "fear": """afraid fearful scared angst ängstlich aengstlich furcht peur miedo temor 공포 두려움 恐怖 恐れ 恐惧 恐懼
        害怕""",
    "disgust": """disgusted ekel angeekelt dégoût dégoûté dégoûtée asco repugnancia 혐오 역겨움 嫌悪 厌恶 厭惡""",
    "anger": """angry wut wütend wuetend ärger aerger zorn zornig colère enojo enojado enojada enfado enfadado enfadada
        ira 분노 화남 怒り 愤怒 憤怒 生气 生氣""",
    "contempt": """contemptuous verachtung verächtlich veraechtlich mépris méprisant méprisante desprecio desdén 경멸
        軽蔑 轻蔑 輕蔑 蔑视 蔑視 鄙视 鄙視""",
}
# Words that are near one of the eight without being its name: nothing is labelled by them, but a message says what they
# may mean.
_NEAR = {
    "neutral": "calm relaxed serious blank expressionless ruhig calme calma tranquilo 평온 平静 平靜 自然 冷静",
    "happy": "smile smiling laugh laughing cheerful glad pleased delighted amused amusement lächeln sourire sonrisa",
    "sad": "sorrow grief crying unhappy depressed upset miserable weinen pleurer llorar 泣き 哭",
    "surprise": "amazed astonished astonishment shock shocked startled étonné asombro",
    "fear": "terrified terror frightened fright panic horror anxious anxiety worried effrayé asustado 불안 不安",
    "disgust": "disgusting revolted repulsed nausea disgusto abscheu dégoûtant desagrado",
    "anger": "mad furious fury rage raging annoyed irritated hostile fâché fâchée énervé rabia enraged 짜증",
    "contempt": "scorn scornful disdain disdainful smirk sneer 不屑",
}


def _key(name: str) -> str:
    """Return a name in the form that is compared. macOS stores accented letters as two characters."""
    apart = unicodedata.normalize("NFKD", name.strip())
    bare = "".join(letter for letter in apart if not unicodedata.combining(letter))
    return unicodedata.normalize("NFC", bare).casefold()


_INDEX_OF_NAME = {
    _key(name): index
    for index, expression in enumerate(EXPRESSIONS)
    for name in (expression, *_ALIASES[expression].split())
}
_MEANT = {_key(word): expression for expression, words in _NEAR.items() for word in words.split()}


def index_of(name: str) -> int:
    """Return the index of an expression given by name or by a common alias.

    Args:
      name: such as "happy", "Happiness" or "angry", also in German, French, Spanish, Korean, Japanese or Chinese.

    Returns:
      An index into `EXPRESSIONS`.

    Raises:
      DataError: the name is unknown. The message lists the known names and the one that was probably meant.
    """
    index = _INDEX_OF_NAME.get(_key(name))
    if index is None:
        told = f"wanted one of {', '.join(EXPRESSIONS)} (or an alias), got {name!r}.{_hint(_key(name))}"
        raise DataError(f"`expression`: {told}")
    return index


def canonical_name(name: str) -> str:
    """Return the paper's name of an expression given by any name of it, and every other name as it is."""
    index = _INDEX_OF_NAME.get(_key(name))
    return name.strip() if index is None else EXPRESSIONS[index]


def paper_first(names: Iterable[str]) -> list[str]:
    """Return names in the paper's order, then the others by name, each once."""
    names = set(names)
    return [name for name in EXPRESSIONS if name in names] + sorted(names - set(EXPRESSIONS))


def noun_of(names: Iterable[str]) -> str:
    """Return what names are called: "expression" where all are among the paper's eight, else "category"."""
    return "expression" if set(names) <= set(EXPRESSIONS) else "category"


def parse_categories(categories: str | Iterable[str]) -> Categories:
    """Return the categories that a flag such as "happy,sad,anger" names, or a sequence of names.

    The paper's eight go by any of their names.

    Raises:
      UsageError: fewer than two, an empty one, or one that comes twice.
    """
    names = categories.split(",") if isinstance(categories, str) else categories
    return Categories(tuple(map(canonical_name, names)))


def parse_class_map(class_map: str | Mapping[str, str]) -> dict[str, str]:
    """Return what a flag such as "angry_faces:anger,unknown:drop" makes of the classes of a set, or a mapping.

    Returns:
      A dict from a class to its new name, which is the paper's where it means one of the eight, or to `DROPPED`.

    Raises:
      UsageError: a part without a colon, an empty name, or a class that comes twice.
    """
    if isinstance(class_map, str):
        parts = [part.rpartition(":") for part in class_map.split(",")]
    else:
        parts = [(old, ":", new) for old, new in class_map.items()]
    mapped: dict[str, str] = {}
    for part in parts:
        old, colon, new = map(str.strip, part)
        if not (colon and old and new):
            got = "".join(part).strip()
            raise UsageError(f"`class_map`: wanted old:new or old:drop, separated by commas, got {got!r}.")
        if old in mapped:
            raise UsageError(f"`class_map`: wanted every class once, got {old!r} twice.")
        mapped[old] = new if new == DROPPED else canonical_name(new)
    return mapped


def _hint(key: str) -> str:
    """Guess what an unknown name means: first by its meaning, then as a slip of the pen."""
    if key in _MEANT:
        return f" Did you mean `{_MEANT[key]}`?"
    # A slip changes a letter or two. A looser likeness takes one expression for another.
    known = (*_INDEX_OF_NAME, *_MEANT)
    swapped = [name for name in known if sorted(name) == sorted(key)]
    near = swapped or difflib.get_close_matches(key, known, n=1, cutoff=0.8)
    if not near:
        return ""
    return f" Did you mean `{_MEANT[near[0]] if near[0] in _MEANT else EXPRESSIONS[_INDEX_OF_NAME[near[0]]]}`?"


def canonical(table: str, labels) -> np.ndarray:
    """Map a source's label numbers to canonical ones.

    Args:
      table: a key of `LABEL_TABLES`.
      labels: integers of any shape, in the source's numbering.

    Returns:
      int32 array of the same shape, 0..7 or `DROP` (-1).

    Raises:
      UsageError: an unknown table.
      DataError: a label outside the table.
    """
    if table not in LABEL_TABLES:
        raise UsageError(f"`table`: wanted one of {', '.join(LABEL_TABLES)}, got {table!r}.")
    lookup = np.asarray(LABEL_TABLES[table], np.int32)
    labels = np.asarray(labels)
    first = _FIRST.get(table, 0)
    outside = (labels < first) | (labels >= len(lookup))
    if outside.any():
        raise DataError(
            f"`labels`: {table} numbers its classes {first}..{len(lookup) - 1}, got {labels[outside].flat[0]}."
        )
    return lookup[labels]


def numberings(labels: Iterable[int], *, only: str | None = None) -> str:
    """Return in words how the label tables number their classes, such as "affectnet (0 neutral, 1 happy, 2 sad, ...)".

    Args:
      labels: numbers that a table must hold to be named.
      only: this table alone.
    """
    told = []
    for table in LABEL_TABLES if only is None else (only,):
        first, end = _FIRST.get(table, 0), len(LABEL_TABLES[table])
        if all(first <= label < end for label in labels):
            known = [f"{n} {EXPRESSIONS[LABEL_TABLES[table][n]]}" for n in range(first, first + _TOLD)]
            told.append(f"{table} ({', '.join(known)}, ...)")
    return ", ".join(told) or "no table has such a number"
