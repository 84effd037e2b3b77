"""Stages watched at work: which flags of the configuration and which files of the run folder each one reads."""

import dataclasses
import pathlib
import sys

from experiments.config import StudyConfig
from experiments.study.run import Run

_FIELDS = {field.name for field in dataclasses.fields(StudyConfig)}


class _Watched(StudyConfig):
    """A configuration that tells which of its fields are read; copying it reads none."""

    def __getattribute__(self, name):
        if name in _FIELDS and sys._getframe(1).f_globals["__name__"] != "dataclasses":
            Watch.flags.append((Watch.stage, name))
        return super().__getattribute__(name)


class Watch:
    """What was seen: (stage, flag) and (stage, path) in the order of reading."""

    stage: str | None = None
    flags: list = []  # noqa: RUF012  one watch a process: Python's audit hooks stay for ever
    files: list = []  # noqa: RUF012

    @classmethod
    def around(cls, name, work):
        """The stage `name`, watched."""

        def stage(run):
            config = _Watched(**{field: getattr(run.config, field) for field in _FIELDS})
            cls.stage = name
            try:
                work(Run(config, run.folder, run.stop))  # a fresh one: nothing of an earlier stage's is at hand
            finally:
                cls.stage = None

        return stage


def _hook(event, arguments):
    if event == "open" and Watch.stage is not None:
        path, mode = arguments[:2]
        if isinstance(path, str | pathlib.Path) and (mode or "r").startswith("r"):
            Watch.files.append((Watch.stage, str(path)))


sys.addaudithook(_hook)
