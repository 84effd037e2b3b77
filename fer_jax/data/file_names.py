"""Kinds of files by their names: a picture perhaps, a document, an archive, or what a computer leaves beside them."""

import re

_ARCHIVE = re.compile(r".*\.(zip|rar|7z|tar|tgz|gz|bz2|xz|z\d\d|(zip|7z|part|rar)\.?\d{1,3})", re.ASCII | re.IGNORECASE)
_LEFT_BY_COMPUTERS = ("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found")
_PICTURES = re.compile(r".*\.(jpe?g|jfif|png|bmp|tiff?|webp|gif|heic|heif|avif)", re.ASCII | re.IGNORECASE)
# Files that lie beside pictures and are none.
_DOCUMENTS = re.compile(
    r"readme|licen[cs]e|copying|citation|changelog|authors|notice|makefile"
    r"|.*\.(txt|csv|tsv|md|rst|pdf|rtf|docx?|odt|xlsx?|ods|pptx?|json|jsonl|xml|ya?ml|toml|html?|bib|log|pts|npy|npz|mat"
    r"|pkl|pickle|h5|parquet|py|ipynb|sh|m|r|ini|cfg|url|lnk|lst|sha256|md5)",
    re.ASCII | re.IGNORECASE,
)


def is_document(path: str) -> bool:
    """Return whether a file's name is that of a text, a table or a picture's side file, not of a picture."""
    return bool(_DOCUMENTS.fullmatch(path.rpartition("/")[2]))


def is_picture(path: str) -> bool:
    """Return whether a file's name is that of a picture. Pictures under other names are recognised by their content."""
    return bool(_PICTURES.fullmatch(path))


def is_archive(path: str) -> bool:
    """Return whether a file's name is that of an archive."""
    return bool(_ARCHIVE.fullmatch(path))


def visible(name: str) -> bool:
    """Return whether a file is a person's, not one that a computer leaves beside them."""
    return not name.startswith(".") and name.lower() not in _LEFT_BY_COMPUTERS
