"""The commands of docs/study.md are commands, with flags that are there."""

import re
import shlex

import pytest

from fer_jax.study import commands


def lines(root):
    text = (root / "docs" / "study.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    shown = re.findall(r"`(fer-study (?!init --help)[^`]+)`", text)
    return [line for block in blocks for line in block.splitlines() if line.startswith("fer-study")] + shown


def test_every_command_of_the_page_is_understood(root, monkeypatch):
    found = lines(root)
    assert len(found) >= 8
    for line in found:
        arguments = commands._parser().parse_args(shlex.split(line)[1:])
        assert arguments.study_dir in ("demo", "lab"), line


@pytest.mark.parametrize(
    "flag", ["--open_link", "--url_parameters", "--completion_url", "--num_options", "--resume_hours"]
)
def test_every_flag_that_the_page_names_is_there(root, flag):
    assert flag in (root / "docs" / "study.md").read_text(encoding="utf-8")
    assert flag.removeprefix("--") in commands.Settings.__dataclass_fields__
