// What the whole page shares: the client, the live feed, the reader's choices, alerts and rules; and the hooks to read them.

import { Api } from "./api.js";
import { History, TIME_RANGES, coarser, fillVariables } from "./history.js";
import { LiveFeed } from "./live.js";
import { effect, signal, useEffect, useMemo, useSignal } from "./ui.js";

/** @typedef {import("./api.js").Notification} Notification */
/** @typedef {{labels: Record<string, string>, annotations: Record<string, string>, since: string, silenced: boolean}} FiringAlert */

const SLOW_MS = 15_000;
const NOTIFICATIONS_SHOWN = 20;

export const api = new Api();
export const feed = new LiveFeed(api, { onNotification: notified });

export const timeRange = signal(TIME_RANGES.find(({ label }) => label === remembered("range")) ?? TIME_RANGES[0]);
export const theme = signal(remembered("theme") ?? "system");
/** The page's clock, once a second. */
export const now = signal(Date.now());

export const firing = signal(/** @type {FiringAlert[]} */ ([]));
export const notifications = signal(/** @type {Notification[]} */ ([]));
export const rules = signal(/** @type {import("./api.js").Rule[]} */ ([]));

/** @param {string} name @returns {string | null} */
function remembered(name) {
  try {
    return localStorage.getItem(`algowatch.${name}`);
  } catch {
    return null;
  }
}

/** @param {string} name @param {string | null} value */
export function remember(name, value) {
  try {
    if (value === null) localStorage.removeItem(`algowatch.${name}`);
    else localStorage.setItem(`algowatch.${name}`, value);
  } catch {
    // a blocked storage forgets the choice, nothing else
  }
}

effect(() => remember("range", timeRange.value.label));

/** @param {"system" | "dark" | "light"} chosen */
export function chooseTheme(chosen) {
  theme.value = chosen;
  remember("theme", chosen === "system" ? null : chosen);
  dispatchEvent(new Event("algowatch:theme"));
}

/**
 * The newest values of an expression (instant vector), following the feed for as long as the component is mounted.
 * @param {string} expression
 */
export function useLive(expression) {
  const filled = fillVariables(expression, timeRange.value);
  const held = useMemo(() => feed.want(filled), [filled]);
  useEffect(() => held.release, [held]);
  return held.live.value;
}

/**
 * The answer to an expression whose value stands still, such as what a dead bot exported last; asked anew only when it
 * changes or a connection is made.
 * @param {string} expression "" asks nothing
 */
export function useAsked(expression) {
  const answer = useSignal(/** @type {import("./api.js").Vector} */ ([]));
  const epoch = feed.epoch.value;
  useEffect(() => {
    answer.value = [];
    if (!expression) return undefined;
    const abort = new AbortController();
    api.instant(expression, abort.signal).then((vector) => { answer.value = vector; }, () => {});
    return () => abort.abort();
  }, [expression, epoch]);
  return answer.value;
}

/**
 * An expression over the chosen time range, growing at its end.
 * @param {string} expression @param {number} [columns] fewer than a line has, for bars
 */
export function useHistory(expression, columns) {
  const range = timeRange.value;
  const history = useMemo(
    () => new History(api, feed, expression, columns ? coarser(range, columns) : range),
    [expression, range, columns],
  );
  useEffect(() => () => history.stop(), [history]);
  return { range: history.range.value, error: history.error.value, timeRange: range };
}

/** Server time now, in seconds: the newest frame's time and what the page's clock has run since. */
export function serverNow() {
  const arrival = feed.arrival.value;
  return arrival ? arrival.time + Math.max(0, now.value - arrival.atMs) / 1000 : now.value / 1000;
}

/** @param {Notification} notification */
function notified(notification) {
  const others = notifications.peek().filter(({ id }) => id !== notification.id);
  notifications.value = [notification, ...others].slice(0, NOTIFICATIONS_SHOWN);
  loadAlerts();
}

/** @param {() => Promise<void>} load what is missing on a plain Prometheus, or failed, keeps its last value */
const quietly = (load) => load().catch(() => {});

const hasNotify = signal(true);

export function loadAlerts() {
  return Promise.all([
    quietly(async () => {
      const ruled = (await api.alerts()).filter(({ state }) => state === "firing");
      const received = hasNotify.peek() ? await api.receivedAlerts().catch(noNotify) : [];
      firing.value = mergeAlerts(ruled, received);
    }),
    quietly(async () => {
      if (hasNotify.peek()) notifications.value = await api.notifications(NOTIFICATIONS_SHOWN);
    }),
  ]);
}

/** @param {unknown} error @returns {never[]} */
function noNotify(error) {
  if (/** @type {{status?: number}} */ (error).status === 404) hasNotify.value = false;
  return [];
}

/**
 * Alerts of the rules, and beside them those that a bot raised itself, which only notification knows.
 * @param {import("./api.js").RuleAlert[]} ruled @param {import("./api.js").ReceivedAlert[]} received
 * @returns {FiringAlert[]}
 */
export function mergeAlerts(ruled, received) {
  const merged = ruled.map(({ labels, annotations, activeAt }) => ({ labels, annotations, since: activeAt, silenced: false }));
  for (const { labels, annotations, startsAt, status } of received) {
    const silenced = status.state === "suppressed";
    const known = merged.find((alert) => Object.entries(alert.labels).every(([name, value]) => labels[name] === value));
    if (known) known.silenced = silenced;
    else merged.push({ labels, annotations, since: startsAt, silenced });
  }
  return merged;
}

function loadRules() {
  return quietly(async () => {
    rules.value = (await api.rules()).flatMap((group) => group.rules);
  });
}

/** A tab in the background says how many alerts are firing. */
effect(() => {
  const count = firing.value.filter(({ silenced }) => !silenced).length;
  document.title = count ? `(${count}) algowatch` : "algowatch";
});

/** Start everything that runs for as long as the page is open. */
export function start() {
  feed.start();
  setInterval(() => {
    if (!document.hidden) now.value = Date.now();
  }, 1000);
  setInterval(() => {
    if (!document.hidden && feed.connection.value !== "lost") {
      loadAlerts();
      loadRules();
    }
  }, SLOW_MS);
  const { live } = feed.want('ALERTS{alertstate="firing"}');
  let shown = "";
  live.subscribe(({ vector, time }) => {
    const current = vector.map(({ labels }) => JSON.stringify(labels)).sort().join();
    if (time !== null && current !== shown) {
      shown = current;
      loadAlerts();
    }
  });
  feed.epoch.subscribe(() => {
    loadAlerts();
    loadRules();
  });
}
