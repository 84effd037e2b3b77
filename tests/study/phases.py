"""A walk through every page that a participant can meet."""

import time

from fer_jax.study.folder import token_of

LATER = "const real = Date.now; Date.now = () => real() + 11 * 60 * 1000"


def walk(lab, page, *, width, height):
    """Yield the name of each page while the browser shows it. The study asks, calibrates, and has three places.

    Args:
      lab: a study with fields to ask, `size="angle"`, one practice trial and two blocks.
      page: of a browser.
      width: of its window, CSS pixels.
      height: of its window, CSS pixels.
    """
    site, side = f"http://127.0.0.1:{lab.port}", lab.settings.image_px
    middle = side / 2

    def link(label):
        return f"{site}/s/{token_of(lab.folder, label)}"

    def answer():
        page.click(middle, middle, side)
        page.wait("document.querySelector('canvas')?.dataset.opened > 0")
        page.key("f")

    def trial():
        page.wait(f"document.querySelector('canvas[data-ready]:not([data-trial=\"{page.trial}\"])')")
        page.trial = page.run("return document.querySelector('canvas').dataset.trial")
        time.sleep(0.2)  # answers count from 150 ms after onset

    page.open(site)
    page.wait("document.getElementById('code')")
    yield "entry"
    page.run("document.getElementById('code').value = 'NONE'")
    page.press_button()
    page.wait("document.querySelector('[role=alert]')?.textContent")
    yield "wrong code"
    page.resize(300, 400)
    page.open(link("P01"))
    page.wait("document.querySelector('form')")
    yield "small window"
    page.resize(width, height)
    page.press_button()
    page.wait("document.getElementById('age')")
    yield "consent"
    page.press_button()
    page.wait("document.querySelector('.card')")
    yield "calibration"
    page.press_button()
    page.wait("document.querySelector('form') && !document.querySelector('.card')")
    yield "instructions"
    lab.web.faults = [lambda method, path: 503 if path.endswith("sharp.png") else None]
    page.press_button()
    page.wait("document.querySelector('main progress')")
    yield "loading"
    lab.web.faults = []
    trial()
    yield "practice"
    answer()
    page.wait("document.querySelector('form')")
    yield "practice done"
    page.press_button()
    trial()
    yield "trial"
    page.click(0.32 * side, 0.42 * side, side)
    page.wait("document.querySelector('canvas').dataset.opened == '1'")
    page.click(0.68 * side, 0.42 * side, side)
    page.wait("document.querySelector('canvas').dataset.opened == '2'")
    yield "trial with two circles"
    page.key("ArrowRight")
    page.wait("!document.querySelector('.cross').hidden")
    yield "trial with the ring"
    page.run("document.getElementById('leave').click()")
    page.wait("document.querySelector('dialog').open")
    yield "leaving"
    page.run("document.querySelector('dialog button').click()")
    lab.web.faults = [lambda method, path: 503 if path.endswith("events") else None]
    page.click(0.5 * side, 0.7 * side, side)
    page.wait("document.querySelector('#saved.warning')")
    yield "no connection"
    page.run(LATER)
    page.wait("!document.getElementById('rescue').hidden")
    yield "rescue file"
    lab.web.faults = [lambda method, path: 507 if path.endswith("events") else None]
    words = page.run("return document.getElementById('saved').textContent")
    page.run("window.dispatchEvent(new Event('online'))")
    page.wait(f"document.getElementById('saved').textContent !== {words!r}")
    yield "full disk"
    lab.web.faults = []
    page.run("window.dispatchEvent(new Event('online'))")
    page.wait("!document.querySelector('#saved.warning')")
    page.key("f")
    for _ in range(sum(one.block == 1 for one in lab.store.plan(1)) - 1):
        trial()
        answer()
    page.wait("document.querySelector('form')")
    yield "break"
    page.press_button()
    rest = sum(one.block == 2 for one in lab.store.plan(1))
    for left in reversed(range(rest)):
        trial()
        if not left:
            lab.web.faults = [lambda method, path: 503 if path.endswith("events") else None]
        answer()
    page.wait("document.querySelector('h1.plain')")
    yield "sending the last answers"
    lab.web.faults = []
    page.wait("document.querySelector('.endcode')")
    yield "end"
    page.open(link("P02"))
    page.wait("document.querySelector('form')")
    lab.web.faults = [lambda method, path: 503 if path.endswith("withdraw") else None]
    page.run("document.getElementById('leave').click()")
    page.run("document.querySelectorAll('dialog button')[1].click()")
    page.wait("document.querySelector('#saved.warning')")
    yield "deleting"
    lab.web.faults = []
    page.wait("document.querySelector('main h1:not(.plain)')")
    yield "deleted"
    page.open(link("P03"))
    page.wait("document.querySelector('form')")
    lab.client("P03").ask("POST", "claim", {})
    page.run("window.dispatchEvent(new Event('blur'))")
    page.wait("document.querySelector('main h1') && !document.querySelector('form')")
    yield "another window"
    page.open(f"{site}/s/nobody")
    page.wait("document.querySelector('main h1')")
    yield "unknown link"
    lab.store.shut(3, "resumed too late").result()
    page.open(link("P03"))
    page.wait("document.querySelector('main h1')")
    yield "left for too long"
