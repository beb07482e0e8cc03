// A state over time as one band per row: up, down, or not known.

import { html } from "../ui.js";

/** @typedef {{from: number, to: number, value: number | null}} Segment columns, `to` exclusive */

/**
 * Runs of equal values; up to `bridge` missing columns between equal values belong to the run.
 * @param {(number | null)[]} values @param {number} [bridge]
 * @returns {Segment[]}
 */
export function segments(values, bridge = 1) {
  /** @type {Segment[]} */
  const runs = [];
  for (let index = 0; index < values.length; index += 1) {
    const last = runs[runs.length - 1];
    if (last && last.value === values[index]) last.to = index + 1;
    else runs.push({ from: index, to: index + 1, value: values[index] });
  }
  return runs.reduce((/** @type {Segment[]} */ merged, run, index) => {
    const before = merged[merged.length - 1];
    const short = run.value === null && run.to - run.from <= bridge && before && runs[index + 1]?.value === before.value;
    if (before && (short || before.value === run.value)) before.to = run.to;
    else merged.push({ ...run });
    return merged;
  }, []);
}

/** @param {{values: (number | null)[], label: string}} props */
export function StateBand({ values, label }) {
  const size = Math.max(1, values.length);
  const known = values.filter((value) => value !== null);
  const up = known.filter((value) => value === 1).length;
  const described = known.length ? `${label}: up ${((up / known.length) * 100).toFixed(1)} % of the range` : `${label}: not known`;
  return html`<svg class="band" viewBox=${`0 0 ${size} 10`} preserveAspectRatio="none" role="img" aria-label=${described}>
    ${segments(values).map(
      ({ from, to, value }) => html`<rect key=${from} x=${from} width=${to - from} height="10" class=${value === null ? "unknown" : value === 1 ? "up" : "down"} />`,
    )}
  </svg>`;
}
