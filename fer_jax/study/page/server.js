// @ts-check
// Requests to the study's server.

const TIMEOUT_MS = 15000;

/**
 * @param {string} method @param {string} path @param {Object} [body]
 * @returns {Promise<any>} the answer with its status; status 0 where there was none
 */
export async function ask(method, path, body) {
  try {
    const answer = await fetch(path, {
      method,
      headers: body === undefined ? {} : { "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
      credentials: "omit",
    });
    const values = await answer.json().catch(() => ({}));
    return { ...values, status: answer.status };
  } catch {
    return { status: 0 };
  }
}

/** Ask until there is an answer that is no fault of the network or the server. `waiting` gets the status of each fault. */
export async function askUntil(method, path, body, waiting = (status) => {}) {
  for (let wait = 500; ; wait = Math.min(2 * wait, 30000)) {
    const answer = await ask(method, path, body);
    if (answer.status && answer.status < 500 && answer.status !== 429 && answer.status !== 408) return answer;
    waiting(answer.status);
    await new Promise((resolve) => setTimeout(resolve, wait * (0.75 + Math.random() / 2)));
  }
}

/**
 * Load a file that must have so many bytes and such a hash, as often as it takes.
 * @param {string} path @param {{bytes: number, sha256: string}} wanted
 * @returns {Promise<Blob|null>} null where the study is closed or the participant has withdrawn
 */
export async function load(path, wanted) {
  for (let wait = 300; ; wait = Math.min(2 * wait, 10000)) {
    try {
      const answer = await fetch(path, { signal: AbortSignal.timeout(TIMEOUT_MS), credentials: "omit" });
      if (answer.status === 410) return null;
      if (answer.ok) {
        const bytes = await answer.arrayBuffer();
        if (bytes.byteLength === wanted.bytes && (await isWhole(bytes, wanted.sha256))) {
          return new Blob([bytes], { type: "image/png" });
        }
      }
    } catch {
      // The network is asked again below.
    }
    await new Promise((resolve) => setTimeout(resolve, wait * (0.75 + Math.random() / 2)));
  }
}

/** @param {ArrayBuffer} bytes @param {string} sha256 */
async function isWhole(bytes, sha256) {
  if (!globalThis.crypto || !crypto.subtle) return true; // no secure context; the number of bytes was right
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("") === sha256;
}

/**
 * @param {Blob} blob @param {number} side @returns {Promise<Uint8ClampedArray>} RGBA, the file's own numbers
 */
export async function pixelsOf(blob, side) {
  const picture = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  context.drawImage(picture, 0, 0);
  picture.close();
  return context.getImageData(0, 0, side, side).data;
}
