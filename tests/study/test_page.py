"""A participant's page in a real browser: pixels, points, keys, fingers, reloads, a second window, a lost network."""

import json
import time

import numpy as np
import pytest

from fer_jax.human import stimuli
from fer_jax.study.folder import code_of, end_code_of, token_of
from fer_jax.study.projection import tables

from .browsers import chromium
from .conftest import PX, table

# Points near the edges and the middle; pixel centres are at .5.
POINTS = [(0.5, 0.5), (47.5, 0.5), (24.5, 24.5), (10.5, 40.5), (30.5, 12.5)]


def address(lab, label="P01"):
    return f"http://127.0.0.1:{lab.port}/s/{token_of(lab.folder, label)}"


def shown(lab, stim, points):
    """What Python says that a participant sees."""
    name = lab.store.stimulus_of(1, stim)
    sharp, blurred = (
        stimuli.decode((lab.folder / "stimuli" / f"{name}.{kind}.png").read_bytes()) for kind in ("sharp", "blurred")
    )
    mask = stimuli.reveal_mask(np.asarray(points).reshape(-1, 2), (PX, PX), lab.settings.radius)
    return stimuli.composite(sharp, blurred, mask)


def events(lab, kind, label_id=1):
    return [event for event in lab.store.events(label_id) if event["type"] == kind]


def stim(lab, page, number=1):
    return next(trial.stim_id for trial in lab.store.plan(number) if str(trial.trial) == page.trial)


def finish(page, act=None):
    """Do the rest of the study, a click and an answer a trial."""
    trials = 0
    while page.to_trial() is not None:
        (act or (lambda: page.click(20.5, 20.5, PX)))()
        page.opened(1)
        page.key("fj"[trials % 2])
        trials += 1
    return trials


def test_a_study_by_mouse_shows_the_pixels_that_python_computes(lab):
    lab = lab()
    with chromium() as page:
        page.open(address(lab))
        while page.to_trial() is not None:
            for count in range(len(POINTS) + 1):
                page.opened(count)
                seen = np.array(page.pixels(), np.uint8).reshape(PX, PX, 4)
                np.testing.assert_array_equal(seen[..., :3], shown(lab, stim(lab, page), POINTS[:count]))
                assert (seen[..., 3] == 255).all()
                if count < len(POINTS):
                    page.click(*POINTS[count], PX)
            page.key("f")
        assert end_code_of(lab.folder, "P01") in page.text()
        assert page.complaints() == []
        assert {url.split("/")[2] for url in page.requests()} == {f"127.0.0.1:{lab.port}"}
    found = tables(lab.store, lab.settings)
    assert len(found.trials) == 6 and found.trials["n_clicks"].tolist() == [5] * 6
    assert found.trials["response"].tolist() == found.trials["left_label"].tolist()
    assert found.participants["webdriver"].tolist() == [True]
    np.testing.assert_allclose(found.clicks[["x_px", "y_px"]], POINTS * 6, atol=0.5)
    assert (found.clicks["pointer_type"] == "mouse").all()


@pytest.mark.parametrize(("zoom", "ratio", "scroll"), [(0.9, 1.0, 0), (1.25, 1.0, 137), (1.0, 2.0, 137)])
def test_points_are_right_when_zoomed_scrolled_and_on_dense_screens(lab, zoom, ratio, scroll):
    """Zooming a page makes fewer CSS pixels of a window, and more device pixels of each."""
    lab = lab()
    with chromium(width=round(900 / zoom), height=round(700 / zoom), ratio=ratio * zoom) as page:
        page.open(address(lab))
        page.to_trial()
        page.run("document.body.style.minHeight = '2000px'; document.querySelector('header').style.marginTop = '200px'")
        page.run("window.scrollTo(0, arguments[0])", scroll)
        for count, point in enumerate(POINTS, 1):
            page.click(*point, PX)
            page.opened(count)
        page.click(-20, 10, PX)  # beside the picture
        page.wait("document.getElementById('saved').textContent.includes('saved')")
        page.key("f")
        page.to_trial()
    clicks = [event["body"] for event in events(lab, "click")]
    np.testing.assert_allclose([(click["x"], click["y"]) for click in clicks[:5]], POINTS, atol=0.5)
    assert [click["inside"] for click in clicks] == [True] * 5 + [False]
    start = events(lab, "trial_start")[0]["body"]
    assert start["device_pixel_ratio"] == pytest.approx(ratio * zoom)
    assert start["css_scale"] == pytest.approx(1.0)


