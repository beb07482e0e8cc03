// One card per bot, in aligned columns: who it is, whether it lives and since when, what it earns, what it holds.

import { MISSING, age, compact, money, rate, signClass } from "../format.js";
import { serverNow, useHistory, useLive } from "../store.js";
import { html } from "../ui.js";
import { useLast } from "./lost.js";
import { byCurrency } from "./positions.js";
import { Sparkline } from "./stat.js";
import { BOT_UP } from "./strip.js";

/** More bots than this stand in one line each, with the names of the columns over the first only. */
const COMFORTABLE = 3;

/** @typedef {import("../api.js").Vector} Vector */

/** @param {Vector} vector @param {string} instance */
const ofInstance = (vector, instance) => vector.filter(({ labels }) => labels.instance === instance);

/**
 * Since when the newest state holds, as far as the drawn range tells.
 * @param {import("../api.js").Range | null} range @param {string} instance @param {number} state
 * @returns {{time: number, atLeast: boolean} | null}
 */
export function stateSince(range, instance, state) {
  const column = range?.series.find(({ labels }) => labels.instance === instance)?.values;
  if (!range || !column) return null;
  let first = null;
  for (let index = column.length - 1; index >= 0; index -= 1) {
    if (column[index] !== null && column[index] !== state) return first === null ? null : { time: range.times[first], atLeast: false };
    if (column[index] === state) first = index;
  }
  return first === null ? null : { time: range.times[first], atLeast: first === 0 };
}

/** @param {{amounts: [string, number][]}} props amounts of one bot, one per currency: they are never added */
function Amounts({ amounts }) {
  if (amounts.length === 0) return html`<span class="figure quiet">${MISSING}</span>`;
  return amounts.map(([currency, value]) => html`<span key=${currency} class=${`figure strong ${signClass(value)}`}>${money(value, currency)}</span>`);
}

/** @param {Vector} vector @returns {number | undefined} */
const total = (vector) => (vector.length ? vector.reduce((sum, { value }) => sum + value, 0) : undefined);

/** @param {{children?: any}} props what a bot exported before it went down */
function LastKnown({ children }) {
  return html`<span class="last-known" title="last known, before the bot went down">${children}</span>`;
}

/** @param {{name: string, children?: any}} props */
function Cell({ name, children }) {
  return html`<div class=${`cell ${name.toLowerCase().replaceAll(" ", "-")}`}><dt>${name}</dt><dd>${children}</dd></div>`;
}

/** @param {{vector: Vector}} props */
function Link({ vector }) {
  if (vector.length === 0) return html`<span class="quiet">—</span>`;
  return vector.map(
    ({ labels, value }) => html`<span key=${labels.broker} class="link-state"><span class=${`dot ${value === 1 ? "good" : "bad"}`} aria-hidden="true"></span>${labels.broker || "link"} ${value === 1 ? "up" : "down"}</span>`,
  );
}

export function Bots() {
  const up = useLive(BOT_UP);
  const bots = up.vector.slice().sort((a, b) => a.value - b.value || (a.labels.instance < b.labels.instance ? -1 : 1));
  const states = useHistory(BOT_UP);
  const info = useLive("last_over_time(algowatch_bot_info[1h])");
  const started = useLive('process_start_time_seconds{job="bots"}');
  const pnl = useLive("sum by (instance, currency) (trading_daily_pnl)");
  const positions = useLive("sum by (instance) (trading_positions_open)");
  const orders = useLive("sum by (instance) (rate(trading_orders_submitted_total[$__rate_interval]))");
  const links = useLive("broker_connection_status");
  const down = bots.filter(({ value }) => value !== 1).map(({ labels }) => labels.instance ?? "").sort();
  const lastPnl = useLast("trading_daily_pnl", down);
  const lastOpen = useLast("trading_positions_open", down);
  const trend = useHistory("sum by (instance, currency) (trading_daily_pnl)");
  return html`<ul class=${`bots ${bots.length > COMFORTABLE ? "dense" : ""}`} aria-label="Bots">
    ${bots.map(({ labels: { instance }, value }) => {
      const alive = value === 1;
      const since = stateSince(states.range, instance, value);
      const seconds = since && serverNow() - since.time;
      const start = ofInstance(started.vector, instance)[0]?.value;
      const profile = ofInstance(info.vector, instance)[0]?.labels.profile;
      const trends = trend.range?.series.filter(({ labels }) => labels.instance === instance) ?? [];
      return html`<li key=${instance} class=${`bot ${alive ? "alive" : "down"}`}>
        <div class="bot-name"><span class=${`dot ${alive ? "good" : "critical"}`} aria-hidden="true"></span><strong title=${instance}>${instance}</strong><span class="quiet profile">${profile ?? ""}</span></div>
        <dl>
          <${Cell} name="State"><span class=${alive ? "good" : "critical"}>${alive ? "alive" : "down"}</span>${since && html`<span class="quiet"> ${since.atLeast ? "over " : ""}${age(seconds)}</span>`}<//>
          <${Cell} name="Uptime"><span class="figure">${alive && start ? age(serverNow() - start) : "—"}</span><//>
          <${Cell} name="Daily P&L">${alive ? html`<${Amounts} amounts=${byCurrency(ofInstance(pnl.vector, instance))} />` : html`<${LastKnown}><${Amounts} amounts=${byCurrency(ofInstance(lastPnl, instance))} /><//>`}<//>
          <${Cell} name="Trend">${trends.map(({ labels, values }) => html`<${Sparkline} key=${labels.currency} series=${values} />`)}<//>
          <${Cell} name="Positions">${alive ? html`<span class="figure">${compact(ofInstance(positions.vector, instance)[0]?.value)}</span>` : html`<${LastKnown}><span class="figure">${compact(total(ofInstance(lastOpen, instance)))}</span><//>`}<//>
          <${Cell} name="Orders"><span class="figure">${alive ? rate(ofInstance(orders.vector, instance)[0]?.value) : MISSING}</span><//>
          <${Cell} name="Link"><${Link} vector=${ofInstance(links.vector, instance)} /><//>
        </dl>
      </li>`;
    })}
  </ul>`;
}
