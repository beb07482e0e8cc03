// The first page: all bots at a glance.

import { Alerts } from "./panels/alerts.js";
import { Bots } from "./panels/bots.js";
import { Broker } from "./panels/broker.js";
import { Header } from "./panels/header.js";
import { MarketData } from "./panels/market.js";
import { OrderFlow } from "./panels/orders.js";
import { Pnl } from "./panels/pnl.js";
import { Positions } from "./panels/positions.js";
import { Drawdown, Exposure } from "./panels/risk.js";
import { BOT_UP, Strip } from "./panels/strip.js";
import { feed, useLive } from "./store.js";
import { html } from "./ui.js";

const THREE_LINES = `import algowatch

watch = algowatch.start("my-bot")
watch.pnl.daily.set(125.50, currency="USD")`;

function NoBotYet() {
  return html`<section class="panel welcome" aria-labelledby="welcome-title">
    <h2 id="welcome-title">No bot yet</h2>
    <p>Add these lines to a bot and start it. It appears here within seconds, without configuration.</p>
    <pre tabindex="0"><code>${THREE_LINES}</code></pre>
    <p class="quiet">Or watch a simulated trading system: <code>algowatch demo</code></p>
  </section>`;
}

function Lost() {
  if (feed.connection.value !== "lost") return null;
  return html`<div class="lost" role="alert">The engine does not answer. What you see is the last that was known; the page reconnects by itself.</div>`;
}

function Board() {
  return html`<div class="board">
    <${Pnl} />
    <div class="column risk"><${Drawdown} /><${Exposure} /></div>
    <${Alerts} />
    <${OrderFlow} />
    <div class="column feeds"><${Broker} /><${MarketData} /></div>
    <${Positions} />
  </div>`;
}

export function Overview() {
  const bots = useLive(BOT_UP);
  const empty = bots.time !== null && bots.vector.length === 0;
  return html`<${Header} /><${Lost} />
    <main>${bots.time === null ? null : empty ? html`<${NoBotYet} />` : html`<${Strip} /><${Bots} /><${Board} />`}</main>`;
}
