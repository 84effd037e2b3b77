// @ts-check
// The pages of a study, one after another, from the code to the end.

import { Queue, Sender } from "./queue.js";
import { ask, askUntil, load, pixelsOf } from "./server.js";
import { runTrial } from "./trial.js";

const RESCUE_AFTER_MS = 10 * 60 * 1000, LOADS_AT_ONCE = 6;
const CARD_MM = [85.6, 53.98]; // ISO/IEC 7810 ID-1

const main = /** @type {HTMLElement} */ (document.getElementById("main"));
const saved = /** @type {HTMLElement} */ (document.getElementById("saved"));
const where = /** @type {HTMLElement} */ (document.getElementById("where"));
const rescue = /** @type {HTMLButtonElement} */ (document.getElementById("rescue"));
const leave = /** @type {HTMLButtonElement} */ (document.getElementById("leave"));
const dialog = /** @type {HTMLDialogElement} */ (document.getElementById("dialog"));
const parameters = new URLSearchParams(location.search);

/** @type {any} */ let study; // the answer to the claim
/** @type {Record<string, string>} */ let texts = {};
/** @type {Queue} */ let queue;
/** @type {Sender} */ let sender;
let token = "", nextSeq = 1, currentTrial = /** @type {number|null} */ (null), trialOnset = 0, done = false;
/** @type {Promise<void>} */ let keeping = Promise.resolve();

/** @param {string} tag @param {Object} [values] @param {...any} children text or elements */
export function make(tag, values = {}, ...children) {
  const element = Object.assign(document.createElement(tag), values);
  element.append(...children);
  return element;
}

function show(...children) {
  main.className = "";
  main.replaceChildren(...children);
  main.focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

/** Show a page and wait for its button. */
function page(title, body, button, check = () => true) {
  return new Promise((resolve) => {
    const go = make("button", { type: "submit" }, button);
    const form = make("form", { noValidate: true }, make("h1", {}, title), ...body, make("div", { className: "row" }, go));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!check()) return;
      main.replaceChildren();
      resolve(undefined);
    });
    show(form);
  });
}

const paragraph = (text) => make("div", { className: "text" }, text);

/** Show words without a button, while something goes on. */
function showWaiting(words, ...more) {
  const told = make("span", { role: "status" }, words);
  show(make("h1", { className: "plain" }, told), ...more);
  return told;
}

/** Keep an event in the browser, then send it. Numbers are given in the order of the calls. */
function log(type, trial, t_ms, body = {}) {
  if (done || sender.stopped) return new Promise(() => {}); // nothing goes on after the end
  const event = { seq: nextSeq++, trial, type, t_ms, body };
  keeping = keeping.then(() => queue.add(event));
  return keeping.then(() => sender.kick());
}

const now = () => (currentTrial === null ? performance.now() : performance.now() - trialOnset);
const note = (type, body = {}) => { log(type, currentTrial, now(), body); };

function tellState(state) {
  const trouble = ["offline", "disk", "retrying"].includes(state);
  if (saved.textContent !== texts[state]) saved.textContent = texts[state] || "";
  saved.className = trouble ? "warning" : "";
  rescue.hidden = !(trouble && sender?.trouble && Date.now() - sender.troubleSince > RESCUE_AFTER_MS);
}

/** Ask until there is an answer, and say so while there is none. */
async function insist(method, path, body) {
  const answer = await askUntil(method, path, body, (status) => tellState(status === 507 ? "disk" : sender?.trouble || "retrying"));
  if (saved.className) tellState(sender?.trouble || "");
  return answer;
}

