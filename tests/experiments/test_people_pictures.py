"""Pictures that people saw, held out of training whatever split they lie in, and compared with what people saw."""

import numpy as np
import pandas as pd
import pytest

from experiments.config import StudyConfig, resolve
from experiments.study import people_pictures, photographs
from experiments.study.people_pictures import Seen
from fer_jax import data
from fer_jax.errors import DataError

RNG = np.random.default_rng(0)


def _faces(split, names, images=None):
    images = RNG.integers(0, 256, (len(names), 4, 4, 3), np.uint8) if images is None else images
    return data.FaceSet(images, np.zeros(len(names), np.int32), np.asarray(names), split)


def _read(**splits):
    return data.Read({name: _faces(name, names) for name, names in splits.items()}, pd.DataFrame(columns=["path"]))


def _seen(*names, hashes=None):
    return Seen(list(names), hashes or {}, None, {}, ())


def test_what_people_saw_moves_into_validation_from_every_split():
    found = _read(train=["a", "b", "c"], validation=["d", "e"], test=["f", "g"])
    held, told = people_pictures.hold_out(found, _seen("b", "d", "g"), dataset="class_folders")
    assert {split: part.names.tolist() for split, part in held.splits.items()} == {
        "train": ["a", "c"],
        "validation": ["d", "e", "b", "g"],
        "test": ["f"],
    }
    np.testing.assert_array_equal(held.splits["validation"].images[2], found.splits["train"].images[1])
    assert "the 3 pictures that they saw (1 of train, 1 of validation, 1 of test) are held out" in told


def test_copies_and_other_pictures_of_the_same_person_leave_training():
    names = ["S001/a", "S001/b", "S002/a", "S003/a"]
    found = _read(train=names, validation=["S009/a"])
    images = found.splits["train"].images.copy()
    images[3] = images[0]  # the same picture as the one that people saw, under another person's name
    found.splits["train"] = _faces("train", names, images)
    held, told = people_pictures.hold_out(found, _seen("S001/a"), dataset="ckplus")
    assert held.splits["train"].names.tolist() == ["S002/a"]
    assert held.splits["validation"].names.tolist() == ["S009/a", "S001/a"]
    assert sorted(held.rejected["path"]) == ["S001/b", "S003/a"] and set(held.rejected["reason"]) == {"duplicate"}
    assert told.endswith("; left out of training, too: copies (1), others of the same persons (1)")
    held, _ = people_pictures.hold_out(found, _seen("S001/a"), dataset="class_folders")
    assert held.splits["train"].names.tolist() == ["S001/b", "S002/a"]


def test_a_pool_is_divided_around_what_people_saw(capsys):
    labels = np.repeat(np.arange(3), 20).astype(np.int32)
    usual = photographs._parted(labels, 0)
    inside = usual["validation"][[0, 5]]
    np.testing.assert_array_equal(photographs._parted(labels, 0, inside)["validation"], usual["validation"])
    apart = usual["train"][:6]
    parts = photographs._parted(labels, 0, apart)
    assert set(apart) <= set(parts["validation"]) and len(parts["validation"]) == 6 + round(0.2 * 14) + 8
    assert sorted(np.concatenate(list(parts.values()))) == list(range(60))
    assert "17 of 60 pictures were drawn for it" in capsys.readouterr().err


def test_missing_pictures_are_counted_and_named_with_their_reason():
    rejected = pd.DataFrame({"path": ["c"], "reason": ["decode_failed"]})
    people_pictures.refuse_missing(_seen("a"), ["a", "b"], rejected)
    with pytest.raises(
        DataError, match=r"3 of the 5 .* of --data_dir: 'c' \(left out: decode_failed\), 'd', 'e'\. Give"
    ):
        people_pictures.refuse_missing(_seen("a", "b", "c", "d", "e"), ["a", "b"], rejected)


def test_hashes_tell_other_pictures_of_the_same_name():
    seen = _seen("a", "b", hashes={"a": "11", "b": "22"})
    assert people_pictures.check_content(seen, {"a": {"11", "33"}, "b": {"22"}}) == 2
    assert people_pictures.check_content(seen, {"a": {"33"}, "b": {"44"}}) == 0  # another program made the stimuli
    assert people_pictures.check_content(_seen("a"), {}) == 0
    with pytest.raises(DataError, match=r"1 of the 2 pictures have the names .* other content \(SHA-256\): 'b'"):
        people_pictures.check_content(seen, {"a": {"11"}, "b": {"44"}})


@pytest.mark.parametrize(
    ("people", "flags", "told"),
    [
        ("tables", {"participants": 6, "per_ordered_pair": 2}, "--participants=6, --per_ordered_pair=2"),
        ("none", {"masked_ratio": 0.9, "per_ordered_pair": 2, "finetune_images": 8}, "--finetune_images=8, --masked"),
        ("none", {"finetune_images": 640}, ""),  # what the preset says, as flags.txt repeats it
        ("simulated", {"participants": 6, "masked_ratio": 0.9}, ""),
        ("tables", {"masked_ratio": 0.9}, ""),
    ],
)
def test_flags_that_say_nothing_of_these_people_are_named(people, flags, told, tmp_path, capsys):
    given = str(tmp_path) if people == "tables" else people
    resolve(StudyConfig(out="run", people=given, **flags))
    said = capsys.readouterr().err
    assert said.startswith(f"people: {told}") and said.count("\n") == 1 if told else not said
