"""The command line of every script: flags from one dataclass, errors as one line, exit codes, and a polite stop.

Nothing heavy is imported here, so a wrong flag is answered at once. Exit codes: 0 done, 1 usage, 2 data, 3 storage,
4 a member failed, 5 out of memory, 70 a bug of ours, 75 stopped and resumable, 141 nobody reads the output any more.
"""

import dataclasses
import difflib
import errno
import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

from absl import flags

from experiments.harness.heap import keep_freed_memory
from experiments.harness.kept_programs import keep_programs
from fer_jax.errors import FerError, MemoryExhausted, Preempted, StorageError, UsageError, printable

BUG = 70
_DEFINE = {
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_boolean,
    str: flags.DEFINE_string,
}
# Flags that take less memory when they are lower, the strongest first.
_SHRINKING = ("slots", "batch_size", "chunk", "image_size", "workers", "resamples")
# Flags by which training takes less memory, as they are given.
_SPARING = ("accumulate", "remat", "pictures_on=host")


def option(
    default: Any,
    text: str,
    *,
    choices: Sequence[str] | None = None,
    unset: str = "from the preset",
    fills: Sequence[str] = (),
    low: float | None = None,
    high: float | None = None,
    aliases: Sequence[str] = (),
    old_values: Mapping[str, str | None] | None = None,
    before: Any = None,
) -> Any:
    """Return a field of a script's configuration that becomes a flag.

    Args:
      default: its value where the flag is not given.
      text: its line in `--help`.
      choices: the values allowed, or None for any.
      unset: what a default of None means.
      fills: arguments of the library that it fills and that have other names, so that messages can name the flag.
      low: the least number that is allowed, given with `high`.
      high: the greatest number that is allowed.
      aliases: earlier names of the flag. The command line and old records may use them.
      old_values: earlier names of values -> the values.
      before: its value in records from before the flag was there, None for its default.
    """
    bounds = None if low is None else (low, high)
    about = {"help": text, "choices": choices, "unset": unset, "fills": tuple(fills), "bounds": bounds}
    about |= {"aliases": tuple(aliases), "old_values": dict(old_values or {}), "before": before}
    return dataclasses.field(default=default, metadata=about)


def again(group: type, name: str, **changes: Any) -> Any:
    """Return a flag of a group for a card that takes no other flag of the group.

    Args:
      group: a dataclass of `option`s.
      name: of the flag.
      **changes: arguments of `option` that differ in this card, `text` and `default` among them.
    """
    about = group.__dataclass_fields__[name]
    given = {"text" if key == "help" else key: value for key, value in about.metadata.items() if key != "bounds"}
    low, high = about.metadata["bounds"] or (None, None)
    return option(**({"default": about.default, **given, "low": low, "high": high} | changes))


def upgrade(config_class: type, saved: Mapping[str, Any]) -> dict[str, Any]:
    """Return recorded flags under the names and values of today.

    Args:
      config_class: a dataclass of `option`s.
      saved: flag -> value, as some version recorded them.
    """
    names, values = {}, {}
    for field in dataclasses.fields(config_class):
        names |= dict.fromkeys(field.metadata.get("aliases", ()), field.name)
        values[field.name] = field.metadata.get("old_values", {})
    current = {names.get(name, name): value for name, value in saved.items()}
    return {name: values[name].get(value, value) if values.get(name) else value for name, value in current.items()}


def restored(config_class: type, saved: Mapping[str, Any]) -> Any:
    """Return the configuration that some version recorded.

    Args:
      config_class: a dataclass of `option`s.
      saved: flag -> value. Flags that are no more are passed over, and those that were none yet had one value.
    """
    current = upgrade(config_class, saved)
    fields = dataclasses.fields(config_class)
    return config_class(**{field.name: current.get(field.name, value_before(field)) for field in fields})


def value_before(field: dataclasses.Field) -> Any:
    """Return the value that everything had before a flag was there."""
    before = field.metadata["before"]
    return field.default if before is None else before


