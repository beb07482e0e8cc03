// Open positions by strategy, with the unrealised P&L that the bot exports by symbol, or else by strategy only.

import { decimal, money, signClass } from "../format.js";
import { useLive } from "../store.js";
import { html } from "../ui.js";
import { useDown, useLast } from "./lost.js";
import { Nothing, Panel } from "./panel.js";

/** @typedef {import("../api.js").Sample} Sample */

/** @param {Sample} sample */
const groupKey = ({ labels }) => JSON.stringify([labels.instance ?? "", labels.strategy ?? ""]);

/** @param {Sample[]} samples @returns {Map<string, Sample[]>} */
function grouped(samples) {
  const groups = new Map();
  for (const sample of samples) groups.set(groupKey(sample), [...(groups.get(groupKey(sample)) ?? []), sample]);
  return groups;
}

/**
 * One sum per currency: amounts in different currencies are never added.
 * @param {Sample[]} samples
 * @returns {[string, number][]}
 */
export function byCurrency(samples) {
  const sums = new Map();
  for (const { labels, value } of samples) sums.set(labels.currency ?? "", (sums.get(labels.currency ?? "") ?? 0) + value);
  return [...sums].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** @param {{amounts: [string, number][], unit?: boolean}} props */
function Amounts({ amounts, unit = false }) {
  return amounts.map(
    ([currency, value]) => html`<span key=${currency} class=${`figure ${signClass(value)}`}>${money(value, unit || amounts.length > 1 ? currency : "")}</span>`,
  );
}

/** @param {{open: Sample[], unrealized: Sample[], lost: boolean}} props `lost`: the bot is down, and this is what it held last */
function Group({ open, unrealized, lost }) {
  const { strategy, instance } = open[0].labels;
  const rows = open.slice().sort((a, b) => ((a.labels.symbol ?? "") < (b.labels.symbol ?? "") ? -1 : 1));
  return html`<tbody class=${lost ? "last-known" : ""}>
    <tr class="group">
      <th scope="rowgroup" colspan="2"><span class="group-name">${strategy || "no strategy"}</span> <span class="quiet">${instance}</span>${lost && html` <span class="tag">down, last known</span>`}</th>
      <td class="amounts"><${Amounts} amounts=${byCurrency(unrealized)} unit=${true} /></td>
    </tr>
    ${rows.map(
      ({ labels, value }) => html`<tr key=${labels.symbol}>
        <td class="symbol" title=${labels.symbol}>${labels.symbol}</td>
        <td class="figure">${decimal(value, { digits: Number.isInteger(value) ? 0 : 4, sign: true })}</td>
        <td class="amounts"><${Amounts} amounts=${byCurrency(unrealized.filter((sample) => sample.labels.symbol === labels.symbol))} /></td>
      </tr>`,
    )}
  </tbody>`;
}

export function Positions() {
  const down = useDown();
  const quantities = useLive("trading_position_quantity != 0");
  const last = useLast("trading_position_quantity", down).filter(({ value }) => value !== 0);
  const unrealized = useLive("sum by (instance, strategy, symbol, currency) (trading_unrealized_pnl)");
  const amounts = grouped(unrealized.vector);
  const living = quantities.vector.filter(({ labels }) => !down.includes(labels.instance ?? ""));
  const groups = [...grouped([...last, ...living])].sort(([a], [b]) => (a < b ? -1 : 1));
  const count = last.length + living.length;
  return html`<${Panel} title="Positions" area="positions" aside=${`${count} open`} error=${quantities.error}>
    ${groups.length === 0
      ? quantities.time !== null && html`<${Nothing}>${down.length ? `No position is known; ${down.join(", ")} ${down.length > 1 ? "are" : "is"} down.` : "Flat: no open position."}<//>`
      : html`<div class="scroll" tabindex="0" role="region" aria-label="Open positions"><table class="positions-table">
          <thead><tr><th scope="col">Symbol</th><th scope="col">Quantity</th><th scope="col">Unrealised</th></tr></thead>
          ${groups.map(([key, open]) => html`<${Group} key=${key} open=${open} unrealized=${amounts.get(key) ?? []} lost=${down.includes(open[0].labels.instance ?? "")} />`)}
        </table></div>`}
  <//>`;
}
