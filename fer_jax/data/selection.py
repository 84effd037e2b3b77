"""The selection of a listing's categories, their order and their names.

Contract: before a selection, labels are indices into what a source calls its classes. After it,
they are indices into `Listing.categories`. What a set cannot give is refused here, from its listing, before a picture
is decoded.
"""

import collections
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fer_jax.categories import DROP, Categories
from fer_jax.data.listing import Listing, Rejection, Row
from fer_jax.errors import DataError, UsageError
from fer_jax.expressions import DROPPED, EXPRESSIONS, canonical_name


def mapped(classes: Mapping[Any, Sequence[str]], class_map: Mapping[str, str]) -> dict[Any, str]:
    """Return the category's name for each class, or `DROPPED`.

    Args:
      classes: class -> the names that it goes by. It keeps the first unless `class_map` says otherwise.
      class_map: see `parse_class_map`.

    Raises:
      UsageError: `class_map` names a class that is not there.
    """
    targets, used = {}, set()
    for one, names in classes.items():
        keys = [name for name in names if name in class_map]
        keys += [key for key in class_map if not keys and canonical_name(key) in names]
        used.update(keys)
        name = class_map[keys[0]] if keys else names[0]
        targets[one] = name if name == DROPPED else canonical_name(name)
    strange = next((key for key in class_map if key not in used), None)
    if strange is not None:
        there = ", ".join(dict.fromkeys(names[0] for names in classes.values()))
        raise UsageError(f"`class_map`: wanted classes that are there ({there}), got {strange!r}.")
    return targets


def vocabulary(names: Sequence[str], *, mixed: bool = False) -> Categories:
    """Return the categories that names of classes make: the paper's in the paper's order, others sorted by name.

    Args:
      names: of the classes that are kept. An expression goes by its name in the paper.
      mixed: whether expressions and other names may stand together.

    Raises:
      DataError: expressions and other names stand together, and nobody chose among them.
      UsageError: fewer than two names.
    """
    known = [name for name in EXPRESSIONS if name in names]
    others = sorted(set(names) - set(known))
    if known and others and not mixed:
        raise DataError(
            f"`path`: {', '.join(others)} {'is' if len(others) == 1 else 'are'} no expression, {', '.join(known)} "
            f"{'is' if len(known) == 1 else 'are'}. Leave out with --class_map={others[0]}:{DROPPED}, or choose "
            f"with --categories={','.join([*known, *others])}."
        )
    return Categories((*known, *others))


