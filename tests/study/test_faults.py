"""A participant's page when requests fail, the server refuses, the browser has no storage, or somebody stops."""

import collections
import itertools
import json
import random
import time

import pandas as pd
import pytest

from fer_jax.study.folder import end_code_of, token_of
from fer_jax.study.projection import tables

from .browsers import chromium
from .conftest import PX, table, two_trials
from .phases import LATER

KEPT = """
const done = arguments[arguments.length - 1];
const opened = indexedDB.open(`study ${location.pathname.split('/').at(-1)}`, 1);
opened.onsuccess = () => {
  const all = opened.result.transaction('events').objectStore('events').getAll();
  all.onsuccess = () => { opened.result.close(); done(all.result.map((event) => [event.seq, event.type])); };
};
"""


def address(lab, label="P01"):
    return f"http://127.0.0.1:{lab.port}/s/{token_of(lab.folder, label)}"


def kinds(lab, kind):
    return [event for event in lab.store.events(1) if event["type"] == kind]


def kept(page):
    """Numbers and types of the events in the browser's storage."""
    return page.browser.execute_async_script(KEPT)


def on_events(answers):
    """A fault that gives the requests with events these answers, one after another, and then none."""
    answers = collections.deque(answers)
    return lambda method, path: answers.popleft() if path.endswith("events") and answers else None


def saved(page):
    page.wait("document.getElementById('saved').textContent.includes('Everything is saved')")


def to_loading(page):
    """Go on to the loading of pictures."""
    for _ in range(200):
        page.press_button()
        time.sleep(0.05)
        if page.run("return document.querySelector('main progress')"):
            return
    raise AssertionError(page.text())


def answer_all(page):
    """Do the rest of the study, a click and an answer a trial."""
    while page.to_trial() is not None:
        page.click(20.5, 20.5, PX)
        page.opened(1)
        page.key("f")


def test_a_block_begins_when_every_byte_of_every_picture_is_right(lab):
    """Of 144 requests, one gets no answer, one a wrong byte, and one of twenty half an answer."""
    images = pd.concat([table().assign(image=lambda rows, i=i: f"{i} " + rows["image"]) for i in range(12)])
    lab = lab(images=images.reset_index(drop=True), practice=(), blocks=1, participants=1)
    paths = [f"/stim/{trial.stim_id}/{kind}.png" for trial in lab.store.plan(1) for kind in ("blurred", "sharp")]
    fates = dict.fromkeys(random.Random(0).sample(paths, 7), "cut")
    silent, bent = [path for path in paths if path not in fates][:2]
    fates |= {silent: "silent", bent: "bent"}

    def end_of(path):
        return path[path.index("/stim/") :]

    lab.web.faults = [lambda method, path: fates.pop(end_of(path), None) if "/stim/" in path else None]
    with chromium() as page:
        page.open(address(lab))
        to_loading(page)
        page.wait("document.querySelector('h1').textContent === 'Loading pictures: 143 of 144'")
        waited = time.monotonic()
        assert not page.run("return document.querySelector('canvas')")
        page.wait("document.querySelector('canvas')", 40)
        assert time.monotonic() - waited < 30  # a time limit, and the next try
        assert page.to_trial() == "1 of 72"
    assert not fates
    answers = collections.defaultdict(list)
    for _, path, answer in lab.web.seen:
        if "/stim/" in path:
            answers[end_of(path)].append(answer)
    assert set(answers) == set(paths)
    assert all(tried[-1] == 200 for tried in answers.values())
    assert answers[silent] == ["silent", 200] and answers[bent] == ["bent", 200]
    assert sum(tried == ["cut", 200] for tried in answers.values()) == 7
    assert sum(tried == [200] for tried in answers.values()) == 144 - 9


