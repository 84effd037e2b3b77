"""AffectNet (Mollahosseini et al. 2017, 10.1109/TAFFC.2017.2740923) as it lies on people's disks: which copy it is.

Contract: a copy is recognised by its marker files. Two kinds under one root, or none, is an error that says what
was looked for. `release` picks one. The official validation set is never called test.
"""

import os

from fer_jax.data.file_tree import Tree
from fer_jax.data.listing import Listing, NotThisSet
from fer_jax.data.sources.affectnet.original import AUTOMATIC, MANUAL, list_original
from fer_jax.data.sources.affectnet.repackaged import RELABELLED, is_named, list_named, list_relabelled
from fer_jax.data.sources.affectnet.set8 import list_arrays, sets_of
from fer_jax.data.sources.class_folders import is_class_folder, list_folders, split_of
from fer_jax.data.sources.search import find_files
from fer_jax.errors import DataError, UsageError, check_one_of

RELEASES = ("auto", "original", "original_with_auto", "set8", "folders", "named", "relabelled")


def list_affectnet(
    tree: Tree,
    *,
    release: str = "auto",
    drop_bad_box: bool = False,
    votes: str | os.PathLike | None = None,
    label_table: str | None = None,
) -> Listing:
    """Return the listing of a copy of AffectNet: "train", "validation", and "automatic" where it is asked for.

    Args:
      tree: the root.
      release: "original", the picture folders with csv lists. "original_with_auto", these and the automatically
        annotated ones. "set8", the later eight-class set with `.npy` annotations. "folders", class folders made from
        either. "named", labels in the file names. "relabelled", class folders with a `labels.csv` of a model's labels.
        "auto", whichever is there.
      drop_bad_box: "original": leave out the rows without a usable box (one of the training set has none).
      votes: AffectNetC25's csv, or both with a comma between: 25 people's labels for some rows of the original's
        training list.
      label_table: "folders": key of `LABEL_TABLES`: whose numbers the folders' names are. AffectNet's order and the
        alphabetical one are both about, and a folder does not say which it is.

    Raises:
      UsageError: an argument out of range.
      DataError: no AffectNet, several copies, or numbers that nobody named.
    """
    check_one_of("release", release, RELEASES)
    found = _layouts(tree)
    if release == "auto":
        release = _only(tree, found)
    elif release not in found:
        there = f"; it looks like {', '.join(f'`release`={name}' for name in found)}" if found else ""
        raise NotThisSet(f"`path`: {tree.name} is no AffectNet of release {release}: {_LOOKED_FOR[release]}{there}.")
    if votes is not None and not release.startswith("original"):
        raise UsageError(f"`votes`: goes with the rows of the original's training list, got the release {release}.")
    if label_table is not None and release != "folders":
        raise UsageError(f"`label_table`: goes with numbered class folders, got the release {release}; leave it out.")
    if release.startswith("original"):
        return list_original(tree, found[release], release=release, drop_bad_box=drop_bad_box, votes=votes)
    if release == "set8":
        return list_arrays(tree)
    if release == "named":
        return list_named(tree)
    if release == "relabelled":
        return list_relabelled(tree, found[release][0])
    return list_folders(tree, label_table=label_table, release_name="affectnet folders")


_LOOKED_FOR = {
    "original": "training.csv or validation.csv, beside Manually_Annotated_Images/",
    "original_with_auto": "these and automatically_annotated.csv",
    "set8": "train_set/, val_set/ or valid_set/ with annotations/<id>_exp.npy",
    "folders": "train/, val/ or test/ with folders 0..7 or of the expressions' names",
    "named": "pictures named <id>s<expression>s<valence>s<arousal>.jpg",
    "relabelled": "labels.csv with the columns pth, label",
}


def _layouts(tree) -> dict[str, list[str]]:
    """Release -> its marker files there. `original_with_auto` stands beside `original` where both lists are."""
    found: dict[str, list[str]] = {}
    manual = find_files(tree, MANUAL, depth=3)
    automatic = find_files(tree, (AUTOMATIC,), depth=3)
    if manual:
        found["original"] = manual
    if automatic:
        found["original_with_auto"] = manual + automatic
    tops = tree.folders()
    if sets_of(tree):
        found["set8"] = []
    relabelled = find_files(tree, (RELABELLED,), depth=1)
    if relabelled:
        found["relabelled"] = relabelled
    elif _class_folders(tree, tops):
        found["folders"] = []
    if is_named(tree):
        found["named"] = []
    return found


def _class_folders(tree, tops):
    splits = [top for top in tops if split_of(top)]
    inner = [folder for top in splits for folder in tree.folders(top)] if splits else tops
    return bool(inner) and all(is_class_folder(folder.rpartition("/")[2]) for folder in inner)


def _only(tree, found) -> str:
    """Return the only release, the manual lists where the automatic ones lie beside them."""
    if "original" in found and "original_with_auto" in found:
        found = {name: files for name, files in found.items() if name != "original_with_auto"}
    if len(found) == 1:
        return next(iter(found))
    if found:
        raise DataError(
            f"`path`: {tree.name} looks like {' and '.join(found)} at once; give the folder of one of them, or (in "
            "code and prepare_data) name one with `release`."
        )
    unread = [kind for kind, suffix in (("Parquet", ".parquet"), ("YOLO", "data.yaml")) if _holds(tree, suffix)]
    if unread:
        raise DataError(
            f"`path`: {tree.name} is a {unread[0]} repackaging of AffectNet, which is not read: unpack it into class "
            "folders (train/<expression>/...)."
        )
    raise NotThisSet(f"`path`: {tree.name} is no AffectNet: looked for {'; '.join(_LOOKED_FOR.values())}; found none.")


def _holds(tree, suffix):
    folders = ["", *tree.folders()]
    return any(path.lower().endswith(suffix) for folder in folders for path in tree.listed(folder))
