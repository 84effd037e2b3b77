"""Compiled programs on disk: where they are kept, and starts that meet damaged ones, a full disk, or each other."""

import os
import subprocess
import sys

import pytest

# A start that compiles three small programs and says which of them it found.
START = """
import sys
if len(sys.argv) > 1:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
from experiments.harness.kept_programs import keep_programs
keep_programs()
import jax
seen = []
jax.monitoring.register_event_listener(lambda event, **_: seen.append(event.rpartition("/")[2]))
jax.jit(lambda x: (x @ x.T).sum())(jax.numpy.ones((3, 3)))
print(jax.config.jax_compilation_cache_dir, seen.count("cache_hits"), seen.count("cache_misses"))
"""


def _environment(root, home):
    kept = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    every = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PLATFORMS": "cpu"}
    return kept | every | {"XDG_CACHE_HOME": str(home), "PYTHONPATH": str(root)}


def _begin(root, home, *arguments):
    line = [sys.executable, "-c", START, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(line, cwd=root, env=_environment(root, home), text=True, **pipes)


def _ended(child):
    """Folder, programs found and programs compiled, and what was told."""
    out, told = child.communicate(timeout=100)
    assert child.returncode == 0, told
    folder, hits, misses = out.rsplit(maxsplit=2)
    return folder, int(hits), int(misses), told


def _programs(home):
    return sorted(home.glob("fer_jax/programs/*/*-cache"))


def test_a_program_that_was_cut_short_is_compiled_and_kept_again(tmp_path, root):
    _, found, compiled, told = _ended(_begin(root, tmp_path))
    assert (found, told) == (0, "") and compiled == len(_programs(tmp_path))
    for file in _programs(tmp_path):
        os.truncate(file, file.stat().st_size // 2)
    assert _ended(_begin(root, tmp_path))[1:] == (0, compiled, "")
    assert _ended(_begin(root, tmp_path))[1:] == (compiled, 0, "")


def test_on_a_disk_without_room_one_line_is_told_and_nothing_half_written_stays(tmp_path, root):
    folder, found, compiled, told = _ended(_begin(root, tmp_path, "500"))  # bytes that a file may have
    assert found == 0 and compiled > 1
    assert told.startswith(f"{folder}: compiled programs are not kept (OSError: ") and told.count("\n") == 1
    assert not _programs(tmp_path)


def test_starts_at_the_same_time_share_a_home(tmp_path, root):
    for child in [_begin(root, tmp_path) for _ in range(3)]:
        assert _ended(child)[3] == ""
    assert _ended(_begin(root, tmp_path))[1:] == (len(_programs(tmp_path)), 0, "")


def test_where_nothing_can_be_written_or_others_can_write_nothing_is_kept(tmp_path, root):
    (tmp_path / "file").touch()
    folder, *_ = _ended(_begin(root, tmp_path))
    os.chmod(folder, 0o777)
    for home in (tmp_path, tmp_path / "file"):
        assert _ended(_begin(root, home)) == ("None", 0, 0, "")


@pytest.mark.parametrize(("said", "wanted"), [(None, "home/fer_jax/programs"), ("", None), ("elsewhere", "elsewhere")])
def test_programs_are_kept_where_the_user_says_or_in_a_folder_of_this_user_and_machine(tmp_path, root, said, wanted):
    given = {} if said is None else {"JAX_COMPILATION_CACHE_DIR": said}
    kept = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    lines = {
        "before": "import jax; keep_programs()",
        "after": "keep_programs(); import jax",
    }
    for order, line in lines.items():
        shown = "print(jax.config.jax_compilation_cache_dir)"
        code = f"from experiments.harness.kept_programs import keep_programs; {line}; {shown}"
        home = {"XDG_CACHE_HOME": str(tmp_path / "home"), "PYTHONPATH": str(root)}
        told = subprocess.run(
            [sys.executable, "-c", code], env=kept | home | given, capture_output=True, text=True, cwd=root
        )
        folder = told.stdout.strip()
        if wanted and said is None:
            assert folder.startswith(f"{tmp_path}/{wanted}/"), (order, told.stderr)
            assert os.stat(folder).st_mode & 0o777 == 0o700
        else:
            assert folder == (wanted or said), order