def test_faults_of_the_server_are_retried_and_nothing_counts_as_sent_before_its_200(lab, tmp_path):
    lab = lab()
    with chromium() as page:
        page.open(address(lab))
        page.to_trial()
        saved(page)
        assert kept(page) == []
        before = len(lab.web.seen)
        lab.web.faults = [on_events([500, 500, 500])]
        page.click(20.5, 20.5, PX)
        page.opened(1)
        while len(lab.web.seen) < before + 3:
            assert [kind for _, kind in kept(page)] == ["click"] and not kinds(lab, "click")
            time.sleep(0.05)
        saved(page)
        assert [answer for _, _, answer in lab.web.seen[before:]] == [500, 500, 500, 200]
        pauses = [later - time for time, later in itertools.pairwise(lab.web.times[before:])]
        assert all(pause >= least - 0.05 for pause, least in zip(pauses, (0.375, 0.75, 1.5), strict=True))
        assert len(kinds(lab, "click")) == 1 and kept(page) == []

        lab.web.faults = [lambda method, path: 507 if path.endswith("events") else None]
        page.click(30.5, 20.5, PX)
        page.opened(2)
        page.wait("document.getElementById('saved').textContent.includes('do not close this window')")
        for _ in range(20):  # the words stay while it is tried again
            assert "cannot save now" in page.text()
            time.sleep(0.1)
        # Ten minutes later the page gives a file of what it could not send, all of it and no more.
        assert page.run("return document.getElementById('rescue').hidden")
        page.run(LATER)
        page.wait("!document.getElementById('rescue').hidden")
        page.click(40.5, 20.5, PX)
        page.opened(3)
        page.command("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
        page.press("#rescue")
        rescued = tmp_path / "unsent-events.json"
        end = time.monotonic() + 30
        while not rescued.exists() and time.monotonic() < end:
            time.sleep(0.05)
        found = json.loads(rescued.read_text())
        assert found["token"] == token_of(lab.folder, "P01")
        assert [event["type"] for event in found["events"]] == ["click", "click"]
        assert lab.store.ingest("P01", found["events"]).result() == (2, 0)
        lab.web.faults = []
        page.run("window.dispatchEvent(new Event('online'))")
        saved(page)
        assert page.run("return document.getElementById('rescue').hidden")
        page.key("f")
        answer_all(page)
    assert len(kinds(lab, "click")) == 3 + 6  # the file and the page told the same two once
    assert tables(lab.store, lab.settings).trials["n_clicks"].tolist() == [1] * 6


def test_the_page_leads_on_when_everything_is_acknowledged_and_not_before(lab):
    lab = lab(practice=(), images=two_trials(), completion_url="https://panel.invalid/done?code={code}")
    with chromium() as page:
        page.open(address(lab))
        page.to_trial()
        page.click(20.5, 20.5, PX)
        page.opened(1)
        page.key("f")
        page.to_trial()
        saved(page)
        page.set_network(there=False)
        for count in range(1, 5):
            page.click(8.5 * count, 20.5, PX)
            page.opened(count)
        page.key("j")
        page.wait("document.querySelector('main').textContent.includes('Sending the last answers')")
        assert len(kept(page)) >= 5
        page.wait("document.getElementById('saved').textContent.includes('do not close this window')")
        page.run(LATER)
        page.wait("!document.getElementById('rescue').hidden")
        assert page.browser.current_url == address(lab) and not page.run("return document.querySelector('.endcode')")
        assert len(kinds(lab, "answer")) == 1
        page.set_network(there=True)
        end = time.monotonic() + 60
        while not page.browser.current_url.startswith("https://panel") and time.monotonic() < end:
            time.sleep(0.05)
        assert page.browser.current_url == f"https://panel.invalid/done?code={end_code_of(lab.folder, 'P01')}"
        assert len(kinds(lab, "answer")) == 2 and len(kinds(lab, "click")) == 5 and kinds(lab, "finish")
        strangers = {url.split("/")[2] for url in page.requests() if url.startswith("http")}
        assert strangers == {f"127.0.0.1:{lab.port}", "panel.invalid"}


REFUSED = "Object.defineProperty(window, 'indexedDB', { get() { throw new DOMException('no', 'SecurityError'); } })"
FULL = """
const put = IDBObjectStore.prototype.put;
let left = 6;
IDBObjectStore.prototype.put = function (...values) {
  if (left-- <= 0) throw new DOMException('full', 'QuotaExceededError');
  return put.apply(this, values);
};
"""


@pytest.mark.parametrize("storage", [REFUSED, FULL], ids=["refused", "full"])
def test_a_browser_without_storage_loses_nothing(lab, storage):
    """A private window may refuse its storage, and a full disk may end it in the middle."""
    lab = lab()
    with chromium() as page:
        page.command("Page.addScriptToEvaluateOnNewDocument", source=storage)
        page.open(address(lab))
        page.to_trial()
        lab.web.faults = [on_events([503, 503])]
        for count in range(1, 4):
            page.click(8.5 * count, 20.5, PX)
            page.opened(count)
        page.key("f")
        answer_all(page)
    seqs = [event["seq"] for event in lab.store.events(1)]
    assert seqs == list(range(1, len(seqs) + 1))
    assert len(kinds(lab, "click")) == 3 + 6 and len(kinds(lab, "answer")) == 7


def test_the_button_to_stop_deletes_everything_here_and_there(lab):
    lab = lab()
    with chromium() as page:
        page.open(address(lab))
        page.to_trial()
        saved(page)
        lab.web.faults = [lambda method, path: 503 if path.endswith(("events", "withdraw")) else None]
        page.click(20.5, 20.5, PX)
        page.opened(1)
        assert [kind for _, kind in kept(page)] == ["click"]
        page.press("#leave")
        page.press("dialog .danger")
        page.wait("document.querySelector('main').textContent.includes('Deleting everything')")
        page.wait("document.getElementById('saved').textContent.includes('No connection')")
        assert kept(page) == []
        page.key("f")  # nothing is told of anybody any more
        before = len(lab.web.seen)
        lab.web.faults = []
        page.wait("document.querySelector('main').textContent.includes('has been deleted')")
        assert kept(page) == []
        time.sleep(1.5)
        asked = [path.split("/", 3)[3] for _, path, _ in lab.web.seen[before:]]
        assert set(asked) == {"withdraw"}
        page.open(address(lab))
        page.wait("document.querySelector('main').textContent.includes('has been deleted')")
    assert "P01" not in [person.label for person in lab.store.participants()]
    assert [label for label, _ in lab.store.tombstones()] == ["P01"]
    assert lab.store.events(1) == [] and lab.store.plan(1) == []


def test_a_run_that_is_closed_while_pictures_load_says_so(lab):
    lab = lab()
    lab.web.faults = [lambda method, path: 503 if path.endswith("sharp.png") else None]
    with chromium() as page:
        page.open(address(lab))
        to_loading(page)
        lab.store.withdraw("P01").result()
        lab.web.faults = []
        page.wait("document.querySelector('main').textContent.includes('has been deleted')")