class _Choice(flags.EnumParser):
    """One of some values, some of which have earlier names."""

    def __init__(self, choices: Sequence[str], old: Mapping[str, str | None]):
        super().__init__(list(choices))
        self._old = old

    def parse(self, argument: str) -> str | None:
        """Return the value that is meant."""
        meant = self._old.get(argument, argument)
        return meant if meant is None else super().parse(meant)


def parse(config_class: type, argv: Sequence[str], *, usage: str) -> Any:
    """Read a configuration from command-line flags (`--flagfile` included).

    Args:
      config_class: a dataclass whose fields are `option`s of type str, int, float or bool, perhaps `| None`.
      argv: program name and arguments.
      usage: what `--help` prints above the flags.

    Returns:
      An instance of `config_class`.

    Raises:
      UsageError: an unknown flag, a value of the wrong kind, or a stray argument.
      SystemExit: with code 0 after `--help`.
    """
    values = flags.FlagValues()
    fields = dataclasses.fields(config_class)
    for field in fields:
        _define(field, field.name, field.default, values)
        for alias in field.metadata["aliases"]:
            _define(field, alias, None, values)
    flags.DEFINE_boolean("help", False, "Show this page.", short_name="h", flag_values=values)
    flags.DEFINE_boolean("debug", False, "Show tracebacks of errors.", flag_values=values)
    for argument in argv:
        if not argument.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in argument):
            told = "wanted UTF-8, got other bytes; rename the file or folder, or link to it."
            raise UsageError(f"`{printable(argument)}`: {told}")
    try:
        stray = values(list(argv))[1:]
    except flags.Error as error:
        raise UsageError(f"{error} See --help.") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"`--flagfile`: wanted a text file in UTF-8: {error}.") from None
    if values.help:
        print(f"{usage.strip()}\n\nFlags:\n{_flag_page(config_class)}")
        raise SystemExit(0)
    if stray:
        raise UsageError(f"`{stray[0]}`: wanted flags only (--name=value), got an argument. See --help.")
    return config_class(**{field.name: _given(field, values) for field in fields})


def _define(field, name, default, values) -> None:
    """Define a flag under its name or an earlier one."""
    kind = next(each for each in get_args(field.type) or (field.type,) if each is not type(None))
    text, choices = field.metadata["help"], field.metadata["choices"]
    if choices:
        parser = _Choice(choices, field.metadata["old_values"])
        flags.DEFINE(parser, name, default, text, flag_values=values, serializer=flags.ArgumentSerializer())
    else:
        _DEFINE[kind](name, default, text, flag_values=values)


def _given(field, values):
    """Return the value of a flag, given by its name or by an earlier one."""
    used = [name for name in (field.name, *field.metadata["aliases"]) if values[name].present]
    if len(used) > 1:
        raise UsageError(f"`--{used[1]}`: is an earlier name of --{field.name}, got both; leave one of them out.")
    return values[used[0] if used else field.name].value


def check_bounds(config: Any) -> None:
    """Refuse numbers outside the bounds that stand beside their flags. Both ends are allowed, and so is None.

    Args:
      config: a dataclass of `option`s.

    Raises:
      UsageError: the first that is out of range, by its flag.
    """
    for field in dataclasses.fields(config):
        value, bounds = getattr(config, field.name), field.metadata["bounds"]
        if bounds and value is not None and not bounds[0] <= value <= bounds[1]:
            low, high = map(_plain, bounds)
            raise UsageError(f"`--{field.name}`: wanted a number in [{low}, {high}], got {value}.")


