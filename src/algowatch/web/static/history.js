// One expression over the page's time range: history from the range API, its end kept current by the live feed.

import { labelKey } from "./api.js";
import { signal } from "./ui.js";

/** @typedef {import("./api.js").Range} Range */
/** @typedef {{seconds: number, step: number, label: string}} TimeRange */

const REFRESH_MS = 60_000;

/** @type {TimeRange[]} about 450 columns each: what a panel half a screen wide can show */
export const TIME_RANGES = [
  { seconds: 900, step: 2, label: "15m" },
  { seconds: 3600, step: 8, label: "1h" },
  { seconds: 86_400, step: 180, label: "1d" },
  { seconds: 604_800, step: 1200, label: "1w" },
];

/**
 * The same range in about so many columns; the step stays a multiple of the range's own.
 * @param {TimeRange} range @param {number} columns
 * @returns {TimeRange}
 */
export function coarser(range, columns) {
  return { ...range, step: Math.max(1, Math.round(range.seconds / columns / range.step)) * range.step };
}

/**
 * Windows in an expression: `$__rate_interval` as Grafana has it, `$__range` the whole range.
 * @param {string} expression @param {TimeRange} range
 */
export function fillVariables(expression, range) {
  return expression
    .replaceAll("$__rate_interval", `${Math.max(30, range.step * 2)}s`)
    .replaceAll("$__range", `${range.seconds}s`);
}

/**
 * Put the newest values at the end of a range: in the running column, whose stamp is the end of its step, or in new
 * columns where time has moved on. Columns older than the range fall off. Neither argument is changed.
 * @param {Range} range @param {import("./api.js").Vector} vector @param {number} time @param {TimeRange} timeRange
 * @returns {Range}
 */
export function extendRange(range, vector, time, { seconds, step }) {
  const last = range.times[range.times.length - 1];
  if (last === undefined || time <= last - step) return range;
  const added = Math.max(0, Math.ceil((time - last) / step - 1e-6));
  const times = range.times.slice();
  for (let index = 1; index <= added; index += 1) times.push(last + index * step);
  const dropped = Math.max(0, times.findIndex((stamp) => stamp >= times[times.length - 1] - seconds - 1e-6));
  const newest = new Map(vector.map((sample) => [labelKey(sample.labels), sample]));
  const series = range.series.map(({ labels, values }) => {
    const sample = newest.get(labelKey(labels));
    newest.delete(labelKey(labels));
    return { labels, values: extendColumn(values, added, dropped, sample?.value) };
  });
  for (const sample of newest.values()) {
    const empty = new Array(range.times.length).fill(null);
    series.push({ labels: sample.labels, values: extendColumn(empty, added, dropped, sample.value) });
  }
  return { times: times.slice(dropped), series };
}

/** @param {(number | null)[]} values @param {number} added @param {number} dropped @param {number | undefined} value */
function extendColumn(values, added, dropped, value) {
  const column = values.concat(new Array(added).fill(null));
  if (value !== undefined && Number.isFinite(value)) column[column.length - 1] = value;
  else if (added > 0) column[column.length - 1] = null;
  return column.slice(dropped);
}

export class History {
  /**
   * @param {import("./api.js").Api} api @param {import("./live.js").LiveFeed} feed
   * @param {string} expression with variables @param {TimeRange} timeRange
   */
  constructor(api, feed, expression, timeRange) {
    this.api = api;
    this.feed = feed;
    this.timeRange = timeRange;
    this.expression = fillVariables(expression, timeRange);
    this.range = signal(/** @type {Range | null} */ (null));
    this.error = signal(/** @type {string | null} */ (null));
    this.abort = new AbortController();
    this.loadedAtMs = 0;
    this.loadedEpoch = -1;
    const { live, release } = feed.want(this.expression);
    this.live = live;
    this.release = release;
    this.unsubscribe = live.subscribe((value) => this.landed(value));
  }

  stop() {
    this.abort.abort();
    this.unsubscribe();
    this.release();
  }

  /** @param {import("./live.js").Live} live */
  landed({ vector, time, error }) {
    if (time === null) return;
    this.error.value = error;
    if (error !== null) return;
    const fresh = this.loadedEpoch === this.feed.epoch.peek() && Date.now() - this.loadedAtMs < REFRESH_MS;
    if (!fresh) this.load(time);
    const range = this.range.peek();
    if (range) this.range.value = extendRange(range, vector, time, this.timeRange);
  }

  /** @param {number} time server time of the newest column, seconds */
  async load(time) {
    this.loadedAtMs = Date.now();
    this.loadedEpoch = this.feed.epoch.peek();
    const { seconds, step } = this.timeRange;
    const end = Math.ceil(time / step) * step;
    try {
      const loaded = await this.api.range(this.expression, end - seconds, end, step, this.abort.signal);
      const { vector, time: latest } = this.live.peek();
      this.range.value = latest === null ? loaded : extendRange(loaded, vector, latest, this.timeRange);
    } catch (error) {
      if (this.abort.signal.aborted) return;
      this.error.value = error instanceof Error ? error.message : String(error);
      this.loadedAtMs = 0;
    }
  }
}
