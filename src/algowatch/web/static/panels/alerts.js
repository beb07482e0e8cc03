// What is firing now, and the messages that went out, each with how long it took from the breach to the message.

import { age, duration, isNumber, when } from "../format.js";
import { parse, rank } from "../severity.js";
import { firing, notifications, serverNow } from "../store.js";
import { html } from "../ui.js";
import { Panel } from "./panel.js";

/** @typedef {import("../store.js").FiringAlert} FiringAlert */
/** @typedef {import("../api.js").Notification} Notification */
/** @typedef {import("../api.js").Labels} Labels */

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

/** @param {{alert: FiringAlert, now: number}} props */
function Firing({ alert, now }) {
  const severity = parse(alert.labels.severity);
  const since = seconds(alert.since);
  return html`<li class=${`alert ${severity} ${alert.silenced ? "dimmed" : ""}`}>
    <div class="alert-head"><${Severity} severity=${severity} /><span class="alert-name">${alert.labels.alertname}</span><span class="figure quiet">${since === null ? "" : age(now - since)}</span></div>
    <p class="alert-title">${titleOf(alert)}</p>
    ${textOf(alert) && html`<p class="alert-text">${textOf(alert)}${alert.silenced ? " · silenced" : ""}</p>`}
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
      <p class="alert-text">${[notification.receiver || notification.integration, textOf(notification)].filter(Boolean).join(" · ")}</p>
      ${notification.error && html`<p class="alert-text bad">not delivered: ${notification.error}</p>`}
    </div>
    <span class="figure quiet delay" title="from the breach to the message">${isNumber(notification.delaySeconds) && !resolved ? duration(notification.delaySeconds) : ""}</span>
  </li>`;
}

export function Alerts() {
  const now = serverNow();
  const current = firing.value
    .slice()
    .sort((a, b) => Number(a.silenced) - Number(b.silenced) || rank(parse(b.labels.severity)) - rank(parse(a.labels.severity)) || (a.since < b.since ? 1 : -1));
  const sent = notifications.value;
  return html`<${Panel} title="Alerts" area="alerts" aside=${current.length ? `${current.length} firing` : ""}>
    <div class="scroll" tabindex="0" role="region" aria-label="Alerts and notifications">
      ${current.length === 0
        ? html`<p class="calm"><span class="dot good" aria-hidden="true"></span>Nothing is firing.</p>`
        : html`<ul class="alert-list" aria-live="polite">${current.map((alert) => html`<${Firing} key=${JSON.stringify(alert.labels)} alert=${alert} now=${now} />`)}</ul>`}
      ${sent.length > 0 && html`<div class="subhead"><h3>Messages</h3><span class="quiet">breach → message</span></div>
        <ul class="messages">${sent.map((notification) => html`<${Message} key=${notification.id} notification=${notification} now=${now} />`)}</ul>`}
    </div>
  <//>`;
}
