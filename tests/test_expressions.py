import unicodedata

import numpy as np
import pytest

from fer_jax import expressions
from fer_jax.errors import DataError, UsageError


@pytest.mark.parametrize("table", expressions.LABEL_TABLES)
def test_each_table_is_a_partial_bijection(table):
    kept = [label for label in expressions.LABEL_TABLES[table] if label != expressions.DROP]
    assert len(set(kept)) == len(kept)
    assert set(kept) <= set(range(8))


@pytest.mark.parametrize(
    ("table", "names"),
    [
        ("ferplus", "neutral happiness surprise sadness anger disgust fear contempt"),
        ("fer2013", "angry disgust fear happy sad surprise neutral"),
        ("fer2013_contempt", "angry disgust fear happy sad surprise neutral contempt"),
        ("ckplus", "neutral anger contempt disgust fear happy sadness surprise"),
        ("sorted_names_8", "Anger Contempt Disgust Fear Happiness Neutral Sadness Surprise"),
        ("sorted_names_7", "Anger Disgust Fear Happiness Neutral Sadness Surprise"),
        ("wegrzyn2017", "happy sad angry fearful disgusted surprised neutral"),
    ],
)
def test_tables_agree_with_the_names_the_sources_print(table, names):
    spoken = [expressions.index_of(name) for name in names.split()]
    np.testing.assert_array_equal(expressions.canonical(table, np.arange(len(spoken))), spoken)


def test_names_go_round():
    for index, name in enumerate(expressions.EXPRESSIONS):
        assert expressions.index_of(name.upper()) == index


@pytest.mark.parametrize(
    "names",
    [
        "Neutral Freude Trauer Überraschung Angst Ekel Wut Verachtung",
        "neutre joie tristesse surprise peur dégoût colère mépris",
        "neutral feliz triste sorpresa miedo asco ira desprecio",
        "무표정 기쁨 슬픔 놀람 두려움 혐오 분노 경멸",
        "無表情 喜び 悲しみ 驚き 恐怖 嫌悪 怒り 軽蔑",
        "中性 高兴 悲伤 惊讶 恐惧 厌恶 愤怒 轻蔑",
        "NEUTRAL gluecklich traurig UEBERRASCHUNG furcht ekel aerger veraechtlich",
        "neutral alegria tristeza sorpresa scared degout colere mepris",
    ],
)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_in_other_languages_however_their_letters_are_composed(names, form):
    found = [expressions.index_of(unicodedata.normalize(form, name)) for name in names.split()]
    assert found == list(range(8))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("terrified", "fear"),
        ("Smiling", "happy"),
        ("unhappy", "sad"),
        ("mad", "anger"),
        ("astonishd", "surprise"),
        ("scornful", "contempt"),
        ("calm", "neutral"),
        ("disgusto", "disgust"),
        ("Angstt", "fear"),
    ],
)
def test_hints_go_by_meaning(name, meant):
    with pytest.raises(DataError, match=rf"got '{name}'\. Did you mean `{meant}`\?$"):
        expressions.index_of(name)


@pytest.mark.parametrize("name", ["hungry", "bored", "people", "x", "Neu", "7"])
def test_no_hint_where_nothing_is_near(name):
    with pytest.raises(DataError, match=rf"got '{name}'\.$"):
        expressions.index_of(name)


def test_no_name_has_two_meanings():
    names = [expressions._key(name) for texts in expressions._ALIASES.values() for name in texts.split()]
    words = [expressions._key(word) for texts in expressions._NEAR.values() for word in texts.split()]
    assert len(set(names + words)) == len(names + words)


def test_errors_teach():
    with pytest.raises(DataError, match=r"`expression`: wanted one of neutral.* got 'hapy'. Did you mean `happy`\?"):
        expressions.index_of("hapy")
    with pytest.raises(DataError, match=r"fer2013 numbers its classes 0..6, got 7"):
        expressions.canonical("fer2013", [0, 7])
    with pytest.raises(DataError, match=r"rafdb numbers its classes 1..7, got 0"):
        expressions.canonical("rafdb", [1, 0])
    with pytest.raises(UsageError, match=r"`table`: wanted one of affectnet"):
        expressions.canonical("nope", [0])
