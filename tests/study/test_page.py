"""A participant's page in a real browser: pixels, points, keys, fingers, reloads, a second window, a lost network."""

import importlib.resources
import json
import time
import urllib.parse

import numpy as np
import pandas as pd
import pytest

from fer_jax import human
from fer_jax.human import stimuli
from fer_jax.study import commands
from fer_jax.study.folder import code_of, end_code_of, token_of
from fer_jax.study.projection import tables

from .browsers import chromium
from .conftest import PX, table, two_trials

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
    mask = stimuli.reveal_mask(np.asarray(points).reshape(-1, 2), sharp.shape[:2], lab.settings.radius)
    return stimuli.composite(sharp, blurred, mask)


def events(lab, kind, label_id=1):
    return [event for event in lab.store.events(label_id) if event["type"] == kind]


def stim(lab, page, number=1):
    return next(trial.stim_id for trial in lab.store.plan(number) if str(trial.trial) == page.trial)


def finish(page, *, touch=False):
    """Do the rest of the study, a click and an answer a trial."""
    trials = 0
    while page.to_trial() is not None:
        (page.tap if touch else page.click)(20.5, 20.5, PX)
        page.opened(1)
        if touch:
            page.press(f".options button:nth-child({trials % 2 + 1})", touch=True)
        else:
            page.key("fj"[trials % 2])
        trials += 1
    return trials


def test_a_study_by_mouse_shows_the_pixels_that_python_computes(lab, tmp_path):
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
    # A program moves straight and says that it is one. Its row is as good as any other.
    assert commands.main(["export", "--study_dir", str(lab.folder), "--out", str(tmp_path / "tables")]) == 0
    person = human.trials.read(tmp_path / "tables").participants.iloc[0]
    assert person["webdriver"] and not person["excluded"] and pd.isna(person["exclusion_reason"])
    assert person["path_straightness"] > 0.99 and person["click_interval_cv"] >= 0


@pytest.mark.parametrize(
    ("zoom", "ratio", "scroll", "scale"), [(0.9, 1.0, 0, 1.0), (1.25, 1.0, 137, 1.5), (1.0, 2.0, 137, 0.5)]
)
def test_points_are_right_when_zoomed_scrolled_scaled_and_on_dense_screens(lab, zoom, ratio, scroll, scale):
    """Zooming a page makes fewer CSS pixels of a window, and more device pixels of each."""
    lab = lab(size="angle")
    one = lab.client()
    epoch = one.ask("POST", "claim", {})[1]["epoch"]
    screen = {"px_per_cm": scale * PX / (2 * 57 * np.tan(np.radians(2.25))), "distance_cm": 57.0}
    calibrated = {"seq": 1, "trial": None, "type": "calibrate", "t_ms": 0.0, "body": screen}
    assert one.ask("PUT", "events", {"epoch": epoch, "events": [calibrated]})[0] == 200
    points = [(0.5, 0.5), (46.5, 0.5), (24.5, 24.5), (10.5, 40.5), (30.5, 12.5)]
    with chromium(width=round(900 / zoom), height=round(700 / zoom), ratio=ratio * zoom) as page:
        page.open(address(lab))
        page.to_trial()
        page.run("document.body.style.minHeight = '2000px'; document.querySelector('header').style.marginTop = '200px'")
        page.run("window.scrollTo(0, arguments[0])", scroll)
        for count, point in enumerate(points, 1):
            page.click(*point, PX)
            page.opened(count)
        before = page.pixels()
        page.click(-20, 10, PX)  # beside the picture
        page.wait("document.getElementById('saved').textContent.includes('saved')")
        assert page.pixels() == before
        page.key("f")
        page.to_trial()
    clicks = [event["body"] for event in events(lab, "click")]
    np.testing.assert_allclose([(click["x"], click["y"]) for click in clicks[:5]], points, atol=0.5 + 1e-6)
    assert [click["inside"] for click in clicks] == [True] * 5 + [False]
    start = events(lab, "trial_start")[0]["body"]
    assert start["device_pixel_ratio"] == pytest.approx(ratio * zoom)
    assert start["css_scale"] == pytest.approx(scale, rel=1e-3)


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
        page.press(".options button", touch=True)
        assert finish(page, touch=True) == 6
    found = tables(lab.store, lab.settings)
    assert len(found.trials) == 6 and (found.clicks["pointer_type"] == "touch").all()
    assert set(found.trials["answered_with"]) == {"touch"}
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


def test_a_closed_tab_comes_back_to_the_same_trial_with_its_discs_open(lab):
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
        page.wait("document.getElementById('saved').textContent.includes('Everything is saved')")
        page.open_new_tab()
        assert len(events(lab, "answer")) == 1
        assert [event["trial"] for event in events(lab, "click")[1:]] == [int(trial)] * 3
        page.open(address(lab))
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
    assert len(events(lab, "click")) == 1 + 3 + 5 and len(events(lab, "answer")) == 7
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
        before = 2  # of the practice, and this one
        for _ in range(200):  # until the server has it
            if len(events(lab, "click")) == before:
                break
            time.sleep(0.1)
        page.set_network(there=False)
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
    lab = lab(practice=(), images=two_trials())
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
    """Both answer the same trial. The older one hears of the newer between two trials."""
    lab = lab(practice=(), images=two_trials(), blocks=1, iti_ms=3000)
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
        second = page.browser.current_window_handle
        lab.web.faults = [lambda method, path: 503 if path.endswith("events") else None]
        page.browser.switch_to.window(first)
        page.click(*POINTS[1], PX)
        page.opened(1)
        page.key("j")
        page.wait("!document.querySelector('canvas')")
        lab.web.faults = []
        page.run("window.dispatchEvent(new Event('online'))")
        page.wait("document.querySelector('main').textContent.includes('another window')")
        time.sleep(3.5)  # no trial takes the place of these words
        assert "another window" in page.text() and not page.run("return document.querySelector('canvas')")
        page.browser.switch_to.window(second)
        page.click(*POINTS[0], PX)
        page.opened(1)
        page.key("f")
        page.wait("document.querySelector('.endcode')")
    answers = events(lab, "answer")
    assert sorted(event["trial"] for event in answers) == [1, 2]
    assert tables(lab.store, lab.settings).trials["n_clicks"].tolist() == [1, 1]


