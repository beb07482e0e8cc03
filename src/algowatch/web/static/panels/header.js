// Name, connection, age of the newest sample, time range, theme, clock.

import { age, clockTime } from "../format.js";
import { TIME_RANGES } from "../history.js";
import { chooseTheme, feed, now, serverNow, theme, timeRange, useLive } from "../store.js";
import { html } from "../ui.js";

const STALE_SECONDS = 10;

/** @type {Record<import("../live.js").Connection, [string, string]>} */
const CONNECTIONS = {
  connecting: ["off", "Connecting"],
  live: ["good", "Live"],
  polling: ["good", "Live, polling"],
  lost: ["bad", "Connection lost, retrying"],
  paused: ["off", "Paused"],
};

function Connection() {
  const newest = useLive("max(timestamp(up))");
  const connection = feed.connection.value;
  const sampled = newest.vector[0]?.value ?? feed.arrival.value?.time;
  const seconds = sampled === undefined ? null : Math.max(0, serverNow() - sampled);
  const stale = seconds !== null && seconds > STALE_SECONDS;
  const [tone, text] = connection !== "lost" && stale ? ["warn", "No new samples"] : CONNECTIONS[connection];
  return html`<div class="connection" data-state=${connection} role="status">
    <span class=${`dot ${tone}`} aria-hidden="true"></span><span class="connection-text">${text}</span>
    <span class="quiet figure newest">${seconds === null ? "" : `newest sample ${age(seconds)} ago`}</span>
  </div>`;
}

function Ranges() {
  return html`<div class="segmented" role="group" aria-label="Time range">
    ${TIME_RANGES.map(
      (range) => html`<button
        type="button" key=${range.label} aria-pressed=${String(timeRange.value === range)} onClick=${() => { timeRange.value = range; }}
      >${range.label}</button>`,
    )}
  </div>`;
}

function Theme() {
  const next = /** @type {Record<string, "dark" | "light" | "system">} */ ({ system: "dark", dark: "light", light: "system" })[theme.value] ?? "system";
  const symbol = { dark: "●", light: "○" }[theme.value] ?? "◐";
  const title = `Theme: ${theme.value}. Switch to ${next}`;
  return html`<button type="button" class="icon-button" title=${title} aria-label=${title} onClick=${() => chooseTheme(next)}>
    <span aria-hidden="true">${symbol}</span>
  </button>`;
}

/**
 * "UTC+2" of the browser's own zone.
 * @param {Date} date
 */
function zone(date) {
  const part = new Intl.DateTimeFormat("en-GB", { timeZoneName: "shortOffset" }).formatToParts(date).find(({ type }) => type === "timeZoneName");
  return (part?.value ?? "").replace("GMT", "UTC");
}

function Clock() {
  const date = new Date(now.value);
  return html`<time class="clock figure" datetime=${date.toISOString()}>${clockTime(now.value / 1000)} <span class="quiet">${zone(date)}</span></time>`;
}

export function Header() {
  return html`<header class="top">
    <h1>algowatch</h1>
    <${Connection} />
    <div class="top-tools"><${Ranges} /><${Theme} /><${Clock} /></div>
  </header>`;
}
