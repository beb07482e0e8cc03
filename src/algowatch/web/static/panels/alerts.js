// What is firing now, and the messages that went out, each with how long it took from the breach to the message.

import { age, duration, isNumber, when } from "../format.js";
import { parse, rank } from "../severity.js";
import { firing, notifications, serverNow } from "../store.js";
import { html } from "../ui.js";
import { Panel } from "./panel.js";

/** @typedef {import("../store.js").FiringAlert} FiringAlert */
/** @typedef {import("../api.js").Notification} Notification */
/** @typedef {import("../api.js").Labels} Labels */

const TITLES_SHOWN = 3;

/** @param {string | null | undefined} iso @returns {number | null} seconds since the epoch; Go's zero time is none */
export function seconds(iso) {
  const parsed = iso ? Date.parse(iso) / 1000 : NaN;
  return parsed > 0 ? parsed : null;
}

/** @param {{labels: Labels, annotations: Labels}} alert */
const titleOf = ({ labels, annotations }) => annotations.summary || annotations.title || labels.alertname || "alert";

/** @param {{labels: Labels, annotations: Labels}} alert */
function textOf({ labels, annotations }) {
  return [annotations.description || annotations.message, labels.instance].filter(Boolean).join(" · ");
}

/** @param {{severity: string}} props the letter says it without colour */
function Severity({ severity }) {
  return html`<span class=${`severity ${severity}`}>${severity}</span>`;
}

/**
 * Alerts of one name stand together: five stale symbols are one piece of news.
 * @param {FiringAlert[]} alerts
 * @returns {FiringAlert[][]} groups, the worst first, the newest first among equals; silenced ones last
 */
export function grouped(alerts) {
  /** @type {Map<string, FiringAlert[]>} */
  const groups = new Map();
  for (const alert of alerts) {
    const key = JSON.stringify([alert.labels.alertname, parse(alert.labels.severity), alert.silenced]);
    groups.set(key, [...(groups.get(key) ?? []), alert]);
  }
  const newestFirst = [...groups.values()].map((group) => group.sort((a, b) => (a.since < b.since ? 1 : a.since > b.since ? -1 : titleOf(a) < titleOf(b) ? -1 : 1)));
  return newestFirst.sort(
    ([a], [b]) => Number(a.silenced) - Number(b.silenced) || rank(parse(b.labels.severity)) - rank(parse(a.labels.severity)) || (a.since < b.since ? 1 : -1),
  );
}

/** @param {FiringAlert[]} group */
const groupKey = ([{ labels, silenced }]) => JSON.stringify([labels.alertname, labels.severity, silenced]);

/** @param {{group: FiringAlert[], now: number}} props */
function Firing({ group, now }) {
  const [newest] = group;
  const severity = parse(newest.labels.severity);
  const since = seconds(newest.since);
  const more = group.length - TITLES_SHOWN;
  return html`<li class=${`alert ${severity} ${newest.silenced ? "dimmed" : ""}`}>
    <div class="alert-head">
      <${Severity} severity=${severity} /><span class="alert-name">${newest.labels.alertname}${group.length > 1 && html` <span class="figure">× ${group.length}</span>`}</span>
      <span class="figure quiet">${since === null ? "" : age(now - since)}</span>
    </div>
    ${group.slice(0, TITLES_SHOWN).map((alert) => html`<p class="alert-title" key=${JSON.stringify(alert.labels)}>${titleOf(alert)}</p>`)}
    ${more > 0 && html`<p class="alert-text">and ${more} more</p>`}
    ${textOf(newest) && html`<p class="alert-text clamped" title=${textOf(newest)}>${newest.silenced ? "silenced · " : ""}${textOf(newest)}</p>`}
  </li>`;
}

/** @param {{notification: Notification, now: number}} props */
function Message({ notification, now }) {
  const resolved = notification.status === "resolved";
  const severity = parse(notification.labels.severity);
  const sent = seconds(notification.deliveredAt) ?? seconds(notification.startsAt);
  return html`<li class=${`message ${resolved ? "dimmed" : ""}`}>
    <span class="figure quiet message-time">${sent === null ? "" : when(sent, now)}</span>
    <div class="message-body">
      <p class="message-title"><${Severity} severity=${resolved ? "resolved" : severity} />${titleOf(notification)}</p>
      <p class="alert-text clamped" title=${textOf(notification)}>${[notification.receiver || notification.integration, textOf(notification)].filter(Boolean).join(" · ")}</p>
      ${notification.error && html`<p class="alert-text bad">not delivered: ${notification.error}</p>`}
    </div>
    <span class="figure quiet delay" title="from the breach to the message">${isNumber(notification.delaySeconds) && !resolved ? duration(notification.delaySeconds) : ""}</span>
  </li>`;
}

export function Alerts() {
  const now = serverNow();
  const groups = grouped(firing.value);
  const count = firing.value.length;
  const sent = notifications.value;
  return html`<${Panel} title="Alerts" area="alerts" aside=${count ? `${count} firing` : ""}>
    <div class="scroll" tabindex="0" role="region" aria-label="Alerts and notifications">
      ${count === 0
        ? html`<p class="calm"><span class="dot good" aria-hidden="true"></span>Nothing is firing.</p>`
        : html`<ul class="alert-list" aria-live="polite">${groups.map((group) => html`<${Firing} key=${groupKey(group)} group=${group} now=${now} />`)}</ul>`}
      ${sent.length > 0 && html`<div class="subhead"><h3>Messages</h3><span class="quiet">breach → message</span></div>
        <ul class="messages">${sent.map((notification) => html`<${Message} key=${notification.id} notification=${notification} now=${now} />`)}</ul>`}
    </div>
  <//>`;
}