/** Give the unsent events as a file, which `fer-study ingest` takes. */
function saveRescue() {
  const file = new Blob([JSON.stringify({ token, events: queue.all() })], { type: "application/json" });
  const link = make("a", { href: URL.createObjectURL(file), download: "unsent-events.json" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

/** Leave the study in this window. What still runs has no page any more. */
function end(...children) {
  done = true;
  if (sender) sender.stopped = true;
  const shown = /** @type {HTMLElement} */ (document.querySelector("main"));
  const last = /** @type {HTMLElement} */ (main.cloneNode(false));
  last.className = "";
  last.append(...children);
  shown.replaceWith(last);
  leave.hidden = rescue.hidden = true;
  dialog.close();
  where.replaceChildren();
  saved.replaceChildren();
  last.focus({ preventScroll: true });
}

async function stopped(word) {
  if (word === "withdrawn") await queue?.clear();
  const known = { superseded: texts.superseded, withdrawn: texts.withdrawn, "resumed too late": texts.too_late, full: texts.full };
  const acts = queue?.all().some((event) => ["consent", "click", "answer"].includes(event.type));
  const unsent = make("button", { type: "button", hidden: !acts }, texts.rescue);
  unsent.addEventListener("click", saveRescue);
  end(make("h1", {}, texts.stopped), paragraph(known[word] || texts.unknown), make("div", { className: "row" }, unsent));
}

async function begin() {
  const open = await insist("GET", "/texts");
  texts = open.texts;
  document.documentElement.lang = open.lang;
  document.title = open.title;
  /** @type {HTMLElement} */ (document.getElementById("title")).textContent = open.title;
  const path = location.pathname.match(/^\/s\/([a-z0-9]+)$/);
  token = path ? path[1] : open.open_link ? await join() : await enter();
  if (!path) history.replaceState(null, "", `/s/${token}${location.search}`);
  await claim();
}

async function enter() {
  const code = make("input", { id: "code", className: "code", autocomplete: "off", autocapitalize: "characters", spellcheck: false, maxLength: 20 });
  const wrong = make("p", { className: "warning", role: "alert" });
  for (;;) {
    await page(texts.welcome, [make("label", { htmlFor: "code" }, texts.code), code, wrong], texts.next, () => code.value.trim() !== "");
    const answer = await insist("POST", "/enter", { code: code.value });
    if (answer.status === 200) return answer.token;
    wrong.textContent = texts.wrong_code;
  }
}

async function join() {
  await page(texts.welcome, [], texts.start);
  const answer = await insist("POST", "/join", {});
  if (answer.status === 200) return answer.token;
  await stopped("full");
  return new Promise(() => {});
}

async function claim() {
  const first = await insist("POST", `/s/${token}/claim`, {});
  if (first.status !== 200) return stopped(first.error);
  study = first;
  texts = study.texts;
  queue = await Queue.open(`study ${token}`);
  await queue.adopt(study.epoch, study.high_seq);
  sender = new Sender(queue, (events) => ask("PUT", `/s/${token}/events`, { epoch: study.epoch, events }), { state: tellState, stopped });
  // What an earlier page kept and could not send goes first; then the server says where the participant stands.
  if (queue.all().length) {
    await sender.drained();
    const again = await insist("POST", `/s/${token}/claim`, {});
    if (again.status !== 200) return stopped(again.error);
    study = again;
    await queue.adopt(study.epoch, study.high_seq);
  }
  nextSeq = study.high_seq + 1;
  listen();
  rescue.textContent = texts.rescue;
  leave.textContent = texts.leave;
  leave.hidden = false;
  await run();
}

function listen() {
  window.addEventListener("blur", () => note("blur"));
  window.addEventListener("focus", () => note("focus"));
  document.addEventListener("visibilitychange", () => { if (document.hidden) { note("blur"); sender.kick(); } });
  window.addEventListener("online", () => { note("online"); sender.retry(); });
  window.addEventListener("offline", () => note("offline"));
  let timer = 0;
  window.addEventListener("resize", () => {
    clearTimeout(timer);
    timer = setTimeout(() => note("resize", { width: innerWidth, height: innerHeight, device_pixel_ratio: devicePixelRatio }), 200);
  });
  window.addEventListener("beforeunload", (event) => { if (!done && sender.running) event.preventDefault(); });
  rescue.addEventListener("click", saveRescue);
  leave.addEventListener("click", askToLeave);
}

function askToLeave() {
  const stay = make("button", { type: "button" }, texts.stay);
  const remove = make("button", { type: "button", className: "danger" }, texts.remove);
  const heading = make("h1", { id: "leaving" }, texts.leave);
  dialog.replaceChildren(heading, paragraph(texts.leave_text), make("div", { className: "row" }, stay, remove));
  dialog.setAttribute("aria-labelledby", "leaving");
  stay.addEventListener("click", () => dialog.close());
  remove.addEventListener("click", async () => {
    end(make("h1", { className: "plain" }, make("span", { role: "status" }, texts.removing)));
    await keeping;
    await queue.clear();
    const answer = await insist("POST", `/s/${token}/withdraw`, { delete: true });
    await stopped(answer.status === 200 ? "withdrawn" : answer.error);
  });
  dialog.showModal();
}

async function run() {
  const chosen = study.settings;
  await largeEnough(chosen);
  if (!study.consented) await consent();
  await log("window", null, performance.now(), {
    width: innerWidth, height: innerHeight, device_pixel_ratio: devicePixelRatio, webdriver: !!navigator.webdriver, language: navigator.language,
  });
  if (chosen.size === "angle" && !study.calibration) await calibrate();
  if (!study.instructed) {
    await page(texts.instructions_title, [paragraph(texts.instructions)], texts.next);
    await log("instructions", null, performance.now());
  }
  const last = study.blocks.at(-1)[0];
  for (const [block, size] of study.blocks) {
    if (study.block !== null && block < study.block) continue;
    if (study.block === null) break;
    await runBlock(block, size);
    study.block = block + 1;
    if (block === 0) {
      await page(texts.practice_done_title, [paragraph(texts.practice_done)], texts.next);
    } else if (block < last) {
      await log("break_start", null, performance.now(), { block });
      await page(texts.break_title, [paragraph(texts.break.replace("{block}", block).replace("{blocks}", last))], texts.next);
      await log("break_end", null, performance.now(), { block });
    }
  }
  await finish();
}

/** Wait until the window has the size that the study wants. */
async function largeEnough({ min_width, min_height }) {
  const told = paragraph("");
  const fits = () => {
    const sizes = { width: min_width, height: min_height, now_width: innerWidth, now_height: innerHeight };
    told.textContent = Object.entries(sizes).reduce((text, [name, value]) => text.replace(`{${name}}`, String(value)), texts.window);
    return innerWidth >= min_width && innerHeight >= min_height;
  };
  if (fits()) return;
  window.addEventListener("resize", fits);
  await page(texts.window_title, [told], texts.next, fits);
  window.removeEventListener("resize", fits);
}

async function consent() {
  const fields = study.settings.ask.map((name) => {
    const input = make("input", { id: name, maxLength: 100, autocomplete: "off", inputMode: name === "age" ? "numeric" : "text" });
    return [name, input, make("div", {}, make("label", { htmlFor: name }, `${texts[name]} ${texts.optional}`), input)];
  });
  await page(texts.consent_title, [paragraph(texts.consent), ...fields.map((field) => field[2])], texts.agree);
  const asked = Object.fromEntries(fields.filter((field) => field[1].value.trim()).map((field) => [field[0], field[1].value.trim()]));
  await log("consent", null, performance.now(), { version: study.lang, sha256: study.consent_sha256, ...asked });
  for (const name of study.settings.url_parameters) {
    const value = parameters.get(name);
    if (value) await log("url", null, performance.now(), { name, value: value.slice(0, 400) });
  }
}

async function calibrate() {
  // A card lies where there is room for all of it, and stands upright on a phone.
  const [across, along] = innerWidth < 560 ? [...CARD_MM].reverse() : CARD_MM;
  let width = 3 * across; // smaller than on any screen, so that nobody leaves it as it is
  const card = make("div", { className: "card", tabIndex: 0, role: "slider" });
  card.setAttribute("aria-label", texts.card_title);
  const set = (value) => {
    width = Math.min(Math.max(value, 60), 1200);
    card.style.width = `${width}px`;
    card.style.height = `${(width * along) / across}px`;
    card.setAttribute("aria-valuenow", String(Math.round(width)));
  };
  card.setAttribute("aria-valuemin", "60");
  card.setAttribute("aria-valuemax", "1200");
  card.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (step) { event.preventDefault(); set(width + step * (event.shiftKey ? 10 : 1)); }
  });
  let dragged = 0; // from the edge of the card to the pointer
  card.addEventListener("pointerdown", (event) => { card.setPointerCapture(event.pointerId); dragged = width - event.clientX; });
  card.addEventListener("pointermove", (event) => { if (card.hasPointerCapture(event.pointerId)) set(event.clientX + dragged); });
  const steps = [["−", -1, texts.smaller], ["+", 1, texts.larger]].map(([sign, step, name]) => {
    const button = make("button", { type: "button", className: "step" }, sign);
    button.setAttribute("aria-label", name);
    button.addEventListener("click", () => set(width + step));
    return button;
  });
  set(width);
  await page(texts.card_title, [paragraph(texts.card), make("div", { className: "row" }, ...steps), card], texts.next);
  study.calibration = { px_per_cm: width / (across / 10), distance_cm: study.settings.distance_cm };
  await log("calibrate", null, performance.now(), study.calibration);
}

/** Side of the picture on the screen and the blank above it, CSS pixels: both the same for all trials of a block. */
function layout(answers) {
  const { size, image_px, view_deg } = study.settings;
  const columns = answers === 2 ? 2 : Math.max(1, Math.floor((Math.min(innerWidth - 40, 640) + 12) / 142));
  const height = innerHeight - 230 - 60 * Math.ceil(answers / columns);
  let cssSide = image_px;
  if (size === "angle") {
    const { px_per_cm, distance_cm } = study.calibration;
    cssSide = 2 * distance_cm * Math.tan((view_deg / 2) * (Math.PI / 180)) * px_per_cm;
  }
  cssSide = Math.min(cssSide, Math.max(96, Math.min(innerWidth - 32, height)));
  return { cssSide, cssAbove: Math.max(0, (height - cssSide) / 3) };
}

async function runBlock(block, size) {
  showWaiting(texts.saving);
  await sender.drained(); // the server opens a block when it has the answers before it
  const listed = await insist("GET", `/s/${token}/block/${block}`);
  if (listed.status !== 200) { await stopped(listed.error); await new Promise(() => {}); }
  const start = study.trial === null ? 0 : Math.max(0, listed.trials.findIndex((one) => one.trial === study.trial));
  const trials = listed.trials.slice(start);
  const files = await loadAll(trials);
  const answers = Math.max(...listed.trials.map((one) => one.options.length));
  await log("block_start", null, performance.now(), { block });
  let before = { clicks: study.clicks, elapsed_ms: study.elapsed_ms };
  if (study.begun) await log("reload", study.trial, study.elapsed_ms);
  for (const [place, trial] of trials.entries()) {
    tellPlace(block, start + place + 1, size);
    const [sharp, blurred] = await Promise.all(["sharp", "blurred"].map((kind) => pixelsOf(files.get(`${trial.stim} ${kind}`), study.settings.image_px)));
    currentTrial = trial.trial;
    trialOnset = performance.now() - before.elapsed_ms;
    await runTrial(main, { ...trial, sharp, blurred }, before, { make, log, texts, labels: study.labels, settings: study.settings, ...layout(answers) });
    currentTrial = null;
    before = { clicks: [], elapsed_ms: 0 };
    main.replaceChildren();
    await new Promise((resolve) => setTimeout(resolve, study.settings.iti_ms));
  }
  study.trial = null;
  study.clicks = [];
  study.elapsed_ms = 0;
  study.begun = false;
  where.replaceChildren();
}

function tellPlace(block, trial, size) {
  if (done) return;
  const words = block === 0 ? texts.practice_place : texts.place;
  const before = study.blocks.filter((one) => one[0] > 0 && one[0] < block).reduce((sum, one) => sum + one[1], 0);
  const all = study.blocks.filter((one) => one[0] > 0).reduce((sum, one) => sum + one[1], 0);
  const [number, total] = block === 0 ? [trial, size] : [before + trial, all];
  const text = words.replace("{trial}", String(number)).replace("{trials}", String(total));
  const bar = make("progress", { max: total, value: number - 1 });
  bar.setAttribute("aria-label", text);
  where.replaceChildren(text, bar);
}

/** Load every picture of a block before its first trial. */
async function loadAll(trials) {
  const jobs = trials.flatMap((trial) => ["blurred", "sharp"].map((kind) => ({ trial, kind })));
  const files = new Map(), bar = make("progress", { max: jobs.length });
  const told = showWaiting("", bar);
  const tell = () => {
    told.textContent = texts.loading.replace("{done}", String(files.size)).replace("{all}", String(jobs.length));
    bar.setAttribute("aria-label", told.textContent);
    bar.value = files.size;
  };
  tell();
  const waiting = [...jobs];
  await Promise.all(Array.from({ length: LOADS_AT_ONCE }, async () => {
    for (let job = waiting.shift(); job; job = waiting.shift()) {
      const file = await load(`/s/${token}/stim/${job.trial.stim}/${job.kind}.png`, job.trial[job.kind]);
      if (!file) {
        const gone = await insist("GET", `/s/${token}/block/0`);
        await stopped(gone.error);
        return new Promise(() => {});
      }
      files.set(`${job.trial.stim} ${job.kind}`, file);
      tell();
    }
  }));
  return files;
}

async function finish() {
  showWaiting(texts.finishing);
  await log("finish", null, performance.now());
  await sender.drained();
  const last = await insist("POST", `/s/${token}/finish`, {});
  if (last.status !== 200) return stopped(last.error);
  end(make("h1", {}, texts.thanks), paragraph(texts.end), make("p", { className: "endcode" }, last.end_code));
  if (last.completion_url) location.assign(last.completion_url);
}

begin();
