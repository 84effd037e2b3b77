// @ts-check
// Events are kept in the browser until the server has them on disk.

/** @typedef {{seq: number, trial: number|null, type: string, t_ms: number, body: Object}} StudyEvent */

/**
 * The events of one participant that the server has not acknowledged, in IndexedDB; in memory where there is none.
 * Two windows of one study share the database: each sees what it kept itself, and the newest takes what it finds.
 */
export class Queue {
  /** @param {IDBDatabase|null} database */
  constructor(database) {
    this.database = database;
    this.epoch = 0;
    /** @type {StudyEvent[]} */
    this.memory = [];
  }

  /** @param {string} name @returns {Promise<Queue>} */
  static open(name) {
    return new Promise((resolve) => {
      let request;
      try {
        request = indexedDB.open(name, 1);
      } catch {
        resolve(new Queue(null));
        return;
      }
      request.onupgradeneeded = () => request.result.createObjectStore("events", { keyPath: ["epoch", "seq"] });
      request.onsuccess = () => resolve(new Queue(request.result));
      request.onerror = request.onblocked = () => resolve(new Queue(null));
    });
  }

  /**
   * Take over what earlier windows kept and the server does not have.
   * @param {number} epoch of this window @param {number} seq up to which the server has everything
   */
  async adopt(epoch, seq) {
    this.epoch = epoch;
    if (!this.database) return this.drop(seq);
    const found = await this._run("readonly", (store) => store.getAll());
    const missing = new Map();
    for (const event of found) if (event.seq > seq && !missing.has(event.seq)) missing.set(event.seq, event);
    await this._run("readwrite", (store) => {
      store.clear();
      for (const event of missing.values()) store.put({ ...event, epoch });
      return store.count();
    });
  }

  /** @param {StudyEvent} event */
  async add(event) {
    if (!this.database) {
      this.memory.push(event);
      return;
    }
    await this._run("readwrite", (store) => store.add({ ...event, epoch: this.epoch }));
  }

  /** @returns {Promise<StudyEvent[]>} in the order of their numbers */
  async all() {
    if (!this.database) return [...this.memory];
    const found = await this._run("readonly", (store) => store.getAll(this._upTo(Infinity)));
    return found.map(({ epoch, ...event }) => event);
  }

  /** @param {number} seq Everything up to it is on the server's disk. */
  async drop(seq) {
    this.memory = this.memory.filter((event) => event.seq > seq);
    if (this.database) await this._run("readwrite", (store) => store.delete(this._upTo(seq)));
  }

  /** Forget everything, of every window. */
  async clear() {
    this.memory = [];
    if (this.database) await this._run("readwrite", (store) => store.clear());
  }

  /** @param {number} seq */
  _upTo(seq) {
    return IDBKeyRange.bound([this.epoch, 0], [this.epoch, seq]);
  }

  /** @param {IDBTransactionMode} mode @param {(store: IDBObjectStore) => IDBRequest} work */
  _run(mode, work) {
    return new Promise((resolve, reject) => {
      const transaction = /** @type {IDBDatabase} */ (this.database).transaction("events", mode);
      const request = work(transaction.objectStore("events"));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = transaction.onerror = () => reject(transaction.error || request.error);
    });
  }
}

const FIRST_WAIT_MS = 500, LONGEST_WAIT_MS = 30000, BATCH = 40;

/** Sends what waits, one batch at a time, until the server has it. */
export class Sender {
  /**
   * @param {Queue} queue
   * @param {(events: StudyEvent[]) => Promise<{status: number, high_seq?: number, error?: string}>} put status 0: no answer
   * @param {{state: (state: string) => void, stopped: (error: string) => void}} told
   */
  constructor(queue, put, told) {
    this.queue = queue;
    this.put = put;
    this.told = told;
    this.wait = FIRST_WAIT_MS;
    this.running = false;
    this.stopped = false;
    this.lastSuccess = Date.now();
    /** @type {(() => void)[]} */
    this.empty = [];
    /** @type {(() => void)|null} */
    this.wake = null;
  }

  /** Start sending if there is something and nothing is under way. */
  kick() {
    if (!this.running && !this.stopped) this._run();
  }

  /** Resolves once everything is on the server's disk. */
  drained() {
    return new Promise((resolve) => {
      this.empty.push(() => resolve(undefined));
      this.kick();
    });
  }

  async _run() {
    this.running = true;
    try {
      for (;;) {
        const waiting = await this.queue.all();
        if (!waiting.length) break;
        this.told.state(this.wait > FIRST_WAIT_MS ? "offline" : "saving");
        const answer = await this.put(waiting.slice(0, BATCH));
        if (answer.status === 200) {
          await this.queue.drop(/** @type {number} */ (answer.high_seq));
          this.wait = FIRST_WAIT_MS;
          this.lastSuccess = Date.now();
          continue;
        }
        if (answer.status === 409 || answer.status === 410) {
          this.stopped = true;
          this.told.stopped(answer.error || "superseded");
          return;
        }
        this.told.state(answer.status === 507 ? "disk" : "offline");
        await this._pause(this.wait * (0.75 + Math.random() / 2));
        this.wait = Math.min(2 * this.wait, LONGEST_WAIT_MS);
      }
      this.told.state("saved");
      this.empty.splice(0).forEach((resolve) => resolve());
    } finally {
      this.running = false;
    }
    if (!this.stopped && (await this.queue.all()).length) this.kick();
  }

  /** Try again now, such as when the network is back. */
  retry() {
    if (this.wake) this.wake();
  }

  /** @param {number} ms Ends earlier on `retry`. */
  _pause(ms) {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.wake = null;
        resolve(undefined);
      };
      const timer = setTimeout(done, ms);
      this.wake = done;
    });
  }
}
