// Broker links: up or down over the range, and what went wrong in it.

import { compact, isNumber } from "../format.js";
import { useHistory, useLive } from "../store.js";
import { html } from "../ui.js";
import { Nothing, Panel } from "./panel.js";
import { StateBand } from "./timeline.js";

/** @param {import("../api.js").Labels} a @param {import("../api.js").Labels} b */
const sameLink = (a, b) => a.instance === b.instance && a.broker === b.broker;

/**
 * A link of a bot that no longer exports it stands last.
 * @param {import("../api.js").RangeSeries} series
 */
const gone = ({ values }) => values.slice(-3).every((value) => value === null);

export function Broker() {
  const { range, error, timeRange } = useHistory("min by (instance, broker) (broker_connection_status)");
  const reconnects = useLive("sum by (instance, broker) (increase(broker_reconnections_total[$__range]))");
  const errors = useLive("sum by (instance, broker) (increase(broker_api_errors_total[$__range]))");
  const links = (range?.series ?? []).slice().sort((a, b) => Number(gone(a)) - Number(gone(b)) || (String(a.labels.instance) < String(b.labels.instance) ? -1 : 1));
  const several = new Set(links.map(({ labels }) => labels.instance)).size > 1;
  return html`<${Panel} title="Broker link" area="broker" aside=${`last ${timeRange.label}`} error=${error}>
    ${range && links.length === 0
      ? html`<${Nothing}>No bot exports a broker link in this range.<//>`
      : html`<div class="scroll links-scroll" tabindex="0" role="region" aria-label="Broker links"><table class="links">
          <thead><tr><th scope="col">Link</th><th scope="col" class="wide"><span class="sr-only">State</span></th><th scope="col">Reconnects</th><th scope="col">API errors</th></tr></thead>
          <tbody>
            ${links.map(({ labels, values }) => {
              const counted = (/** @type {import("../api.js").Vector} */ vector) => vector.find((sample) => sameLink(sample.labels, labels))?.value;
              return html`<tr key=${`${labels.instance}/${labels.broker}`}>
                <td class="link-name" title=${`${labels.broker} · ${labels.instance}`}>${labels.broker || "link"} ${several && html`<span class="quiet">${labels.instance}</span>`}</td>
                <td><${StateBand} values=${values} label=${`${labels.broker} of ${labels.instance}`} /></td>
                <${Count} value=${counted(reconnects.vector)} /><${Count} value=${counted(errors.vector)} />
              </tr>`;
            })}
          </tbody>
        </table></div>`}
  <//>`;
}

/** @param {{value: number | undefined}} props */
function Count({ value }) {
  const rounded = isNumber(value) ? Math.round(value) : undefined;
  return html`<td class=${`figure ${rounded ? "warn" : "quiet"}`}>${compact(rounded)}</td>`;
}
