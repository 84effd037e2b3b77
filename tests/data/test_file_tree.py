"""Folders and zips: the same view of both, and zips that would leave their folder are refused."""

import os
import stat
import zipfile

import pytest

from fer_jax.data.file_tree import lines, open_tree
from fer_jax.data.pictures.decode import ImageRejected
from fer_jax.errors import DataError


@pytest.fixture(params=["folder", "zip"])
def tree(request, tmp_path):
    root = tmp_path / "set"
    (root / "a" / ".git").mkdir(parents=True)
    for name, content in (
        ("a/x y%20.png", b"1"),
        ("a/.hidden", b""),
        ("a/.git/z", b""),
        ("top.csv", b"\xef\xbb\xbfp\n\nq"),
    ):
        (root / name).write_bytes(content)
    if request.param == "zip":
        with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
            for file in root.rglob("*"):
                archive.write(file, file.relative_to(root))
        root = tmp_path / "set.zip"
    with open_tree(root) as tree:
        yield tree


def test_both_forms_show_the_same(tree):
    assert tree.files() == ["a/x y%20.png", "top.csv"]
    assert tree.files("a") == ["a/x y%20.png"]
    assert tree.files("b") == []
    assert tree.has("top.csv")
    assert not tree.has("a")
    assert tree.read("a/x y%20.png") == b"1"
    assert list(lines(tree, "top.csv")) == [(1, "p"), (3, "q")]
    with pytest.raises(ImageRejected) as caught:
        tree.read("a/absent.png")
    assert caught.value.reason == "missing"


def zip_with(path, name, *, mode=0, twice=False):
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("good.txt", "1")
        archive.writestr(entry, "/etc/passwd")
        if twice:
            with pytest.warns(UserWarning, match="Duplicate"):
                archive.writestr(name, "again")
    return path


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("../out.png", {}, "leads out of its folder"),
        ("data/../../out.png", {}, "leads out of its folder"),
        ("data\\..\\..\\out.png", {}, "leads out of its folder"),
        ("/etc/passwd", {}, "is an absolute name"),
        ("\\windows\\x", {}, "is an absolute name"),
        ("C:/x", {}, "is an absolute name"),
        ("link.png", {"mode": stat.S_IFLNK | 0o777}, "is a link"),
        ("same.png", {"twice": True}, "occurs twice"),
    ],
)
def test_zips_that_no_tool_of_good_will_writes(tmp_path, name, options, told):
    path = zip_with(tmp_path / "bad.zip", name, **options)
    with pytest.raises(DataError, match=told), open_tree(path):
        pytest.fail("opened")


def test_places_where_nothing_is(tmp_path):
    for name in ("text.zip", "set.tar.gz", "set.part01.rar", "set.7z.001", "notes.txt"):
        (tmp_path / name).write_text("no zip")
    with pytest.raises(DataError, match=r"wanted a folder or a zip, got .*nowhere, which does not exist\."):
        open_tree(tmp_path / "nowhere").__enter__()
    with pytest.raises(DataError, match="which is neither"):
        open_tree(tmp_path / "notes.txt").__enter__()
    for name in ("text.zip", "set.tar.gz", "set.part01.rar", "set.7z.001"):
        with pytest.raises(DataError, match=r"or a damaged zip\. Unpack it and give the folder\."):
            open_tree(tmp_path / name).__enter__()


def test_damage_within_a_zip_is_told_entry_by_entry(tmp_path):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", b"first content")
        archive.writestr("b.png", b"second")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"first content", b"fIrst content"))
    with open_tree(path) as tree:
        with pytest.raises(ImageRejected, match="CRC") as caught:
            tree.read("a.png")
        assert caught.value.reason == "decode_failed"
        assert tree.read("b.png") == b"second"
        with pytest.raises(DataError, match=r"a\.png cannot be read"):
            list(lines(tree, "a.png"))


def test_a_truncated_zip_is_refused(tmp_path):
    path = zip_with(tmp_path / "set.zip", "x.png")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match="damaged zip"):
        open_tree(path).__enter__()


def test_pipes_and_giants_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with (tmp_path / "giant.png").open("wb") as stream:
        stream.truncate(65 << 20)
    with open_tree(tmp_path) as tree:
        for name, reason in (("pipe.png", "not_image"), ("giant.png", "too_large")):
            with pytest.raises(ImageRejected) as caught:
                tree.read(name)
            assert caught.value.reason == reason


def test_zips_of_tools_that_write_other_names(tmp_path):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("set\\happy\\", b"")
        archive.writestr("set\\happy\\0.png", b"1")
        archive.writestr("set/Überraschung/0.png", b"2")
    # macOS writes UTF-8 names without the flag that says so.
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = -1
        while (place := content.find(mark, place + 1)) >= 0:
            content[place + offset + 1] &= 0xF7
    path.write_bytes(content)
    with open_tree(path) as tree:
        assert tree.files() == ["set/happy/0.png", "set/Überraschung/0.png"]
        assert tree.folders("set") == ["set/happy", "set/Überraschung"]
        assert tree.read("set/happy/0.png") == b"1"
        assert tree.read("set/Überraschung/0.png") == b"2"


def test_one_name_in_two_spellings_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("happy/0.png", b"1")
        archive.writestr("happy\\0.png", b"2")
    with pytest.raises(DataError, match="which occurs twice"):
        open_tree(tmp_path / "set.zip").__enter__()


def test_folders_that_link_to_each_other_end(tmp_path):
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.png").write_bytes(b"1")
        (tmp_path / name / "to").symlink_to(tmp_path / other)
    with open_tree(tmp_path) as tree:
        assert tree.files() == ["a/to/x.png", "a/x.png", "b/to/x.png", "b/x.png"]


def test_a_folder_that_cannot_be_looked_into_is_told(tmp_path, monkeypatch):
    (tmp_path / "happy").mkdir()
    real = os.scandir

    def scandir(path):
        if str(path).endswith("happy"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr("os.scandir", scandir)
    with open_tree(tmp_path) as tree:
        for look in (tree.files, lambda: tree.listed("happy")):
            with pytest.raises(DataError, match="happy cannot be read: Permission denied"):
                look()


def test_a_folder_linked_into_itself_ends(tmp_path):
    (tmp_path / "x.png").write_bytes(b"1")
    (tmp_path / "again").symlink_to(tmp_path)
    with open_tree(tmp_path) as tree:
        assert "x.png" in tree.files()


def test_lines_without_an_end_are_cut(tmp_path):
    (tmp_path / "label.csv").write_bytes(b"x" * (3 << 20))
    with open_tree(tmp_path) as tree:
        assert [len(text) for _, text in lines(tree, "label.csv")] == [1 << 20] * 3
