// The one place that binds preact, htm and signals together; every component imports from here.

import htm from "./vendor/htm.js";
import { h } from "./vendor/preact.js";

export { render } from "./vendor/preact.js";
export { useEffect, useMemo, useRef } from "./vendor/preact-hooks.js";
export { batch, computed, effect, signal, useComputed, useSignal, useSignalEffect } from "./vendor/signals.js";

/** Template to virtual DOM. Interpolated strings become text nodes, so a label value can never become markup. */
export const html = htm.bind(h);
