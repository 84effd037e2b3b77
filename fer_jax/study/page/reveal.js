// @ts-check
// Discs on whole pixels, as `fer_jax.human.stimuli` opens them. Nothing here knows a page.

/**
 * Open every pixel with dx² + dy² <= radius² of the one clicked.
 * @param {Uint8Array} mask side · side, 1 where open; changed in place
 * @param {number} side of the picture, pixels
 * @param {number} x image pixels from the left edge
 * @param {number} y image pixels from the top edge
 * @param {number} radius whole pixels
 */
export function openDisc(mask, side, x, y, radius) {
  const column = Math.floor(x), row = Math.floor(y);
  for (let dy = -radius; dy <= radius; dy++) {
    const line = row + dy;
    if (line < 0 || line >= side) continue;
    const reach = Math.floor(Math.sqrt(radius * radius - dy * dy));
    const first = Math.max(0, column - reach), last = Math.min(side - 1, column + reach);
    if (first <= last) mask.fill(1, line * side + first, line * side + last + 1);
  }
}

/**
 * Return the picture a participant sees.
 * @param {Uint8ClampedArray} sharp RGBA
 * @param {Uint8ClampedArray} blurred RGBA
 * @param {Uint8Array} mask 1 where open
 * @returns {Uint8ClampedArray} RGBA, sharp where open
 */
export function compose(sharp, blurred, mask) {
  const seen = new Uint8ClampedArray(blurred);
  for (let pixel = 0; pixel < mask.length; pixel++) {
    if (mask[pixel]) seen.set(sharp.subarray(4 * pixel, 4 * pixel + 4), 4 * pixel);
  }
  return seen;
}

/**
 * Return image pixels of a point of the window: origin top left, pixel centres at .5.
 * @param {number} clientX
 * @param {number} clientY
 * @param {{left: number, top: number, width: number, height: number}} box of the picture in the window
 * @param {number} side of the picture, pixels
 */
export function imagePoint(clientX, clientY, box, side) {
  return { x: ((clientX - box.left) * side) / box.width, y: ((clientY - box.top) * side) / box.height };
}

/** @param {{x: number, y: number}} point @param {number} side */
export function isInside(point, side) {
  return point.x >= 0 && point.x < side && point.y >= 0 && point.y < side;
}
