"""The number of this process and of all processes, as a launcher such as SLURM or mpirun tells them."""

import dataclasses
import importlib.util
from collections.abc import Mapping

from fer_jax.errors import UsageError, check_count, check_range

# What launchers tell a process: its number, and how many there are (Kubernetes does not say). The innermost is first:
# mpirun inside an allocation leaves the variables of SLURM's or Kubernetes' own task as they were.
LAUNCHERS = {
    "Open MPI": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    "MVAPICH2": ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
    "MPICH": ("PMI_RANK", "PMI_SIZE"),
    "SLURM": ("SLURM_PROCID", "SLURM_NTASKS"),
    "Kubernetes": ("JOB_COMPLETION_INDEX", None),
}
# Those of which JAX finds the address of the first process by itself: its name for them, the variable that it reads,
# and why that may be missing.
FOUND_BY_JAX = {
    "Open MPI": ("ompi", "OMPI_MCA_orte_hnp_uri", "Open MPI tells it no more since version 5"),
    "SLURM": ("slurm", "SLURM_STEP_NODELIST", "SLURM tells it to what srun starts: start all processes with srun"),
}
_ADDRESS = "`--coordinator`: wanted the address of process 0, such as node0:12321, got none; "


@dataclasses.dataclass(frozen=True)
class Place:
    """The place of this process among all.

    Attributes:
      index: its number. None where only JAX can find out (a TPU slice).
      count: how many there are, None likewise.
      coordinator: host and port of the first one. None where JAX finds them.
      method: JAX's name of the launcher that it is to ask.
    """

    index: int | None
    count: int | None
    coordinator: str | None = None
    method: str | None = None


ALONE = Place(0, 1)


def find_place(
    index: int | None, count: int | None, coordinator: str | None, environment: Mapping[str, str], *, mode: str = "auto"
) -> Place:
    """Return the place of this process: as given, else as a launcher says.

    Args:
      index: its number, as given.
      count: how many processes there are, as given.
      coordinator: host and port of the first one, as given.
      environment: variables of this process.
      mode: "auto", or "off" for a process alone whatever a launcher says.

    Raises:
      UsageError: nobody says, or what was said does not fit.
    """
    given = {"--num_processes": count, "--process_id": index, "--coordinator": coordinator}
    if mode == "off":
        for flag, value in given.items():
            if value is not None:
                raise UsageError(f"`{flag}`: wanted none with --distributed=off, got {value}; leave one of them out.")
        return ALONE
    launcher = _launcher(environment)
    unsaid = launcher in (None, "Kubernetes") and all(value is None for value in given.values())
    if unsaid and importlib.util.find_spec("libtpu"):  # a slice under Kubernetes is an indexed job, too
        return Place(None, None)
    which, of = which_process(index, count, environment)
    if of == 1:
        return ALONE
    if coordinator is not None:
        _check_address(coordinator)
        return Place(which, of, coordinator)
    if index is None and count is None and launcher in FOUND_BY_JAX:
        method, variable, missing = FOUND_BY_JAX[launcher]
        if variable not in environment and "JAX_COORDINATOR_ADDRESS" not in environment:
            raise UsageError(f"{_ADDRESS}{missing}.")
        return Place(which, of, method=method)
    raise UsageError(
        f"{_ADDRESS}only under {' and '.join(FOUND_BY_JAX)}, without --num_processes and --process_id, is it found."
    )


def only_device(environment: Mapping[str, str]) -> list[int] | None:
    """Return the number of the only GPU that a launcher lets this process see, None where it may see others.

    JAX takes the device with the number of the process on its host, which is not there where each sees but one.
    """
    seen = [name for name in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return [0] if len(seen) == 1 and "JAX_LOCAL_DEVICE_IDS" not in environment else None


def which_process(index: int | None, count: int | None, environment: Mapping[str, str]) -> tuple[int, int]:
    """Return the number of this process and how many there are: as given, else as a launcher says.

    Raises:
      UsageError: neither says, or they do not fit.
    """
    given, asked = index, count
    number, size = LAUNCHERS.get(_launcher(environment), (None, None))
    index = _number(environment, number) if index is None else index
    count = _number(environment, size) if count is None else count
    if index is None or count is None:
        raise UsageError(
            f"`--num_processes`: wanted it and --process_id, or a launcher ({', '.join(LAUNCHERS)}) that says them; "
            f"got {asked} and {given}."
        )
    check_count("--num_processes", count, 1)
    check_range("--process_id", index, 0, count - 1)
    return index, count


def _launcher(environment) -> str | None:
    """Return the launcher of this process, if there is one."""
    found = next((name for name, (number, _) in LAUNCHERS.items() if number in environment), None)
    told = [[environment.get(name) for name in LAUNCHERS[each]] for each in ("MPICH", "SLURM")]
    # srun with PMI sets both alike.
    return "SLURM" if found == "MPICH" and told[0] == told[1] else found


def _check_address(text) -> None:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise UsageError(f"`--coordinator`: wanted HOST:PORT of process 0, such as node0:12321, got {text!r}.")


def _number(environment, name) -> int | None:
    """Read a variable of a launcher, if it is set."""
    if name is None or name not in environment:
        return None
    try:
        return int(environment[name])
    except ValueError:
        raise UsageError(
            f"`{name}`: wanted a whole number from the launcher, got {environment[name]!r}; give --num_processes and "
            "--process_id."
        ) from None
