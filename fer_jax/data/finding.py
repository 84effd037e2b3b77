"""The files by which a copy of a data set is known, wherever below its root and in whatever case they are."""

from fer_jax.data.file_names import is_archive
from fer_jax.data.tree import Tree


def find_files(tree: Tree, names: tuple[str, ...], *, depth: int = 2) -> list[str]:
    """Files of given names (in any case) at the root or a few folders down; numbered folders hold pictures only.

    Args:
      tree: where to look.
      names: in lower case.
      depth: how many folders down.

    Returns:
      Paths, sorted by depth, then by name.
    """
    found, level = [], [""]
    for _ in range(depth + 1):
        for folder in level:
            found += [path for path in tree.listed(folder) if path.rpartition("/")[2].lower() in names]
        level = [folder for parent in level for folder in tree.folders(parent) if not _numbered(folder)]
    return found


def archives(tree: Tree) -> list[str]:
    """Return the archives at the root, in its folders and in theirs: what somebody forgot to unpack."""
    level, found = [""], []
    for _ in range(3):
        found += [path for folder in level for path in tree.listed(folder) if is_archive(path)]
        level = [folder for parent in level for folder in tree.folders(parent) if not _numbered(folder)]
    return found


def _numbered(folder):
    return folder.rpartition("/")[2].isdecimal()
