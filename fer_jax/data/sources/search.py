"""The files by which a copy of a data set is known, wherever below its root and in whatever case they are."""

from collections.abc import Iterable, Iterator, Sequence

from fer_jax.data.file_tree import Tree, is_archive

# So many of a list's pictures are looked for if one of them is there, else the first ones, then fewer.
_ENOUGH, _EACH, _THEN_EVERY = 50, 1000, 64


def find_files(tree: Tree, names: tuple[str, ...], *, depth: int = 2) -> list[str]:
    """Find files of given names (in any case) at the root or a few folders down. Numbered folders hold pictures only.

    Args:
      tree: where to look.
      names: in lower case.
      depth: how many folders down.

    Returns:
      Paths, sorted by depth, then by name.
    """
    paths = (path for folder in _folders(tree, depth) for path in tree.listed(folder))
    return [path for path in paths if _last(path).lower() in names]


def find_folders(tree: Tree, name: str, *, depth: int = 2) -> list[str]:
    """Find folders of a name (in any case) at the root or a few folders down, also inside one of the same name.

    Args:
      tree: where to look.
      name: in lower case.
      depth: how many folders down.

    Returns:
      Paths, sorted by depth, then by name.
    """
    return [folder for folder in _folders(tree, depth + 1) if folder and _last(folder).lower() == name]


def base_of(tree: Tree, bases: Sequence[str], names: Iterable[str]) -> tuple[str | None, int]:
    """Find the folder that a list's paths start from: the one in which most of the first pictures there are lie.

    A copy may be a part of the set, so the list is followed to the first picture that is there.

    Args:
      tree: where the pictures are.
      bases: folders that come into question, the likeliest first. "" is the root.
      names: the list's paths, in its order.

    Returns:
      The folder, or None where no picture is in any of them, and how many pictures were looked for.
    """
    hits, looked = dict.fromkeys(bases, 0), 0
    for number, name in enumerate(names):
        if number >= _EACH and number % _THEN_EVERY:
            continue
        looked += 1
        for base in bases:
            hits[base] += tree.has(f"{base}/{name}" if base else name)
        if looked >= _ENOUGH and any(hits.values()):
            break
    best = max(bases, key=lambda base: hits[base])
    return best if hits[best] else None, looked


def archives(tree: Tree) -> list[str]:
    """Return the archives at the root, in its folders and in theirs: what somebody forgot to unpack."""
    return [path for folder in _folders(tree, 2) for path in tree.listed(folder) if is_archive(path)]


def _folders(tree, depth) -> Iterator[str]:
    """Yield the root, then the folders so many levels down, level by level, without numbered ones and all in them."""
    level = [""]
    yield from level
    for _ in range(depth):
        level = [folder for parent in level for folder in tree.folders(parent) if not _last(folder).isdecimal()]
        yield from level


def _last(path):
    return path.rpartition("/")[2]
