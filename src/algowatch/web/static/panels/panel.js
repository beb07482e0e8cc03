// The frame of every panel: heading, a figure or note beside it, and one way to say "nothing yet" and "this failed".

import { html } from "../ui.js";

/**
 * @param {{title: string, area: string, aside?: any, children?: any, error?: string | null}} props
 */
export function Panel({ title, area, aside, children, error }) {
  const heading = `panel-${area}`;
  return html`<section class=${`panel ${area}`} aria-labelledby=${heading}>
    <header class="panel-head"><h2 id=${heading}>${title}</h2>${aside && html`<div class="panel-aside">${aside}</div>`}</header>
    ${error ? html`<p class="panel-error" role="status">${error}</p>` : children}
  </section>`;
}

/** @param {{children?: any}} props */
export function Nothing({ children }) {
  return html`<p class="nothing">${children}</p>`;
}

/**
 * Colour, name and newest value of each line of a chart.
 * @param {{items: {color: string, label: string, value: string, tone?: string}[]}} props
 */
export function Legend({ items }) {
  return html`<ul class="legend">
    ${items.map(
      ({ color, label, value, tone }) => html`<li key=${label}>
        <span class=${`swatch ${color}`}></span><span class="legend-label" title=${label}>${label}</span><span class=${`figure ${tone ?? ""}`}>${value}</span>
      </li>`,
    )}
  </ul>`;
}
