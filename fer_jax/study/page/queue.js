// @ts-check
// Events are kept in the browser until the server has them on disk.

/** @typedef {{seq: number, trial: number|null, type: string, t_ms: number, body: Object}} StudyEvent */

const STORAGE_LIMIT_MS = 3000;

/**
 * The events of one participant that the server has not acknowledged: in memory, and in IndexedDB for the window that
 * comes next. A browser that refuses its storage, such as a private window, has the memory alone.
 */
export class Queue {
  /** @param {IDBDatabase|null} database */
  constructor(database) {
    this.database = database;
    this.epoch = 0;
    /** @type {StudyEvent[]} */
    this.events = [];
  }

  /** @param {string} name @returns {Promise<Queue>} */
  static open(name) {
    return new Promise((resolve) => {
      const without = () => resolve(new Queue(null));
      setTimeout(without, STORAGE_LIMIT_MS);
      try {
        const request = indexedDB.open(name, 1);
        request.onupgradeneeded = () => request.result.createObjectStore("events", { keyPath: ["epoch", "seq"] });
        request.onsuccess = () => resolve(new Queue(request.result));
        request.onerror = request.onblocked = without;
      } catch {
        without();
      }
    });
  }

  /**
   * Take over what earlier windows kept and the server does not have.
   * @param {number} epoch of this window @param {number} seq up to which the server has everything
   */
  async adopt(epoch, seq) {
    this.epoch = epoch;
    const kept = (await this._run("readonly", (store) => store.getAll())) || [];
    const missing = new Map();
    for (const { epoch: _, ...event } of [...this.events, ...kept]) {
      if (event.seq > seq && !missing.has(event.seq)) missing.set(event.seq, event);
    }
    this.events = [...missing.values()].sort((one, other) => one.seq - other.seq);
    await this._run("readwrite", (store) => {
      store.clear();
      for (const event of this.events) store.put({ ...event, epoch });
      return store.count();
    });
  }

  /** @param {StudyEvent} event */
  async add(event) {
    this.events.push(event);
    await this._run("readwrite", (store) => store.put({ ...event, epoch: this.epoch }));
  }

  /** @returns {StudyEvent[]} in the order of their numbers */
  all() {
    return [...this.events];
  }

  /** @param {number} seq Everything up to it is on the server's disk. */
  async drop(seq) {
    this.events = this.events.filter((event) => event.seq > seq);
    await this._run("readwrite", (store) => store.delete(IDBKeyRange.bound([this.epoch, 0], [this.epoch, seq])));
  }

  /** Forget everything, of every window. */
  async clear() {
    this.events = [];
    await this._run("readwrite", (store) => store.clear());
  }

  /**
   * Return undefined where the storage fails or does not answer: the memory still has every event.
   * @param {IDBTransactionMode} mode @param {(store: IDBObjectStore) => IDBRequest} work
   */
  _run(mode, work) {
    return new Promise((resolve) => {
      const without = () => resolve(undefined);
      if (!this.database) return without();
      setTimeout(without, STORAGE_LIMIT_MS);
      try {
        const transaction = this.database.transaction("events", mode);
        const request = work(transaction.objectStore("events"));
        transaction.oncomplete = () => resolve(request.result);
        transaction.onabort = transaction.onerror = without;
      } catch {
        without();
      }
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
    this.trouble = ""; // "offline" or "disk" from the first failure to the next success
    this.troubleSince = 0;
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
      for (let waiting = this.queue.all(); waiting.length; waiting = this.queue.all()) {
        this.told.state(this.trouble || "saving");
        const answer = await this.put(waiting.slice(0, BATCH));
        if (this.stopped) return;
        if (answer.status === 200) {
          await this.queue.drop(/** @type {number} */ (answer.high_seq));
          this.wait = FIRST_WAIT_MS;
          this.trouble = "";
        } else if (answer.status === 409 || answer.status === 410) {
          this.stopped = true;
          this.told.stopped(answer.error || "superseded");
        } else {
          if (!this.trouble) this.troubleSince = Date.now();
          this.trouble = answer.status === 507 ? "disk" : "offline";
          this.told.state(this.trouble);
          await this._pause(this.wait * (0.75 + Math.random() / 2));
          this.wait = Math.min(2 * this.wait, LONGEST_WAIT_MS);
        }
        if (this.stopped) return;
      }
      this.told.state("saved");
      this.empty.splice(0).forEach((resolve) => resolve());
    } finally {
      this.running = false;
    }
    if (this.queue.all().length) this.kick();
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
