// Market data: how long each symbol has been silent, against the limit that a rule sets, and how fast it ticks.

import { age, compact, duration } from "../format.js";
import { limitsOf } from "../limits.js";
import { rules, useLive } from "../store.js";
import { html } from "../ui.js";
import { Nothing, Panel } from "./panel.js";

const FAMILY = "market_data_stale_seconds";
const FULL_SCALE_WITHOUT_LIMIT = 30;

/** @param {{stale: number, limit: number | undefined}} props the limit stands at two thirds of the bar */
function StaleBar({ stale, limit }) {
  const full = limit ? limit * 1.5 : FULL_SCALE_WITHOUT_LIMIT;
  const over = limit !== undefined && stale > limit;
  return html`<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
    <rect class="bar-ground" width="100" height="8" />
    <rect class=${over ? "bar-over" : "bar-fill"} width=${Math.min(100, (stale / full) * 100)} height="8" />
    ${limit && html`<rect class="bar-limit" x="66.2" width="0.9" height="8" />`}
  </svg>`;
}

export function MarketData() {
  const stale = useLive("max by (symbol) (market_data_stale_seconds)");
  const ticks = useLive("sum by (symbol) (rate(market_data_ticks_received_total[$__rate_interval]))");
  const limit = limitsOf(rules.value, FAMILY)[0]?.value;
  const rates = new Map(ticks.vector.map(({ labels, value }) => [labels.symbol, value]));
  const symbols = new Map([...rates.keys()].map((symbol) => [symbol, /** @type {number | undefined} */ (undefined)]));
  for (const { labels, value } of stale.vector) symbols.set(labels.symbol, value);
  const rows = [...symbols].sort(([a, x = 0], [b, y = 0]) => Number(y > (limit ?? Infinity)) - Number(x > (limit ?? Infinity)) || (String(a) < String(b) ? -1 : 1));
  const total = ticks.vector.reduce((sum, { value }) => sum + value, 0);
  const aside = html`${compact(ticks.vector.length ? total : undefined)} ticks/s${limit !== undefined && html` <span class="limit-note">limit ${age(limit)}</span>`}`;
  return html`<${Panel} title="Market data" area="market" aside=${aside} error=${stale.error}>
    ${rows.length === 0
      ? stale.time !== null && html`<${Nothing}>No bot exports market data now.<//>`
      : html`<div class="scroll" tabindex="0" role="region" aria-label="Market data by symbol"><table class="market-table">
          <thead><tr><th scope="col">Symbol</th><th scope="col" class="wide">Silent for</th><th scope="col"><span class="sr-only">Seconds</span></th><th scope="col">Ticks</th></tr></thead>
          <tbody>
            ${rows.map(
              ([symbol, seconds]) => html`<tr key=${symbol}>
                <td class="symbol" title=${symbol}>${symbol}</td>
                <td>${seconds !== undefined && html`<${StaleBar} stale=${seconds} limit=${limit} />`}</td>
                <td class=${`figure ${limit !== undefined && (seconds ?? 0) > limit ? "bad" : ""}`}>${duration(seconds)}</td>
                <td class="figure quiet">${compact(rates.get(symbol))}/s</td>
              </tr>`,
            )}
          </tbody>
        </table></div>`}
  <//>`;
}
