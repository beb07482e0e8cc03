// The strip under the header: four answers that are read from across the room.

import { MISSING } from "../format.js";
import { SEVERITIES, parse } from "../severity.js";
import { firing, useLive } from "../store.js";
import { html } from "../ui.js";

export const BOT_UP = 'algowatch_bot_up or on(instance) up{job="bots"}';

/** @param {{label: string, tone: string, value: any, note?: any}} props */
function Tile({ label, tone, value, note }) {
  return html`<div class=${`tile ${tone}`}>
    <dt>${label}</dt>
    <dd><span class="tile-value figure">${value}</span>${note && html`<span class="tile-note">${note}</span>`}</dd>
  </div>`;
}

function Bots() {
  const { vector } = useLive(BOT_UP);
  const alive = vector.filter(({ value }) => value === 1).length;
  const down = vector.length - alive;
  const tone = vector.length === 0 ? "off" : down ? "critical" : "good";
  return html`<${Tile} label="Bots alive" tone=${tone} value=${`${alive} / ${vector.length}`} note=${down ? `${down} down` : ""} />`;
}

function Alerts() {
  const audible = firing.value.filter(({ silenced }) => !silenced);
  const counts = SEVERITIES.map((severity) => /** @type {const} */ ([severity, audible.filter(({ labels }) => parse(labels.severity) === severity).length]));
  const present = counts.filter(([, count]) => count > 0);
  const worst = present[0]?.[0];
  const note = present.map(([severity, count]) => html`<span key=${severity} class=${`badge ${severity}`}>${count} ${severity}</span>`);
  return html`<${Tile} label="Alerts firing" tone=${worst ?? "good"} value=${audible.length} note=${note} />`;
}

function Links() {
  const { vector } = useLive("broker_connection_status");
  const down = vector.filter(({ value }) => value !== 1);
  const tone = vector.length === 0 ? "off" : down.length ? "error" : "good";
  const names = [...new Set(down.map(({ labels }) => labels.broker || labels.instance))].join(", ");
  return html`<${Tile} label="Broker links up" tone=${tone} value=${vector.length ? `${vector.length - down.length} / ${vector.length}` : MISSING} note=${vector.length === 0 ? "not known" : names && `${names} down`} />`;
}

function KillSwitches() {
  const { vector } = useLive("trading_kill_switch_active");
  const active = vector.filter(({ value }) => value === 1);
  const tone = vector.length === 0 ? "off" : active.length ? "critical" : "good";
  const names = active.map(({ labels }) => `${labels.switch} · ${labels.instance}`).join(", ");
  return html`<${Tile} label="Kill switches active" tone=${tone} value=${vector.length ? active.length : MISSING} note=${names || (vector.length ? `of ${vector.length}` : "not known")} />`;
}

export function Strip() {
  return html`<dl class="strip" aria-label="Status"><${Bots} /><${Alerts} /><${Links} /><${KillSwitches} /></dl>`;
}
