// Daily P&L: one big figure per currency, and its course by strategy.

import { Chart, colorOf } from "../charts.js";
import { compact, isNumber, money, newest, percent, ratioSignClass, signClass } from "../format.js";
import { useHistory, useLive } from "../store.js";
import { html } from "../ui.js";
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
  return html`<div class="totals">
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
  </div>`;
}

/** @param {{labels: import("../api.js").Labels}} series @param {boolean} several currencies are shown */
const lineName = ({ labels }, several) => [labels.strategy || labels.instance || "all", several ? labels.currency : ""].filter(Boolean).join(" · ");

export function Pnl() {
  const { range, error } = useHistory("sum by (strategy, currency) (trading_daily_pnl)");
  const several = new Set(range?.series.map(({ labels }) => labels.currency)).size > 1;
  const lines = (range?.series ?? [])
    .map((series) => ({ label: lineName(series, several), name: lineName(series, false), values: series.values, currency: series.labels.currency }))
    .sort((a, b) => (a.label < b.label ? -1 : 1))
    .map((line) => ({ ...line, color: colorOf(line.name), kind: /** @type {const} */ ("line") }));
  const items = lines.map(({ label, color, values, currency }) => {
    const value = newest(values);
    return { color, label, value: money(value, several ? "" : currency), tone: signClass(value) };
  });
  return html`<${Panel} title="Daily P&L" area="pnl" error=${error}>
    ${range && lines.length === 0
      ? html`<${Nothing}>No bot exports <code>trading_daily_pnl</code> yet.<//>`
      : html`<div class="pnl-body">
          <div class="pnl-side"><${Totals} /><${Legend} items=${items} /></div>
          ${range && html`<${Chart} label="Daily P&L by strategy" times=${range.times} series=${lines} format=${compact} fromZero=${true} />`}
        </div>`}
  <//>`;
}
