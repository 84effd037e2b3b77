"""Training killed with -9 or asked to stop, over and over: the same command ends where an unbroken run ends.

Two kills and a polite stop of a run split over two devices, each at a moment of its own choosing, run with the fast
tests. `slow` ones follow cues (a checkpoint is there, a checkpoint is being written) and a random moment after them:
fifty kills, twenty polite stops, and twenty of each on runs split over devices.
"""

import random
import signal
import time

import pytest

from .jobs import DEADLINE_S, EVERY_STEP, Job

BRIEF = "--max_epochs=6"  # twelve steps, for the fast tests


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
    if _await(lambda: job.saved() >= number - inside and (job.writing() or not inside), child):
        time.sleep(chance.uniform(0, 0.02 if inside else 0.2))
    child.kill()
    child.communicate()
    if job.ended:
        return None
    return job.writing()


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


# Ways to split a run over four devices; slots that are left over stay idle.
SPLITS = {
    "shard_map": ("--over_devices=shard_map",),
    "pmap": ("--over_devices=pmap",),
    "shard_map of vmap": ("--over_devices=shard_map", "--over_members=vmap"),
    "shared batches": ("--over_devices=shard_map", "--data_devices=2"),
}


def _unbroken(place, root, *flags, devices=4):
    job = Job(place / "unbroken", root, *flags, devices=devices)
    job.finish()
    return job.result()


def _stop(job, chance, number):
    """Start, wait until something new is saved, ask to stop; whether it stopped before the run ended."""
    child = job.start(EVERY_STEP)
    before = job.saved()
    if _await(lambda: job.saved() > before, child):
        time.sleep(chance.uniform(0, 0.2))
    child.send_signal(number)
    _, error = child.communicate(timeout=DEADLINE_S)
    if child.returncode == 0:
        return False
    assert child.returncode == 75 and "Traceback" not in error, error
    assert job.saved() > before
    return True


def test_killed_between_saves_and_inside_one_and_stopped_it_ends_the_same(tmp_path, root):
    flags = (*SPLITS["shard_map"], BRIEF)
    job = Job(tmp_path / "run", root, *flags, devices=2)
    # A checkpoint is four folders: one of each of three slots, then the one that names them.
    for sent, cue, number in (("SIGKILL", "os.mkdir", 14), ("SIGKILL", "os.rename", 14), ("SIGTERM", "os.rename", 4)):
        before = job.saved()
        status, error = job.run(EVERY_STEP, before=("tests.experiments.signalled", sent, cue, str(number)))
        assert not job.ended and job.saved() > before
        assert job.writing() == ((sent, cue) == ("SIGKILL", "os.rename"))
        assert status == (75 if sent == "SIGTERM" else -signal.SIGKILL) and "Traceback" not in error, error
    job.finish()
    assert job.result() == _unbroken(tmp_path, root, *flags, devices=2)


@pytest.mark.slow
@pytest.mark.parametrize("split", SPLITS)
def test_split_over_devices_killed_five_times_and_stopped_five_times(tmp_path, root, split):
    """Twenty of each over all splits."""
    unbroken = _unbroken(tmp_path, root, *SPLITS[split])
    chance, kills, stops, runs = random.Random(4), 0, 0, 0
    while kills < 5 or stops < 5:
        job, runs = Job(tmp_path / f"run{runs}", root, *SPLITS[split], devices=4), runs + 1
        for _ in range(10):
            if kills < 5:
                kills += _kill(job, chance, inside=kills % 2 == 1) is not None
            if stops < 5 and not job.ended:
                stops += _stop(job, chance, signal.SIGTERM)
            if job.ended or (kills == 5 and stops == 5):
                break
        job.finish()
        assert job.result() == unbroken
    print(f"{split}: {kills} kills, {stops} stops in {runs} runs")


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
            begun = job.out / "metrics.jsonl"
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