def test_a_card_set_by_keys_gives_the_picture_its_angle_and_a_disc_its_pixels(lab):
    """A card of 85.60 mm is 323.5 pixels wide on a screen of 96 dpi. The picture is 4.48 cm wide at 57 cm."""
    lab = lab(size="angle", image_px=96, reveal_radius_px=20, ask=())
    with chromium() as page:
        page.open(address(lab))
        width = "Number(document.querySelector('.card').getAttribute('aria-valuenow'))"
        while not page.run("return document.querySelector('.card')"):
            page.press_button()
            time.sleep(0.05)
        page.press("[aria-label=Larger]")
        start = page.run(f"return {width}")
        page.run("document.querySelector('.card').focus()")
        while page.run(f"return {width}") < 323.5 - 10:
            page.key("ArrowRight", shift=True)
        while page.run(f"return {width}") < 323.5:
            page.key("ArrowUp")
        assert start < 300 and page.run(f"return {width}") == 324
        page.to_trial()
        assert page.box()[2] / (96 / 2.54) == pytest.approx(4.479, rel=0.01)
        page.click(48.5, 40.5, 96)
        page.opened(1)
        seen = np.array(page.pixels(), np.uint8).reshape(96, 96, 4)[..., :3]
        veiled = shown(lab, stim(lab, page), [])
        changed = (seen != veiled).any(axis=-1)
        open_now = stimuli.reveal_mask(np.array([(48.5, 40.5)]), (96, 96), 20)
        np.testing.assert_array_equal(seen, shown(lab, stim(lab, page), [(48.5, 40.5)]))
        rows, columns = np.nonzero(changed)
        assert np.ptp(rows) + 1 == np.ptp(columns) + 1 == 41 and not (changed & ~open_now).any()
        page.key("f")
        page.to_trial()
    screen = events(lab, "calibrate")[0]["body"]
    assert screen["px_per_cm"] == pytest.approx(96 / 2.54, rel=0.01) and screen["distance_cm"] == 57
    side_cm = events(lab, "trial_start")[0]["body"]["css_scale"] * 96 / screen["px_per_cm"]
    assert side_cm == pytest.approx(2 * 57 * np.tan(np.radians(2.25)), abs=1e-3)  # the whole angle would give 4.486


EVIL = (
    "<script>window.broken = 1</script><img src=x onerror='window.broken = 1'><svg onload='window.broken = 1'></svg>"
    "\"'><iframe srcdoc='<script>parent.broken = 1</script>'></iframe></title></textarea>"
    "<a href='javascript:broken=1'>x</a>${window.broken = 1}{{constructor.constructor('broken = 1')()}}&lt;script&gt;"
)


def test_scripts_in_every_text_stay_text(lab):
    """The researcher's title, texts, labels and address, and whatever a participant types."""
    pictures = table().replace({"happy": EVIL})  # an answer on offer
    lab = lab(
        title=EVIL, images=pictures, ask=("age", "gender", "vision"), practice=(), url_parameters=("PROLIFIC_PID",)
    )
    texts = lab.folder / "texts"
    (texts / "consent.txt").write_text(EVIL)
    (texts / "instructions.txt").write_text(EVIL)
    ours = json.loads((importlib.resources.files("fer_jax.study") / "page" / "texts" / "en.json").read_text())
    names = [name for name in ours if name not in ("labels", "place", "practice_place")]
    (texts / "en.json").write_text(json.dumps(dict.fromkeys(names, EVIL) | {"labels": {"sad": EVIL}}))
    clean = "return !window.broken && !document.querySelector('body :is(script, img, svg, iframe, a, textarea)')"
    with chromium() as page:
        page.open(f"http://127.0.0.1:{lab.port}/")
        page.wait("document.getElementById('code')")
        page.run("document.getElementById('code').value = arguments[0]", EVIL[:20])
        page.press_button()
        page.wait("document.querySelector('[role=alert]')?.textContent")
        assert page.run(clean)
        page.open(address(lab) + "?PROLIFIC_PID=" + urllib.parse.quote(EVIL))
        page.wait("document.getElementById('gender')")
        assert page.run(clean)
        for field in ("age", "gender", "vision"):
            page.run("document.getElementById(arguments[0]).value = arguments[1]", field, EVIL)
        while page.to_trial() is not None:
            assert page.run(clean)
            assert EVIL in page.run("return document.querySelector('main').textContent")
            page.click(20.5, 20.5, PX)
            page.opened(1)
            page.key("f")
        assert page.run("return document.title") == EVIL
        assert page.run(clean)
        page.open(f"http://127.0.0.1:{lab.port}/s/" + urllib.parse.quote(EVIL.replace("/", ""), safe=""))
        page.wait("document.querySelector('main h1')")
        assert page.run(clean)
        assert not [told for told in page.complaints() if "Content Security" in told]
    found = tables(lab.store, lab.settings)
    assert found.participants.iloc[0][["gender", "vision"]].tolist() == [EVIL, EVIL]
    assert EVIL in set(found.trials["response"])
    assert [event["body"]["value"] for event in events(lab, "url")] == [EVIL]
