"""The number of this process and of all processes, as a launcher such as SLURM or mpirun tells them."""

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


def which_process(index: int | None, count: int | None, environment: Mapping[str, str]) -> tuple[int, int]:
    """Return the number of this process and how many there are: as given, else as a launcher says.

    Raises:
      UsageError: neither says, or they do not fit.
    """
    given, asked = index, count
    number, size = next((names for names in LAUNCHERS.values() if names[0] in environment), (None, None))
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
