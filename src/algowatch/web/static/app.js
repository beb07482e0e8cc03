// Starts what the page shares, then draws the overview.

import { Overview } from "./overview.js";
import { start } from "./store.js";
import { html, render } from "./ui.js";

start();
render(html`<${Overview} />`, /** @type {HTMLElement} */ (document.getElementById("app")));
