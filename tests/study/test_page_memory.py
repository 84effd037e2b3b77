"""The memory of a participant's page over a whole study of the paper's length, in a real browser."""

import itertools
import time

import numpy as np
import pandas as pd
import pytest

from fer_jax.study.folder import end_code_of

from .browsers import chromium
from .conftest import LABELS, PX
from .test_page import address

TRIALS, BLOCKS, CLICKS = 280, 4, 3
EVERY = 14  # trials between two looks at the memory
SETTLED_S = 3.5  # the page's longest timer, of what it writes into the browser's storage, and a little more
GROWTH = 1.05  # of a mean, from the second quarter of the trials to the last


def as_many_as_the_paper():
    """280 pictures for the ordered pairs of three expressions in turn."""
    pairs = itertools.cycle([(true, false) for true in LABELS for false in LABELS if true != false])
    rows = [(f"face {row}.png", *next(pairs)) for row in range(TRIALS)]
    return pd.DataFrame(rows, columns=["image", "true_label", "false_label"])


def evaluate(page):
    """Return what runs a script in the page. Selenium's own way leaves two objects there with every call."""

    def run(script):
        found = page.command("Runtime.evaluate", expression=f"(() => {{ {script} }})()", returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    return run


def memory(page):
    """Bytes of the page's objects and of its arrays after a collection, nodes of the document, and listeners."""
    time.sleep(SETTLED_S)
    page.command("HeapProfiler.collectGarbage")
    told = {one["name"]: one["value"] for one in page.command("Performance.getMetrics")["metrics"]}
    arrays = page.command("Runtime.getHeapUsage")["backingStorageSize"]
    return told["JSHeapUsedSize"], arrays, told["Nodes"], told["JSEventListeners"]


@pytest.mark.slow
def test_memory_of_the_page_is_flat_over_280_trials(lab, capsys):
    lab = lab(images=as_many_as_the_paper(), blocks=BLOCKS, practice=())
    seen = []
    with chromium() as page:
        page.run = evaluate(page)
        page.command("Performance.enable")
        page.open(address(lab))
        for trial in itertools.count():
            if page.to_trial() is None:
                break
            if trial == 0:  # V8 keeps the texts of numbers in caches, which grow once, by 64 KB and more
                page.run("for (let number = 0; number < 1e5; number++) String(number) + String(number + 0.5)")
            for count in range(1, CLICKS + 1):
                page.click(6.5 + 9 * count, 20.5, PX)
                page.opened(count)
            if trial % EVERY == EVERY - 1:
                seen.append(memory(page))
            page.key("fj"[trial % 2])
        assert end_code_of(lab.folder, "P01") in page.text()
        assert page.complaints() == []
    assert trial == TRIALS and len(seen) == TRIALS // EVERY
    quarters = np.array(seen).reshape(BLOCKS, -1, 4)
    means = quarters.mean(1)
    with capsys.disabled():
        for quarter, (objects, arrays, nodes, listeners) in enumerate(means, 1):
            print(f"\nquarter {quarter}: objects {objects / 1e6:.3f} MB, arrays {arrays / 1e6:.3f} MB, "
                  f"{nodes:.0f} nodes, {listeners:.0f} listeners", end="")  # fmt: skip
    assert (means[-1] <= GROWTH * means[1]).all()
