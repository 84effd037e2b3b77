"""Freed memory stays in the process, so that the next program finds its pages there."""

import subprocess
import sys

import pytest

_FAULTS = """
import resource
import numpy as np
from experiments.harness.heap import keep_freed_memory

kept = {keep}

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(2**24)  # 128 MiB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(kept, faults())
"""


def _second_block(keep):
    made = subprocess.run(
        [sys.executable, "-c", _FAULTS.format(keep=keep)], capture_output=True, text=True, check=True, timeout=60
    )
    kept, faults = made.stdout.split()
    return kept == "True", int(faults)


def test_a_freed_block_is_taken_again_without_a_page_fault():
    kept, faults = _second_block("keep_freed_memory()")
    if not kept:
        pytest.skip("this C library has no mallopt")
    _, usual = _second_block("False")
    assert faults < 100 < usual
