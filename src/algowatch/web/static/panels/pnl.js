// Daily P&L: one big figure per currency, and its course by strategy.

import { Chart, colorsFor } from "../charts.js";
import { MISSING, compact, current, isNumber, money, percent, ratioSignClass, signClass } from "../format.js";
import { useHistory, useLive } from "../store.js";
import { html, useSignal } from "../ui.js";
import { useDown } from "./lost.js";
import { Legend, Nothing, Panel } from "./panel.js";
import { Stat } from "./stat.js";

const DAILY = "sum by (currency) (trading_daily_pnl)";

/** @param {import("../api.js").Vector} vector @param {string} currency */
const inCurrency = (vector, currency) => vector.find(({ labels }) => (labels.currency ?? "") === currency)?.value;

function Totals() {
  const daily = useLive(DAILY);
  const change = useLive(`${DAILY} - sum by (currency) (trading_daily_pnl offset 15m)`);
  const capital = useLive(`${DAILY} / sum by (currency) (trading_capital)`);
  const unrealized = useLive("sum by (currency) (trading_unrealized_pnl)");
  const sorted = daily.vector.slice().sort((a, b) => Math.abs(b.value) - Math.abs(a.value) || 0);
  const down = useDown();
  return html`<div class="totals">
    ${sorted.length === 0 && html`<${Stat} value=${MISSING} />`}
    ${sorted.map(({ labels: { currency = "" }, value }) => {
      const moved = inCurrency(change.vector, currency);
      const ratio = inCurrency(capital.vector, currency);
      const open = inCurrency(unrealized.vector, currency);
      const note = html`
        ${isNumber(ratio) && html`<span><b class=${ratioSignClass(ratio)}>${percent(ratio, { sign: true })}</b> of capital</span>`}
        ${isNumber(moved) && html`<span><b class=${signClass(moved)}>${money(moved)}</b> in 15 min</span>`}
        ${isNumber(open) && html`<span><b class=${signClass(open)}>${money(open)}</b> unrealised</span>`}
      `;
      return html`<${Stat} key=${currency} value=${money(value)} unit=${currency} tone=${signClass(value)} note=${note} />`;
    })}
    ${down.length > 0 && html`<p class="without">without ${down.join(", ")}, which ${down.length > 1 ? "are" : "is"} down</p>`}
  </div>`;
}

/** @typedef {import("../api.js").RangeSeries} RangeSeries */

/** @param {RangeSeries} series */
const nameOf = ({ labels }) => labels.strategy || "all";

/** @param {RangeSeries} series */
const currencyOf = ({ labels }) => labels.currency ?? "";

/**
 * The currency of most strategies first: one axis holds one currency.
 * @param {RangeSeries[]} series
 * @returns {(a: string, b: string) => number}
 */
function byMost(series) {
  const count = (/** @type {string} */ currency) => series.filter((each) => currencyOf(each) === currency).length;
  return (a, b) => count(b) - count(a) || (a < b ? -1 : 1);
}

export function Pnl() {
  const { range, error } = useHistory("sum by (strategy, currency) (trading_daily_pnl)");
  const chosen = useSignal("");
  const currencies = [...new Set(range?.series.map(currencyOf))].sort(byMost(range?.series ?? []));
  const currency = currencies.includes(chosen.value) ? chosen.value : currencies[0];
  const colorOf = colorsFor((range?.series ?? []).map(nameOf));
  const lines = (range?.series ?? [])
    .filter((series) => currencyOf(series) === currency)
    .map((series) => ({ label: nameOf(series), values: series.values }))
    .sort((a, b) => (a.label < b.label ? -1 : 1))
    .map((line) => ({ ...line, color: colorOf(line.label) }));
  const items = lines.map(({ label, color, values }) => ({ color, label, value: money(current(values)), tone: signClass(current(values)) }));
  const choice = currencies.length > 1 && html`<div class="segmented small" role="group" aria-label="Currency of the chart">
    ${currencies.map((name) => html`<button type="button" key=${name} aria-pressed=${String(name === currency)} onClick=${() => { chosen.value = name; }}>${name}</button>`)}
  </div>`;
  return html`<${Panel} title="Daily P&L" area="pnl" error=${error} aside=${choice}>
    ${range && lines.length === 0
      ? html`<${Nothing}>No bot exports <code>trading_daily_pnl</code> yet.<//>`
      : html`<div class="pnl-body">
          <div class="pnl-side"><${Totals} /><${Legend} items=${items} /></div>
          ${range && html`<${Chart} label=${`Daily P&L by strategy, ${currency}`} times=${range.times} series=${lines} format=${compact} read=${money} fromZero=${true} />`}
        </div>`}
  <//>`;
}
