"""Training killed with -9 or asked to stop, over and over: the same command ends where an unbroken run ends.

Kills follow cues (a checkpoint is there, a checkpoint is being written) and a random moment after them. Five of them
run with the fast tests; fifty, and twenty polite stops, are `slow`.
"""

import random
import signal
import time

import pytest

from .jobs import DEADLINE_S, EVERY_STEP, Job


def _await(cue, child):
    """Wait for a cue; False if the process ends before it comes."""
    deadline = time.monotonic() + DEADLINE_S
    while not cue():
        if child.poll() is not None:
            assert child.returncode == 0, child.stderr.read()
            return False
        assert time.monotonic() < deadline, "the cue never came"
        time.sleep(0.001)
    return True


def _kill(job, chance, *, inside):
    """Start, wait for a moment drawn at random, kill -9; whether it hit a save, or None if the run ended before."""
    child = job.start(EVERY_STEP)
    # The first checkpoint may come anywhere; later ones a few steps on, so that the run gets somewhere.
    number = job.saved() + chance.randint(1, 3)
    if _await((lambda: job.writing(number)) if inside else (lambda: job.saved() >= number), child):
        time.sleep(chance.uniform(0, 0.02 if inside else 0.2))
    child.kill()
    child.communicate()
    if job.ended:
        return None
    return any(job.writing(at) for at in range(number + 50))


def _through(job, chance, moments):
    """Kill at every moment of a list, then let the run end; how many kills came before that, how many hit a save."""
    hits = []
    for inside in moments:
        hit = _kill(job, chance, inside=inside)
        if hit is None:
            break
        hits.append(hit)
    job.finish()
    return len(hits), sum(hits)


def test_killed_five_times_twice_inside_a_save(unbroken, tmp_path, root):
    job = Job(tmp_path / "run", root)
    kills, inside = _through(job, random.Random(0), [False, True, False, True, False])
    assert kills == 5 and inside >= 1
    assert job.result() == unbroken


@pytest.mark.slow
def test_killed_at_fifty_random_moments_twenty_of_them_inside_a_save(unbroken, tmp_path, root):
    chance, kills, inside, runs = random.Random(1), 0, 0, 0
    while kills < 50:
        job = Job(tmp_path / f"run{runs}", root)
        moments = [inside < 20 or chance.random() < 0.2 for _ in range(12)]
        more, hits = _through(job, chance, [moment if at % 2 else False for at, moment in enumerate(moments)])
        assert job.result() == unbroken, f"run {runs}, after {more} kills"
        kills, inside, runs = kills + more, inside + hits, runs + 1
    print(f"{kills} kills in {runs} runs, {inside} inside a save")
    assert inside >= 20


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_ten_times_it_saves_and_exits_75(unbroken, tmp_path, root, number):
    """Half of the runs would save every ten minutes only: what they lose must be nothing all the same."""
    chance, stops, runs = random.Random(2), 0, 0
    while stops < 10:
        job, runs = Job(tmp_path / f"run{runs}", root), runs + 1
        seldom = runs % 2
        while not job.ended and stops < 10:
            child = job.start("--save_every_s=600" if seldom else EVERY_STEP)
            number_before = job.saved()
            begun = job.out / "stages" / "ensemble.metrics"
            if seldom:
                _await(begun.exists, child)
                time.sleep(chance.uniform(0.5, 3))
            else:
                _await(lambda before=number_before, job=job: job.saved() > before, child)
            child.send_signal(number)
            _, error = child.communicate(timeout=60)
            if child.returncode == 0:
                break
            assert child.returncode == 75, error
            assert "Traceback" not in error
            # A run that is stopped before its first step has nothing new to save.
            assert job.saved() >= number_before
            stops += 1
        job.finish()
        assert job.result() == unbroken
    print(f"{stops} stops in {runs} runs")
