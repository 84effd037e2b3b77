// @ts-check
// One trial: a blurred picture that opens where it is clicked, and the answers on offer.

import { compose, imagePoint, isInside, openDisc } from "./reveal.js";

const ANSWERS_FROM_MS = 150;

/**
 * @typedef {Object} Tools
 * @property {(tag: string, values?: Object, ...children: any[]) => any} make
 * @property {(kind: string, trial: number|null, t_ms: number, body?: Object) => Promise<void>} log
 * @property {Record<string, string>} texts
 * @property {Record<string, string>} labels
 * @property {any} settings
 * @property {number} cssSide of the picture on the screen
 * @property {number} cssAbove blank above the question
 */

/**
 * Show a trial until it is answered.
 * @param {HTMLElement} main
 * @param {{trial: number, options: string[], sharp: Uint8ClampedArray, blurred: Uint8ClampedArray}} trial
 * @param {{clicks: any[], elapsed_ms: number}} before what was done before a reload
 * @param {Tools} tools
 * @returns {Promise<void>}
 */
export function runTrial(main, trial, before, tools) {
  const { make, log, texts, labels, settings } = tools;
  const side = settings.image_px;
  const mask = new Uint8Array(side * side);
  let opened = 0, travelled = 0, onset = 0, answered = false, ready = false;
  /** @type {{x: number, y: number}|null} */
  let lastPoint = null;
  /** @type {{id: number, x: number, y: number, t: number}|null} */
  let touch = null;
  const fingers = new Set();
  let scale = tools.cssSide / side;

  const canvas = make("canvas", { width: side, height: side, tabIndex: 0, role: "application" });
  canvas.setAttribute("aria-label", texts.picture);
  canvas.setAttribute("aria-describedby", "hint");
  const cross = make("div", { className: "cross", hidden: true });
  const stage = make("div", { className: "stage" }, canvas, cross);
  const hint = make("p", { className: "hint", id: "hint" });
  const two = trial.options.length === 2;
  const keys = two ? ["f", "j"] : trial.options.map((_, place) => String(place + 1));
  const buttons = trial.options.map((option, place) => {
    const key = make("kbd", {}, keys[place].toUpperCase());
    key.setAttribute("aria-hidden", "true");
    const name = make("span", {}, labels[option] || option);
    const button = make("button", { type: "button" }, ...(two && place === 1 ? [name, key] : [key, name]));
    button.setAttribute("aria-keyshortcuts", keys[place]);
    return button;
  });
  const options = make("div", { className: two ? "options" : "options many", role: "group" }, ...buttons);
  options.setAttribute("aria-label", texts.question);
  const heading = make("h1", { className: "question" }, texts.question);
  main.className = "trial";
  main.replaceChildren(heading, stage, options, hint);
  heading.style.marginTop = `${tools.cssAbove}px`;
  for (const element of [canvas, stage]) element.style.width = element.style.height = `${tools.cssSide}px`;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));

  const draw = () => {
    context.putImageData(new ImageData(compose(trial.sharp, trial.blurred, mask), side, side), 0, 0);
    canvas.dataset.opened = String(opened);
  };
  const clock = (stamp) => before.elapsed_ms + stamp - onset;
  const mayAnswer = () => settings.allow_blind || opened > 0;
  const tell = () => {
    for (const button of buttons) button.setAttribute("aria-disabled", String(!mayAnswer()));
    hint.textContent = mayAnswer() ? texts.hint_answer : texts.hint_click;
  };

  for (const click of before.clicks) {
    if (!click.inside) continue;
    openDisc(mask, side, click.x, click.y, settings.reveal_radius_px);
    opened++;
  }
  draw();
  tell();

  return new Promise((resolve) => {
    const abort = new AbortController();
    const listen = (target, kind, work) => target.addEventListener(kind, work, { signal: abort.signal, passive: false });

    async function click(point, stamp, pointer) {
      if (answered || !ready) return;
      const inside = isInside(point, side);
      const travel = travelled;
      travelled = 0;
      lastPoint = point;
      // The event is kept before the picture changes.
      await log("click", trial.trial, clock(stamp), { x: point.x, y: point.y, inside, pointer, travel });
      if (!inside || answered) return;
      openDisc(mask, side, point.x, point.y, settings.reveal_radius_px);
      opened++;
      draw();
      tell();
    }

    async function answer(place, stamp, pointer) {
      if (answered || !ready || stamp - onset < ANSWERS_FROM_MS) return;
      if (!mayAnswer()) {
        hint.textContent = texts.hint_click;
        return;
      }
      answered = true;
      abort.abort();
      await log("answer", trial.trial, clock(stamp), { response: trial.options[place], with: pointer });
      resolve();
    }

    const pointOf = (event) => imagePoint(event.clientX, event.clientY, canvas.getBoundingClientRect(), side);
    listen(main, "pointerdown", (event) => {
      if (event.pointerType === "touch") fingers.add(event.pointerId);
      if (event.target !== canvas && event.target.closest("button")) return;
      if (event.target === canvas) event.preventDefault();
      if (settings.pointer === "mouse" && event.pointerType !== "mouse") {
        hint.textContent = texts.mouse_only;
        return;
      }
      if (event.pointerType === "touch") {
        // A second finger makes a pinch of it, which opens nothing.
        const alone = event.isPrimary && fingers.size === 1 && event.target === canvas;
        touch = alone ? { id: event.pointerId, ...pointOf(event), t: event.timeStamp } : null;
      } else if (event.isPrimary && event.button === 0) {
        click(pointOf(event), event.timeStamp, event.pointerType || "mouse");
      }
    });
    listen(window, "pointerup", (event) => {
      fingers.delete(event.pointerId);
      if (touch && touch.id === event.pointerId) {
        const { x, y, t } = touch;
        touch = null;
        click({ x, y }, t, "touch");
      }
    });
    listen(window, "pointercancel", (event) => {
      fingers.delete(event.pointerId);
      touch = null;
    });
    let seen = null;
    listen(window, "pointermove", (event) => {
      if (event.pointerType !== "mouse") return;
      const point = pointOf(event);
      const from = seen || lastPoint || point;
      travelled += Math.hypot(point.x - from.x, point.y - from.y);
      seen = point;
    });
    buttons.forEach((button, place) => {
      listen(button, "click", (event) => answer(place, event.timeStamp, event.pointerType || (event.detail ? "mouse" : "keyboard")));
    });

    // The keys move a cross over the picture's pixels and open where it stands.
    const at = { x: Math.floor(side / 2) + 0.5, y: Math.floor(side / 2) + 0.5 };
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const place = () => {
      cross.style.left = `${at.x * scale}px`;
      cross.style.top = `${at.y * scale}px`;
    };
    listen(canvas, "blur", () => { cross.hidden = true; });
    listen(canvas, "pointerdown", () => { cross.hidden = true; });
    listen(canvas, "keydown", (event) => {
      const move = moves[event.key];
      if (move) {
        event.preventDefault();
        const step = event.shiftKey ? 10 : 1;
        at.x = Math.min(Math.max(at.x + step * move[0], 0.5), side - 0.5);
        at.y = Math.min(Math.max(at.y + step * move[1], 0.5), side - 0.5);
        place();
        cross.hidden = false;
      } else if ((event.key === "Enter" || event.key === " ") && !event.repeat) {
        event.preventDefault();
        if (cross.hidden) {
          place(); // the ring shows where Enter will uncover before anything is uncovered
          cross.hidden = false;
          return;
        }
        click({ x: at.x, y: at.y }, event.timeStamp, "keyboard");
      }
    });
    listen(window, "keydown", (event) => {
      if (event.repeat || event.ctrlKey || event.altKey || event.metaKey || event.target.closest?.("input, dialog")) return;
      const chosen = keys.indexOf(event.key.toLowerCase());
      if (chosen >= 0) answer(chosen, event.timeStamp, "keyboard");
    });

    // The onset is the frame after the one that shows the picture.
    requestAnimationFrame(() =>
      requestAnimationFrame(async (stamp) => {
        onset = stamp;
        scale = canvas.getBoundingClientRect().width / side;
        await log("trial_start", trial.trial, before.elapsed_ms, {
          utc: new Date().toISOString(), css_scale: scale, device_pixel_ratio: window.devicePixelRatio,
        });
        ready = true;
        canvas.dataset.trial = String(trial.trial);
        canvas.dataset.ready = "1";
        if (document.activeElement === document.body || document.activeElement === main) canvas.focus({ preventScroll: true });
      }),
    );
  });
}