def select(
    listing: Listing,
    *,
    categories: Sequence[str] | None,
    class_map: Mapping[str, str],
    complete: Sequence[str] = (),
    asked: bool = False,
) -> Listing:
    """Return a listing whose labels are indices into the categories chosen, or into those that are there.

    Rows of other classes become rejections, reason "label_dropped". A category is there if a picture has it as its
    label or in its soft label. Soft labels are taken of the chosen categories alone and sum to 1 again.

    Args:
      listing: as a source gives it.
      categories: see `parse_categories`.
      class_map: see `parse_class_map`.
      complete: splits that must hold pictures of every category.
      asked: classes were renamed or dropped, here or when they were listed.

    Raises:
      UsageError: a category or class that is not there.
      DataError: a category without pictures in a split of `complete`.
    """
    counts = {split: collections.Counter() for split in listing.splits}
    in_all, voted = {}, np.zeros(len(listing.categories), bool)
    for split, rows in listing.splits.items():
        in_all[split] = 0
        for row in rows():
            in_all[split] += 1
            if isinstance(row, Row):
                counts[split][row.label, row.source_label] += 1
                if row.soft_label is not None and listing.votes_count:
                    voted |= row.soft_label > 0
    seen = set().union(*counts.values())
    # A category can have votes and be no picture's label.
    seen = sorted(seen | {(int(at), -1) for at in np.flatnonzero(voted) if at not in {label for label, _ in seen}})
    classes = {one: (listing.categories[one[0]], *([str(one[1])] if one[1] >= 0 else [])) for one in seen}
    targets = mapped(classes, class_map)
    kept = {one: name for one, name in targets.items() if name != DROPPED}
    if categories is not None:
        chosen = _chosen(categories, list(dict.fromkeys(kept.values())))
    elif class_map:
        chosen = vocabulary(list(kept.values()))
    else:
        there = [name for name in listing.categories if name in kept.values()]
        if len(there) < 2 and asked:
            raise UsageError(f"`class_map`: wanted two or more categories, it leaves {', '.join(there) or 'none'}.")
        # A single class can be read. Nothing can be learnt from it, and a study says so.
        chosen = Categories(tuple(there)) if len(there) > 1 else listing.categories
    place = {one: chosen.index(name) if name in chosen else DROP for one, name in targets.items()}
    for split in complete:
        if split in counts:
            _check_complete(split, chosen, {place[one] for one in counts[split]})
    left_out = collections.Counter()
    for found in counts.values():
        for one, count in found.items():
            if place[one] == DROP:
                left_out[classes[one][0]] += count
    same = chosen == listing.categories and all(label == place[label, number] for label, number in place)
    release = listing.release if not class_map and not left_out else f"{listing.release} as {' '.join(chosen)}"
    return dataclasses.replace(
        listing,
        categories=chosen,
        splits=listing.splits
        if same
        else {
            split: functools.partial(_relabelled, rows, listing.categories, chosen, place)
            for split, rows in listing.splits.items()
        },
        release=release,
        remarks=(*_remark(listing.categories, chosen, left_out), *listing.remarks),
        counts=in_all,
    )


def _chosen(categories, there: Sequence[str]) -> Categories:
    """Return the categories asked for, all of them there."""
    names = [name if name in there else canonical_name(name) for name in categories]
    strange = next((asked for asked, name in zip(categories, names, strict=True) if name not in there), None)
    if strange is not None:
        raise UsageError(f"`categories`: wanted two or more of {', '.join(there) or 'none'}, got {strange!r}.")
    return Categories(tuple(names))


def _check_complete(split, chosen, labels) -> None:
    missing = [name for place, name in enumerate(chosen) if place not in labels]
    if missing:
        others = [name for name in chosen if name not in missing]
        advice = f" Without it: --categories={','.join(others)}." if len(others) > 1 else ""
        raise DataError(
            f"`path`: wanted pictures of every category in {split}, got none of {', '.join(missing)}.{advice}"
        )


def _remark(before, chosen, left_out) -> list[str]:
    told = f"categories: {chosen}"
    if left_out:
        return [f"{told} (left out: {', '.join(f'{count} {name}' for name, count in left_out.items())})"]
    missing = [name for name in before if name not in chosen]
    if missing and before == EXPRESSIONS:
        return [f"{told} (no {', no '.join(missing)} in this set)"]
    return [] if chosen == EXPRESSIONS else [told]


def _relabelled(rows, before, chosen, place) -> Iterator[Row | Rejection]:
    """Yield the rows under their new labels."""
    of_label = {label: at for (label, _), at in place.items()}
    columns = np.zeros((len(before), len(chosen)), np.float32)
    for label, at in of_label.items():
        if at != DROP:
            columns[label, at] = 1
    for row in rows():
        if isinstance(row, Rejection):
            yield dataclasses.replace(row, label=of_label.get(row.label, DROP))
            continue
        label = place[row.label, row.source_label]
        if label == DROP:
            yield Rejection(row.row, row.path, "label_dropped", f"{before[row.label]} is left out")
            continue
        soft = None if row.soft_label is None else row.soft_label @ columns
        soft = soft if soft is None or not soft.sum() else (soft / soft.sum()).astype(np.float32)
        yield dataclasses.replace(row, label=label, soft_label=soft)
