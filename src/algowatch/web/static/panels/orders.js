// Order flow: what became of the orders per second as stacked bars, the submitted ones as a line over them, and how
// well and how fast they filled.

import { Chart } from "../charts.js";
import { MISSING, compact, duration, isNumber, percent } from "../format.js";
import { useHistory, useLive } from "../store.js";
import { html } from "../ui.js";
import { Legend, Nothing, Panel } from "./panel.js";

const BARS = 48;
const SLOW = 0.5;
const WINDOW = "[$__rate_interval]";

/** @param {string} outcome */
const perSecond = (outcome) => `sum(rate(trading_orders_${outcome}_total${WINDOW}))`;

/** @param {number} quantile */
const fillTime = (quantile) => `histogram_quantile(${quantile}, sum by (le) (rate(trading_order_fill_time_seconds_bucket[5m])))`;

const OUTCOMES = /** @type {const} */ ([
  ["filled", "series-1"],
  ["cancelled", "off"],
  ["rejected", "bad"],
]);

/** @param {string} expression */
const first = (expression) => useLive(expression).vector[0]?.value;

/** @param {{name: string, value: string}} props */
function Figure({ name, value }) {
  return html`<div><dt>${name}</dt><dd class="figure">${value}</dd></div>`;
}

function Quality() {
  const ratio = first("clamp_max(sum(rate(trading_orders_filled_total[5m])) / sum(rate(trading_orders_submitted_total[5m])), 1)");
  return html`<dl class="figures" title="over the last 5 minutes">
    <${Figure} name="Fill ratio" value=${percent(ratio, { digits: 1 })} />
    <${Figure} name="Fill time, median" value=${duration(first(fillTime(0.5)))} />
    <${Figure} name="p95" value=${duration(first(fillTime(0.95)))} />
  </dl>`;
}

export function OrderFlow() {
  const submitted = useHistory(perSecond("submitted"), BARS);
  const outcomes = OUTCOMES.map(([name, color]) => ({ name, color, history: useHistory(perSecond(name), BARS) }));
  const range = submitted.range;
  const columns = outcomes.map(({ name, color, history }) => ({ label: name, color, kind: /** @type {const} */ ("bars"), values: history.range?.series[0]?.values ?? [] }));
  const line = { label: "submitted", color: "text", kind: /** @type {const} */ ("line"), values: range?.series[0]?.values ?? [] };
  const fastest = Math.max(0, ...line.values.map(Number), ...columns.flatMap(({ values }) => values.map(Number)));
  const [factor, unit] = fastest < SLOW ? [60, "min"] : [1, "s"];
  const series = [...columns, line].map((column) => ({ ...column, values: scaled(fitted(column.values, range?.times.length ?? 0), factor) }));
  const items = series.map(({ label, color, values }) => ({ color, label, value: perUnit(values[values.length - 1], unit) }));
  const nothing = range !== null && range.series.length === 0;
  return html`<${Panel} title="Order flow" area="orders" aside=${unit === "s" ? "per second" : "per minute"} error=${submitted.error}>
    ${nothing
      ? html`<${Nothing}>No order was submitted in this range.<//>`
      : html`<${Quality} />
          ${range && html`<${Chart} label="Orders per second by outcome" times=${range.times} series=${series} format=${compact} stacked=${true} fromZero=${true} />`}
          <${Legend} items=${items} />`}
  <//>`;
}

/** @param {(number | null)[]} values @param {number} factor */
const scaled = (values, factor) => values.map((value) => (value === null ? null : value * factor));

/** @param {number | null | undefined} value @param {string} unit */
const perUnit = (value, unit) => (isNumber(value) ? `${compact(value)}/${unit}` : MISSING);

/**
 * Histories land one after the other; a column that is a step behind is aligned at its end.
 * @param {(number | null)[]} values @param {number} size
 */
function fitted(values, size) {
  return values.length >= size ? values.slice(values.length - size) : [...new Array(size - values.length).fill(null), ...values];
}
