"""The small reference numbers are those of the large set, and stay small."""

import numpy as np

from .golden.reduce import reduce


def test_the_small_set_is_small_and_of_numbers(root):
    files = sorted((root / "tests" / "golden").glob("*.npz"))
    assert files
    assert sum(path.stat().st_size for path in files) < 600_000
    for path in files:
        for name, array in np.load(path).items():
            assert array.dtype.kind in "fiub" and name != "x", f"{path}: {name}"


def test_the_small_set_is_made_of_the_large_one(root, tmp_path, large_goldens):
    reduce(large_goldens, tmp_path)
    made = sorted(tmp_path.glob("*.npz"))
    assert [path.name for path in made] == [path.name for path in sorted((root / "tests" / "golden").glob("*.npz"))]
    for path in made:
        kept = np.load(root / "tests" / "golden" / path.name)
        arrays = np.load(path)
        assert set(kept.files) == set(arrays.files)
        for name in kept.files:
            np.testing.assert_array_equal(kept[name], arrays[name])
