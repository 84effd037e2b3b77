"""Every page of a study, by an independent checker of accessibility, by size and contrast, in each language."""

import os
import pathlib
import tarfile

import pytest

from .browsers import chromium
from .phases import walk

CACHE = pathlib.Path(__file__).resolve().parents[2] / ".cache"
TARGET_PX = 44
CONTRAST = 4.5

# What can be pressed, the least contrast of text, and what has no visible focus when it is focused.
MEASURE = """
const linear = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
const luminance = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
const ground = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const [r, g, b, a = 1] = numbers(getComputedStyle(at).backgroundColor);
    if (a === 1) return [r, g, b];
  }
  return [255, 255, 255];
};
const shown = (element) => element.checkVisibility() && !element.closest('dialog:not([open])');
const small = [], faint = [];
for (const element of document.querySelectorAll('button, a, input, [role=slider], canvas')) {
  if (!shown(element)) continue;
  const box = element.getBoundingClientRect();
  if (Math.min(box.width, box.height) < arguments[0]) small.push(`${element.outerHTML} ${box.width} x ${box.height}`);
}
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let text = texts.nextNode(); text; text = texts.nextNode()) {
  const element = text.parentElement;
  if (!text.data.trim() || !shown(element) || element.tagName === 'NOSCRIPT') continue;
  const [one, other] = [luminance(numbers(getComputedStyle(element).color)), luminance(ground(element))];
  const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  if (contrast < arguments[1]) faint.push(`${text.data.trim()}: ${contrast}`);
}
return [small, faint, document.documentElement.scrollWidth - innerWidth];
"""
AXE = """
const done = arguments[arguments.length - 1];
axe.run(document, { resultTypes: ['violations'] }).then(
  (found) => done([
    found.violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join(' ')}`),
    found.passes.length,
  ]),
  (error) => done([[String(error)], 0]));
"""


@pytest.fixture(scope="module")
def axe():
    """The script of axe-core, None where it is not at hand."""
    found = [os.environ.get("FER_JAX_AXE"), *sorted(CACHE.glob("axe-core-*.tgz"))]
    found = [path for path in found if path]
    if not found:
        return None
    with tarfile.open(found[-1]) as package:
        script = package.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode("utf-8")


@pytest.mark.parametrize(("lang", "width", "height"), [("en", 1280, 800), ("de", 390, 844), ("ko", 1280, 800)])
def test_every_page_can_be_used_by_everybody(lab, axe, lang, width, height):
    """Targets of 44 pixels, contrast of 4.5, no sideways scrolling, nothing that moves, and no fault by axe-core."""
    lab = lab(lang=lang, size="angle", ask=("age", "gender", "vision"), image_px=96)
    names = []
    with chromium(width=width, height=height, mobile=width < 600) as page:
        for name in walk(lab, page, width=width, height=height):
            names.append(name)
            small, faint, over = page.run(MEASURE, TARGET_PX, CONTRAST)
            assert (small, faint) == ([], []), name
            assert over <= 0, name
            assert page.run("return document.getAnimations().length") == 0, name
            assert page.run("return document.documentElement.lang") == lang
            if name.startswith("trial"):  # nothing of a trial needs scrolling
                assert page.run("return document.documentElement.scrollHeight <= innerHeight"), name
            if axe is not None:
                if not page.run("return typeof axe === 'object'"):
                    page.run(axe)
                violations, passes = page.browser.execute_async_script(AXE)
                assert not violations, (name, violations)
                assert passes > 10  # rules were applied
    assert len(names) == len(set(names)) == 24
    if axe is None:
        pytest.skip("no axe-core: run `npm pack axe-core --pack-destination=.cache`")
