"""A headless Chromium for the tests of the study's page, driven by Selenium. Nothing is downloaded."""

import contextlib
import json
import os
import shutil
import time

import pytest


@contextlib.contextmanager
def chromium(*, width=1100, height=850, ratio=1.0, mobile=False):
    """A browser of its own, with a window of this many CSS pixels."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("no Chromium: install the packages chromium and chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "force-color-profile=srgb"):
        options.add_argument(f"--{flag}")
    options.add_argument(f"--window-size={width},{height}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(executable_path=driver, log_output=os.devnull)
    browser = webdriver.Chrome(options=options, service=service)
    try:
        page = Page(browser, ratio=ratio, mobile=mobile)
        page.resize(width, height)
        if mobile:
            page.command("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=5)
        yield page
    finally:
        browser.quit()


class Page:
    """What a participant does with a browser."""

    def __init__(self, browser, *, ratio=1.0, mobile=False):
        self.browser = browser
        self.screen = {"deviceScaleFactor": ratio, "mobile": mobile}
        self.trial = None

    def run(self, script, *values):
        return self.browser.execute_script(script, *values)

    def command(self, name, **values):
        return self.browser.execute_cdp_cmd(name, values)

    def resize(self, width, height):
        """Give the window so many CSS pixels."""
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=height, **self.screen)

    def set_network(self, *, there):
        """Cut the browser off from the network, or give it back."""
        self.command("Network.enable")
        limits = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        self.command("Network.emulateNetworkConditions", offline=not there, **limits)

    def wait(self, script, seconds=120):
        """Wait until a script gives something true, and return it."""
        end = time.monotonic() + seconds
        while True:
            found = self.run(f"return {script}")
            if found:
                return found
            if time.monotonic() > end:
                raise AssertionError(f"never true: {script}; the page says: {self.text()!r}")
            time.sleep(0.03)

    def text(self):
        return self.run("return document.body.innerText")

    def open(self, address):
        self.browser.get(address)

    def open_new_tab(self):
        """Close the tab and open an empty one."""
        old = self.browser.current_window_handle
        self.browser.switch_to.new_window("tab")
        new = self.browser.current_window_handle
        self.browser.switch_to.window(old)
        self.browser.close()
        self.browser.switch_to.window(new)
        self.trial = None

    def press_button(self):
        """Press the button of a page between trials, if it is there."""
        self.run("document.querySelector('main form [type=submit]')?.click()")

    def press(self, selector, *, touch=False):
        """Press an element at its middle, with the mouse or a finger."""
        where = (
            "const b = document.querySelector(arguments[0]).getBoundingClientRect();"
            "return { x: b.left + b.width / 2, y: b.top + b.height / 2 }"
        )
        (self._tap if touch else self._press)(self.run(where, selector))

    def to_trial(self):
        """Go on to a trial that has not been here before; return its number on the page, or None at the end."""
        while True:
            found, trial = self.wait(
                "(() => { const c = document.querySelector('canvas');"
                "if (document.querySelector('.endcode')) return ['end', null];"
                "if (document.querySelector('main form button')) return ['page', null];"
                f"return c && c.dataset.ready && c.dataset.trial !== {json.dumps(self.trial)} ? "
                "['trial', c.dataset.trial] : null; })()"
            )
            if found == "page":
                self.press_button()
            elif found == "end":
                return None
            else:
                self.trial = trial
                time.sleep(0.2)  # answers count from 150 ms after onset
                return self.run("return document.getElementById('where').innerText")

    def box(self):
        """Left, top and side of the picture in the window, CSS pixels."""
        box = self.run(
            "const b = document.querySelector('canvas').getBoundingClientRect(); return [b.left, b.top, b.width]"
        )
        return tuple(box)

    def point(self, x, y, side):
        """CSS pixels of a point of the picture."""
        left, top, width = self.box()
        return left + x * width / side, top + y * width / side

    def click(self, x, y, side):
        """Click at a point of the picture with the mouse."""
        self._press(dict(zip("xy", self.point(x, y, side), strict=True)))

    def tap(self, x, y, side):
        self._tap(dict(zip("xy", self.point(x, y, side), strict=True)))

    def _press(self, at):
        self.command("Input.dispatchMouseEvent", type="mouseMoved", **at)
        for kind in ("mousePressed", "mouseReleased"):
            self.command("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **at)

    def _tap(self, at):
        self.command("Input.dispatchTouchEvent", type="touchStart", touchPoints=[at])
        self.command("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def key(self, key, *, shift=False, code=None):
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        numbers = {"Enter": 13, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Tab": 9}
        number = numbers.get(key, ord(key.upper()) if len(key) == 1 else 0)
        common = {"key": key, "code": code or key, "windowsVirtualKeyCode": number, "modifiers": 8 if shift else 0}
        self.command("Input.dispatchKeyEvent", type="keyDown", **common, **({"text": text} if text else {}))
        self.command("Input.dispatchKeyEvent", type="keyUp", **common)

    def pixels(self):
        """RGBA of the picture as the page shows it, flat."""
        return self.run(
            "const c = document.querySelector('canvas');"
            "return Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)"
        )

    def opened(self, count, seconds=120):
        """Wait until so many clicks of the trial are kept and shown."""
        self.wait(f"document.querySelector('canvas').dataset.opened == '{count}'", seconds)

    def requests(self):
        """Addresses of everything that the browser asked for."""
        entries = [json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance")]
        return [one["params"]["request"]["url"] for one in entries if one["method"] == "Network.requestWillBeSent"]

    def complaints(self):
        """What the browser's console holds."""
        return [
            entry["message"] for entry in self.browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")
        ]
