// A big figure with what it changed by, and the small line that shows how it came there.

import { isNumber } from "../format.js";
import { html } from "../ui.js";

const WIDTH = 120;
const HEIGHT = 28;

/**
 * @param {(number | null)[]} values
 * @returns {string} an SVG path over a box of 120 × 28; gaps stay gaps
 */
export function sparkPath(values) {
  const present = values.filter(isNumber);
  if (present.length < 2) return "";
  const [low, high] = present.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
  const spread = high - low || 1;
  let pen = "M";
  return values
    .map((value, index) => {
      if (value === null) {
        pen = "M";
        return "";
      }
      const point = `${pen}${((index / (values.length - 1)) * WIDTH).toFixed(1)} ${(HEIGHT - 2 - ((value - low) / spread) * (HEIGHT - 4)).toFixed(1)}`;
      pen = "L";
      return point;
    })
    .join("");
}

/** @param {{series?: (number | null)[]}} props */
export function Sparkline({ series }) {
  const path = series ? sparkPath(series) : "";
  return html`<svg class="sparkline" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
    ${path && html`<path d=${path} vector-effect="non-scaling-stroke" />`}
  </svg>`;
}

/** @param {{value: string, tone?: string, note?: any, unit?: string}} props */
export function Stat({ value, tone = "", note, unit = "" }) {
  return html`<div class="stat">
    <div class=${`stat-value figure ${tone}`}>${value}${unit && html`<span class="stat-unit">${unit}</span>`}</div>
    ${note && html`<div class="stat-note figure">${note}</div>`}
  </div>`;
}
