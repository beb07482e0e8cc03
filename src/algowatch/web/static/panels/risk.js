// Drawdown against the limit that a rule sets, and exposure against capital.

import { Chart, colorsFor } from "../charts.js";
import { compact, current, percent } from "../format.js";
import { limitsOf } from "../limits.js";
import { rules, useHistory, useLive } from "../store.js";
import { html } from "../ui.js";
import { Nothing, Panel } from "./panel.js";

/** @typedef {import("../limits.js").Limit} Limit */

/** @param {Limit} limit @returns {import("../charts.js").LimitLine} */
const toLine = ({ value, severity, alert }) => ({ value, color: severity === "critical" ? "critical" : "warn", label: alert });

export function Drawdown() {
  const { range, error } = useHistory("max by (strategy) (abs(trading_drawdown_ratio))");
  const limits = limitsOf(rules.value, "trading_drawdown_ratio").map((limit) => ({ ...limit, value: Math.abs(limit.value) }));
  const named = (range?.series ?? [])
    .map(({ labels, values }) => ({ label: labels.strategy || "all", values }))
    .sort((a, b) => (a.label < b.label ? -1 : 1));
  const colorOf = colorsFor(named.map(({ label }) => label));
  const lines = named.map((line) => ({ ...line, color: colorOf(line.label) }));
  const mildest = limits[0];
  const worst = lines.reduce((/** @type {{label: string, value: number} | null} */ found, { label, values }) => {
    const value = current(values);
    return value !== null && (found === null || value > found.value) ? { label, value } : found;
  }, null);
  const over = worst !== null && mildest !== undefined && worst.value > mildest.value;
  const aside = html`${worst && html`${worst.label} <b class=${`figure ${over ? "bad" : "plain"}`}>${percent(worst.value)}</b>`}
    ${mildest && html`<span class="limit-note">limit ${limits.map(({ value }) => percent(value, { digits: 1 })).join(", ")}</span>`}`;
  return html`<${Panel} title="Drawdown" area="drawdown" aside=${aside} error=${error}>
    ${range && lines.length === 0
      ? html`<${Nothing}>No bot exports drawdown in this range.<//>`
      : range && html`<${Chart} label="Drawdown by strategy" times=${range.times} series=${lines} format=${(/** @type {number} */ value) => percent(value, { digits: 1 })} read=${percent} limits=${limits.map(toLine).map((line, index) => ({ ...line, always: index === 0 }))} fromZero=${true} least=${0.005} />`}
  <//>`;
}

/** @param {{name: string, value: number, capital: number | undefined, full: number, signed?: boolean}} props `full` is the ratio at the bar's end */
function Bar({ name, value, capital, full, signed = false }) {
  const ratio = capital ? value / capital : 0;
  const share = Math.min(1, Math.abs(ratio) / full);
  const [x, width] = signed ? [ratio < 0 ? 50 - share * 50 : 50, share * 50] : [0, share * 100];
  return html`<div class="exposure-row">
    <span class="quiet">${name}</span>
    <svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
      <rect class="bar-ground" width="100" height="8" />
      <rect class="bar-fill" x=${x} width=${width} height="8" />
      ${signed ? html`<rect class="bar-middle" x="49.7" width="0.6" height="8" />` : full > 1 && html`<rect class="bar-mark" x=${100 / full - 0.4} width="0.8" height="8" />`}
    </svg>
    <span class="figure">${compact(value, { sign: signed })}</span>
    <span class="figure quiet">${capital ? percent(ratio, { digits: 0, sign: signed }) : ""}</span>
  </div>`;
}

export function Exposure() {
  const gross = useLive("sum by (currency) (trading_gross_exposure)");
  const net = useLive("sum by (currency) (trading_net_exposure)");
  const capital = useLive("sum by (currency) (trading_capital)");
  /** @param {import("../api.js").Vector} vector @param {string | undefined} currency */
  const of = (vector, currency) => vector.find(({ labels }) => labels.currency === currency)?.value;
  const currencies = gross.vector.map(({ labels }) => labels.currency).sort();
  return html`<${Panel} title="Exposure" area="exposure" aside="of capital" error=${gross.error}>
    ${gross.time !== null && currencies.length === 0 && html`<${Nothing}>No bot exports exposure now.<//>`}
    ${currencies.map((currency) => {
      const [held, total] = [of(gross.vector, currency) ?? 0, of(capital.vector, currency)];
      const full = total ? Math.max(1, held / total) : 1;
      return html`<div class="exposure" key=${currency}>
        <div class="exposure-head"><strong>${currency}</strong><span class="quiet">capital <span class="figure">${compact(total)}</span></span></div>
        <${Bar} name="gross" value=${held} capital=${total} full=${full} />
        <${Bar} name="net" value=${of(net.vector, currency) ?? 0} capital=${total} full=${full} signed=${true} />
      </div>`;
    })}
  <//>`;
}
