// The live feed: which expressions the page wants now, and their newest values.
// First choice is the server's event stream; where it does not exist (a plain Prometheus), the same expressions are
// asked for once a second. A lost connection is retried for ever; a hidden tab holds no connection.

import { ApiError, toVector } from "./api.js";
import { batch, signal } from "./ui.js";

/** @typedef {import("./api.js").Vector} Vector */
/** @typedef {{vector: Vector, error: string | null, time: number | null}} Live `time` is null until a first answer came */
/** @typedef {"connecting" | "live" | "polling" | "lost" | "paused"} Connection */

const POLL_MS = 1000;
const RETRY_MS = [500, 1000, 2000, 3000];
const STREAM_SILENCE_MS = 4000;

/** @type {Live} */
const NOTHING_YET = { vector: [], error: null, time: null };

export class LiveFeed {
  /** @param {import("./api.js").Api} api @param {{onNotification?: (notification: any) => void}} options */
  constructor(api, { onNotification = () => {} } = {}) {
    this.api = api;
    this.onNotification = onNotification;
    this.connection = signal(/** @type {Connection} */ ("connecting"));
    /** Server time of the newest values, in seconds, and the page's clock at their arrival, in milliseconds. */
    this.arrival = signal(/** @type {{time: number, atMs: number} | null} */ (null));
    /** Grows each time that a connection is made, so that what was missed is asked for again. */
    this.epoch = signal(0);
    /** @type {Map<string, {users: number, live: import("./vendor/signals.js").Signal<Live>}>} */
    this.wanted = new Map();
    /** @type {EventSource | null} */
    this.source = null;
    this.failures = 0;
    this.hasStream = true;
    this.generation = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    this.restartQueued = false;
  }

  start() {
    document.addEventListener("visibilitychange", () => (document.hidden ? this.pause() : this.restart()));
    addEventListener("online", () => this.restart());
    if (document.hidden) this.pause();
    else this.queueRestart();
  }

  /**
   * Ask for an expression until the returned function is called; several users of one expression share its signal.
   * @param {string} expression
   * @returns {{live: import("./vendor/signals.js").Signal<Live>, release: () => void}}
   */
  want(expression) {
    let entry = this.wanted.get(expression);
    if (!entry) {
      entry = { users: 0, live: signal(NOTHING_YET) };
      this.wanted.set(expression, entry);
      this.queueRestart();
    }
    const held = entry;
    held.users += 1;
    return { live: held.live, release: () => this.release(expression, held) };
  }

  /** @param {string} expression @param {{users: number}} entry */
  release(expression, entry) {
    entry.users -= 1;
    if (entry.users === 0 && this.wanted.get(expression) === entry) {
      this.wanted.delete(expression);
      this.queueRestart();
    }
  }

  /** Panels come and go in bursts; one reconnection serves a burst. */
  queueRestart() {
    if (this.restartQueued || document.hidden) return;
    this.restartQueued = true;
    setTimeout(() => {
      this.restartQueued = false;
      if (!document.hidden) this.restart();
    });
  }

  close() {
    this.generation += 1;
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  pause() {
    this.close();
    this.connection.value = "paused";
  }

  /** Connect anew: the values now, then the stream (or the next poll). */
  async restart() {
    this.close();
    const generation = this.generation;
    const expressions = [...this.wanted.keys()];
    if (expressions.length === 0) return;
    if (this.connection.value === "paused") this.connection.value = "connecting";
    try {
      await this.poll(expressions, generation);
    } catch {
      if (generation === this.generation) this.retry();
      return;
    }
    if (generation !== this.generation) return;
    this.epoch.value += 1;
    if (this.hasStream) this.openStream(expressions, generation);
    else this.keepPolling(expressions, generation);
  }

  retry() {
    this.close();
    this.connection.value = "lost";
    const wait = RETRY_MS[Math.min(this.failures, RETRY_MS.length - 1)];
    this.failures += 1;
    this.timer = setTimeout(() => this.restart(), wait);
  }

  /** @param {string[]} expressions @param {number} generation */
  openStream(expressions, generation) {
    const parameters = new URLSearchParams(expressions.map((expression) => ["query", expression]));
    const source = new EventSource(`${this.api.base}/api/live?${parameters}`);
    this.source = source;
    source.onopen = () => {
      this.alive("live");
      this.watchSilence(expressions, generation);
    };
    source.onmessage = (event) => {
      this.receive(expressions, JSON.parse(event.data));
      this.watchSilence(expressions, generation);
    };
    source.addEventListener("notification", (event) => this.onNotification(JSON.parse(/** @type {MessageEvent} */ (event).data)));
    source.onerror = () => {
      if (generation === this.generation) this.streamFailed(expressions, generation);
    };
  }

  /**
   * A quiet stream means that no samples land, or that the connection died unnoticed; asking tells which.
   * @param {string[]} expressions @param {number} generation
   */
  watchSilence(expressions, generation) {
    clearTimeout(this.timer);
    this.timer = setTimeout(async () => {
      try {
        await this.poll(expressions, generation);
        if (generation === this.generation) this.watchSilence(expressions, generation);
      } catch {
        if (generation === this.generation) this.retry();
      }
    }, STREAM_SILENCE_MS);
  }

  /**
   * Tell "there is no such endpoint" from "the connection was lost".
   * @param {string[]} expressions @param {number} generation
   */
  async streamFailed(expressions, generation) {
    const opened = this.connection.value === "live";
    this.source?.close();
    if (!opened) {
      const status = await this.api.status("/api/live", { query: "1" });
      if (generation !== this.generation) return;
      if (status === 404 || status === 405 || status === 501) {
        this.hasStream = false;
        return this.keepPolling(expressions, generation);
      }
    }
    if (generation === this.generation) this.retry();
  }

  /** @param {string[]} expressions @param {number} generation */
  keepPolling(expressions, generation) {
    this.alive("polling");
    const started = performance.now();
    this.timer = setTimeout(async () => {
      try {
        await this.poll(expressions, generation);
        if (generation === this.generation) this.keepPolling(expressions, generation);
      } catch {
        if (generation === this.generation) this.retry();
      }
    }, Math.max(0, POLL_MS - (performance.now() - started)));
  }

  /**
   * Ask for every expression once; an expression that fails carries its error, an unreachable server raises.
   * @param {string[]} expressions @param {number} generation
   */
  async poll(expressions, generation) {
    const answers = await Promise.all(
      expressions.map(async (expression) => {
        try {
          return await this.api.data("/api/v1/query", { query: expression });
        } catch (error) {
          if (!(error instanceof ApiError) || error.status === 0 || error.status >= 502) throw error;
          return { error: error.message };
        }
      }),
    );
    if (generation !== this.generation) return;
    this.receive(expressions, { time: null, results: answers });
  }

  /** @param {Connection} state */
  alive(state) {
    this.failures = 0;
    this.connection.value = state;
  }

  /** @param {string[]} expressions @param {{time: number | null, results: any[]}} frame */
  receive(expressions, frame) {
    batch(() => {
      const lives = frame.results.map(toLive);
      const time = frame.time ?? Math.max(...lives.map((live) => live.vector[0]?.time ?? 0));
      expressions.forEach((expression, index) => {
        const entry = this.wanted.get(expression);
        if (entry && lives[index]) entry.live.value = { ...lives[index], time: time || Date.now() / 1000 };
      });
      if (time) this.arrival.value = { time, atMs: Date.now() };
    });
  }
}

/** @param {any} result @returns {Live} */
function toLive(result) {
  if (typeof result.error === "string") return { vector: [], error: result.error, time: null };
  return { vector: toVector(result), error: null, time: null };
}