def test_a_study_by_touch_opens_a_disc_a_tap_and_none_by_a_pinch(lab):
    lab = lab()
    with chromium(width=390, height=760, ratio=2.0, mobile=True) as page:
        page.open(address(lab))
        page.to_trial()
        for count in (1, 2):  # a double tap
            page.tap(20.5, 20.5, PX)
            page.opened(count)
        fingers = [dict(zip("xy", page.point(*at, PX), strict=True)) for at in ((10, 10), (30, 30))]
        page.command("Input.dispatchTouchEvent", type="touchStart", touchPoints=fingers[:1])
        page.command("Input.dispatchTouchEvent", type="touchStart", touchPoints=fingers)
        page.command("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        page.tap(30.5, 20.5, PX)
        page.opened(3)
        sizes = page.run(
            "return [...document.querySelectorAll('button')].filter((b) => !b.hidden)"
            ".map((b) => { const r = b.getBoundingClientRect(); return Math.min(r.width, r.height); })"
        )
        assert min(sizes) >= 44
        page.run("document.querySelectorAll('.options button')[1].click()")
        assert finish(page, lambda: page.tap(20.5, 20.5, PX)) == 6
    found = tables(lab.store, lab.settings)
    assert len(found.trials) == 6 and (found.clicks["pointer_type"] == "touch").all()
    assert len(events(lab, "click")) == 3 + 6


def test_a_study_by_keyboard_alone(lab):
    lab = lab()
    with chromium() as page:
        page.open(f"http://127.0.0.1:{lab.port}/")
        page.wait("document.getElementById('code')")
        page.key("Tab")
        for letter in code_of(lab.folder, "P01"):
            page.key(letter.lower())
        page.key("Enter")
        trials = 0
        while True:
            found = page.wait(
                "document.querySelector('.endcode') ? 'end' : document.querySelector('main form button') ? 'page' : "
                "document.querySelector('canvas')?.dataset.trial ? document.querySelector('canvas').dataset.trial : ''"
            )
            if found == "end":
                break
            if found == "page":
                page.key("Tab")
                assert page.run("return document.activeElement.matches('main form button:focus-visible')")
                page.key("Enter")
                continue
            if found == page.trial:
                continue
            page.trial = found
            time.sleep(0.2)
            page.key("ArrowRight")
            page.key("ArrowDown", shift=True)
            page.key("Enter")
            page.opened(1)
            page.key("f")
            trials += 1
        assert trials == 7
    clicks = events(lab, "click")
    assert [(click["body"]["x"], click["body"]["y"]) for click in clicks] == [(25.5, 34.5)] * 7
    assert {click["body"]["pointer"] for click in clicks} == {"keyboard"}
    assert set(tables(lab.store, lab.settings).trials["answered_with"]) == {"keyboard"}


def test_a_reload_comes_back_to_the_same_trial_with_its_discs_open(lab):
    lab = lab()
    with chromium() as page:
        page.open(address(lab))
        page.to_trial()
        finish_one(page)
        page.to_trial()
        trial = page.trial
        for count, point in enumerate(POINTS[:3], 1):
            page.click(*point, PX)
            page.opened(count)
        page.open(address(lab))
        page.trial = None
        page.to_trial()
        assert page.trial == trial
        page.opened(3)
        seen = np.array(page.pixels(), np.uint8).reshape(PX, PX, 4)
        np.testing.assert_array_equal(seen[..., :3], shown(lab, stim(lab, page), POINTS[:3]))
        page.key("f")
        finish(page)
    found = tables(lab.store, lab.settings)
    assert len(found.trials) == 6
    assert found.trials["resumed"].tolist() == [True] + [False] * 5
    assert found.trials["n_clicks"].tolist() == [3] + [1] * 5
    assert len(events(lab, "reload")) == 1
    assert (found.trials["rt_decision_ms"] > 0).all()


def finish_one(page):
    page.click(20.5, 20.5, PX)
    page.opened(1)
    page.key("f")


def test_ten_seconds_without_a_network_lose_nothing(lab):
    """The page says so, keeps everything, and is at the end only when all of it is on the server's disk."""
    lab = lab()
    with chromium() as page:
        page.open(address(lab))
        page.to_trial()
        finish_one(page)
        page.to_trial()
        page.click(*POINTS[0], PX)
        page.opened(1)
        page.set_network(there=False)
        before = len(events(lab, "click"))
        page.click(*POINTS[1], PX)
        page.opened(2)  # the picture does not wait for the network
        page.wait("document.getElementById('saved').textContent.includes('No connection')")
        time.sleep(10)
        assert len(events(lab, "click")) == before
        page.key("f")
        page.set_network(there=True)
        page.to_trial()
        finish_one(page)
        finish(page)
    kept = lab.store.events(1)
    assert [event["seq"] for event in kept] == list(range(1, len(kept) + 1))
    assert tables(lab.store, lab.settings).trials["n_clicks"].tolist() == [2, 1, 1, 1, 1, 1]


def test_the_end_waits_until_the_server_has_everything(lab):
    two = ["happy", "sad"]
    lab = lab(practice=(), images=table()[lambda rows: rows["true_label"].isin(two) & rows["false_label"].isin(two)])
    with chromium() as page:
        page.open(address(lab))
        page.to_trial()
        finish_one(page)
        page.to_trial()
        page.click(*POINTS[0], PX)
        page.opened(1)
        page.set_network(there=False)
        page.key("j")
        page.wait("document.querySelector('main').textContent.includes('Sending the last answers')")
        time.sleep(2)
        assert not page.run("return document.querySelector('.endcode')")
        page.set_network(there=True)
        page.wait("document.querySelector('.endcode')")
    assert len(tables(lab.store, lab.settings).trials) == 2


def test_the_newest_window_wins_and_the_older_is_told(lab):
    lab = lab()
    with chromium() as page:
        page.open(address(lab))
        page.to_trial()
        first = page.browser.current_window_handle
        page.browser.switch_to.new_window("tab")
        page.open(address(lab))
        page.trial = None
        page.to_trial()
        finish_one(page)
        page.to_trial()
        second, trial = page.browser.current_window_handle, page.trial
        page.browser.switch_to.window(first)
        page.run("window.dispatchEvent(new Event('blur'))")  # whatever happens there is sent, and refused
        page.wait("document.querySelector('main').textContent.includes('another window')")
        page.browser.switch_to.window(second)
        page.trial = trial
        page.click(*POINTS[0], PX)
        page.opened(1)
        page.key("f")
        finish(page)
    assert len(events(lab, "answer")) == 7 and len({event["trial"] for event in events(lab, "answer")}) == 7


def test_scripts_in_every_text_stay_text(lab):
    evil = "<script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\">"
    lab = lab(title=evil, ask=("gender",), practice=())
    texts = lab.folder / "texts"
    (texts / "consent.txt").write_text(evil)
    (texts / "instructions.txt").write_text(evil)
    (texts / "en.json").write_text(
        json.dumps({"question": evil, "labels": {"happy": evil, "sad": evil, "anger": evil}})
    )
    with chromium() as page:
        page.open(address(lab))
        page.wait("document.getElementById('gender')")
        page.run("document.getElementById('gender').value = arguments[0]", evil)
        finish(page)
        assert page.run("return document.title") == evil
        assert not page.run("return document.querySelector('main script, main img')")
    person = tables(lab.store, lab.settings).participants.iloc[0]
    assert person["gender"] == evil