def parse_names(flag: str, text: str, known: Sequence[str], *, wanted: str) -> tuple[str, ...]:
    """Return the names of a comma-separated flag, in the order of `known`.

    Args:
      flag: its name, for the message.
      text: its value.
      known: what may be named.
      wanted: how the message begins to list them, such as "some of".

    Raises:
      UsageError: none, or one that is not known. The message names the nearest one.
    """
    named = [name.strip() for name in text.split(",") if name.strip()]
    strange = next((name for name in named if name not in known), None)
    if named and strange is None:
        return tuple(name for name in known if name in named)
    near = difflib.get_close_matches(strange, known, n=1) if strange else []
    hint = f" Did you mean `{near[0]}`?" if near else ""
    got = repr(strange) if strange else "nothing"
    raise UsageError(f"`--{flag}`: wanted {wanted} {', '.join(known)}, got {got}.{hint}")


def run(card: Callable[[Any], int | None], config_class: type, *, usage: str, argv: Sequence[str] | None = None) -> int:
    """Parse, run, and answer errors as a user wants them.

    Args:
      card: what the script does with its configuration. It may return an exit code.
      config_class: see `parse`.
      usage: see `parse`.
      argv: `sys.argv` by default.

    Returns:
      The exit code.
    """
    argv = list(sys.argv if argv is None else argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    try:
        code = _answered(card, config_class, usage, argv)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # whoever read the output has gone, as `head` does
        return _leave_quietly()


def _answered(card, config_class, usage, argv) -> int:
    """Run the card and return the exit code. The caller answers a reader of stdout who has gone."""
    debug = any(argument in ("--debug", "-debug", "--debug=true") for argument in argv)
    config = None
    try:
        config = parse(config_class, argv, usage=usage)
        keep_programs()
        keep_freed_memory()
        return card(config) or 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except FerError as error:
        return _tell(_as_typed(in_flags(str(error), config), config_class, argv), error.exit_code, debug)
    except OSError as error:  # a disk that fills up can show at any write
        if isinstance(error, BrokenPipeError) and not error.filename:
            raise
        if error.errno == errno.ENOMEM:
            return _tell(_exhausted(error, config_class), MemoryExhausted.exit_code, debug)
        text = f"`{error.filename}`: {error.strerror}" if error.filename else str(error)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "free the disk and run again" if full else "choose another path, or make it writable"
        return _tell(StorageError(f"{text}. Nothing finished is lost; {advice}."), 3, debug)
    except KeyboardInterrupt:
        return _tell(Preempted("Stopped. Run the same command again to go on."), Preempted.exit_code, debug)
    except Exception as error:
        if _is_exhausted(error):
            return _tell(_exhausted(error, config_class), MemoryExhausted.exit_code, debug)
        if lacking := _lacking_device():
            return _tell(lacking, UsageError.exit_code, debug)
        traceback.print_exc()
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{os.path.basename(last.filename)}:{last.lineno}"
        return _tell(RuntimeError(f"A bug of ours at {where}: {type(error).__name__}: {error}"), BUG, False)


def in_flags(message: str, config: Any) -> str:
    """Return a message of the library with its arguments named as the flags that fill them.

    Args:
      message: names arguments in backticks.
      config: a dataclass of `option`s, or None where flags could not be read.
    """
    fields = {field.name: field.metadata for field in dataclasses.fields(config)} if config is not None else {}

    def flag(found):
        name = found[1]
        filling = [one for one, told in fields.items() if name in told["fills"] or name == one]
        # Where several flags fill the argument, it is the one whose value the message tells.
        values = {one: str(getattr(config, one) or "") for one in filling}
        meant = [one for one in filling if values[one] and os.path.basename(values[one]) in message] or filling
        return f"`--{meant[0]}`" if meant else found[0]

    return re.sub(r"`([a-z][a-z0-9_]*)`", flag, message)


def _as_typed(message: str, config_class: type, argv: Sequence[str]) -> str:
    """Return a message with a flag named as the command line names it, where that takes an earlier name."""
    typed = {argument.lstrip("-").partition("=")[0] for argument in argv[1:] if argument.startswith("-")}
    for field in dataclasses.fields(config_class):
        earlier = next((name for name in field.metadata["aliases"] if name in typed), None)
        if earlier and field.name not in typed:
            message = re.sub(rf"--{field.name}\b", f"--{earlier}", message)
    return message


def _is_exhausted(error) -> bool:
    """Return whether memory ran out: Python's, NumPy's and OpenCV's say so, and XLA's of any device."""
    told = f"{type(error).__name__}: {error}"
    return isinstance(error, MemoryError) or any(
        words in told for words in ("RESOURCE_EXHAUSTED", "Insufficient memory", "Failed to allocate")
    )


def sparing_flags() -> str:
    """Return the flags by which training takes less memory, in words."""
    return " or ".join(f"--{name}" for name in _SPARING)


def _exhausted(error, config_class) -> str:
    named = {field.name for field in dataclasses.fields(config_class)}
    flags_that_shrink = " or ".join(f"--{name}" for name in _SHRINKING if name in named)
    advice = f"lower {flags_that_shrink}" if flags_that_shrink else "give it less at once"
    advice += f", or give {sparing_flags()}" if "accumulate" in named else ""
    first = (str(error).strip() or "no more to be had").splitlines()[0][:200]
    return f"Out of memory: {first.rstrip('.')}. Nothing finished is lost; {advice}, and run again."


def _lacking_device() -> str | None:
    """Return the message where JAX cannot reach the devices asked for."""
    jax = sys.modules.get("jax")
    asked = os.environ.get("JAX_PLATFORMS")
    try:
        if jax is not None and asked:
            jax.local_devices()
        return None
    except (RuntimeError, AssertionError) as error:
        told = str(error).strip().splitlines()
        why = f": {told[0].split(' (set JAX_PLATFORMS')[0][:240].rstrip('.')}" if told else ""
        return (
            f"`JAX_PLATFORMS`: wanted devices that this machine has and this JAX is built for, got {asked}{why}. Unset "
            "it, set it to cpu, or install JAX for them (BUILD.md)."
        )


def _leave_quietly() -> int:
    """Close what nobody reads: Python's farewell would complain about it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    return 128 + signal.SIGPIPE


class StopRequest:
    """The first SIGTERM or SIGINT asks for a stop at the next safe point. The second ends the process at once."""

    def __init__(self):
        self.signal: int | None = None

    def install(self) -> "StopRequest":
        """Handle the two signals from now on."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)
        return self

    def _handle(self, number, frame):
        del frame
        if self.signal is not None:
            os._exit(128 + number)
        self.signal = number
        sys.stderr.write("\nStopping at the next safe point; once more stops at once.\n")

    def ask(self, number: int) -> None:
        """Ask for a stop as a signal of this number does. The second time ends the process at once."""
        self._handle(number, None)

    def check(self, *, asked: bool = False) -> None:
        """Raise `Preempted` if a stop was asked for, here or (`asked`) of another process. Everything is on disk."""
        if asked or self.signal is not None:
            raise Preempted("Stopped on request; all finished work is saved. Run the same command again to go on.")


def _plain(bound: float) -> str:
    """Write whole numbers in full, others in short."""
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def _flag_page(config_class) -> str:
    lines = []
    for field in dataclasses.fields(config_class):
        default = field.metadata["unset"] if field.default is None else repr(field.default)
        choices = f" One of {', '.join(field.metadata['choices'])}." if field.metadata["choices"] else ""
        bounds = field.metadata["bounds"]
        between = f" From {_plain(bounds[0])} to {_plain(bounds[1])}." if bounds else ""
        lines.append(f"  --{field.name}\n      {field.metadata['help']}{choices}{between} Default: {default}.")
    lines.append("  --flagfile\n      Read flags from a file, such as the flags.txt of an earlier run.")
    lines.append("  --debug\n      Show tracebacks of errors.")
    return "\n".join(lines)


def _tell(error, code, debug) -> int:
    if debug:
        traceback.print_exc()
    sys.stderr.write(f"{'error' if code != 75 else 'stopped'}: {error}\n")
    return code
