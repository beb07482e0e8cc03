// uPlot, dressed in the page's tokens: lines, areas, steps and stacked bars, gaps, limit lines, a crosshair shared by all
// charts, a read-out at the crosshair. Axes stand on the right, where the newest value is.

import { clockTime } from "./format.js";
import { html, useEffect, useRef } from "./ui.js";
import uPlot from "./vendor/uplot.js";

/**
 * @typedef {object} ChartSeries
 * @property {string} label
 * @property {string} color name of a token, without the dashes
 * @property {(number | null)[]} values
 * @property {"line" | "area" | "bars"} [kind]
 * @property {boolean} [dashed]
 */
/** @typedef {{value: number, color: string, label: string, always?: boolean}} LimitLine `always` on the axis, else when values come near */
/**
 * @typedef {object} ChartSpec
 * @property {string} label what the drawing shows, for those who do not see it
 * @property {number[]} times seconds, ascending
 * @property {ChartSeries[]} series
 * @property {(value: number) => string} format
 * @property {(value: number) => string} [read] as `format`, with the digits of a read-out
 * @property {LimitLine[]} [limits]
 * @property {boolean} [stacked] bars stand on each other, in the order given
 * @property {boolean} [fromZero] zero is always on the axis
 * @property {number} [least] the axis spans at least this much
 */

const SYNC_KEY = "algowatch";
const PALETTE = 8;
const LABEL_HALF_WIDTH = 16;

/** @type {string[]} all names seen so far, sorted, so that a reload gives the same colours */
const namesSeen = [];

/**
 * One name, one colour, in every chart of the page.
 * @param {string[]} names of one chart
 * @returns {(name: string) => string} a token's name
 */
export function colorsFor(names) {
  for (const name of names) if (!namesSeen.includes(name)) namesSeen.push(name);
  namesSeen.sort();
  return (name) => `series-${(namesSeen.indexOf(name) % PALETTE) + 1}`;
}

/** @param {string} name of a token */
export function token(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** @param {string} color "#rrggbb" @param {number} alpha 0–1 */
function faded(color, alpha) {
  return color + Math.round(alpha * 255).toString(16).padStart(2, "0");
}

/**
 * What must be the same for new data to go into the same drawing.
 * @param {ChartSpec} spec
 */
function shapeOf(spec) {
  const theme = document.documentElement.dataset.theme;
  return JSON.stringify([theme, spec.stacked, spec.series.map(({ label, color, kind, dashed }) => [label, color, kind, dashed])]);
}

/**
 * Columns as uPlot wants them; stacked bars are drawn tallest first, each over the one before.
 * @param {ChartSpec} spec
 */
function columnsOf(spec) {
  if (!spec.stacked) return [spec.times, ...spec.series.map(({ values }) => values)];
  const bars = spec.series.filter(({ kind }) => kind === "bars");
  const rest = spec.series.filter(({ kind }) => kind !== "bars");
  /** @type {(number | null)[]} */
  let below = new Array(spec.times.length).fill(null);
  const stacked = bars.map(({ values }) => {
    below = values.map((value, index) => (value === null ? below[index] : value + (below[index] ?? 0)));
    return below;
  });
  return [spec.times, ...stacked.reverse(), ...rest.map(({ values }) => values)];
}

/** @param {ChartSpec} spec */
function drawnSeries(spec) {
  if (!spec.stacked) return spec.series;
  const bars = spec.series.filter(({ kind }) => kind === "bars");
  return [...bars.reverse(), ...spec.series.filter(({ kind }) => kind !== "bars")];
}

/** @param {ChartSeries} series @returns {uPlot.Series} */
function toSeries({ label, color, kind = "line", dashed }) {
  const stroke = token(color);
  if (kind === "bars") return { label, fill: stroke, stroke, width: 0, points: { show: false }, paths: uPlot.paths.bars?.({ size: [1, 28], gap: 1 }) };
  return {
    label,
    stroke,
    width: dashed ? 1 : 1.5,
    fill: kind === "area" ? faded(stroke, 0.12) : undefined,
    dash: dashed ? [4, 3] : undefined,
    points: { show: false },
    spanGaps: false,
  };
}

/** @param {number} seconds @param {number} step seconds between two labels */
function timeLabel(seconds, step) {
  const date = new Date(seconds * 1000);
  if (step >= 86_400) return date.toLocaleDateString("en-GB", { weekday: "short", day: "numeric" });
  return clockTime(seconds).slice(0, step < 60 ? 8 : 5);
}

/** @param {() => ChartSpec} spec @returns {uPlot.Axis[]} */
function axes(spec) {
  const common = {
    stroke: token("text-faint"),
    font: `11px ${token("font")}`,
    grid: { stroke: token("grid"), width: 1 },
    ticks: { show: false },
  };
  return [
    {
      ...common,
      size: 22,
      gap: 4,
      space: 70,
      grid: { show: false },
      values: (plot, splits) => {
        const step = splits.length > 1 ? splits[1] - splits[0] : 60;
        return splits.map((split) => (plot.valToPos(split, "x") < LABEL_HALF_WIDTH ? "" : timeLabel(split, step)));
      },
    },
    {
      ...common,
      side: 1,
      gap: 6,
      space: 34,
      size: (_, values) => 14 + 6.4 * Math.max(3, ...(values ?? []).map((value) => value.length)),
      values: (_, splits) => splits.map((split) => spec().format(split)),
    },
  ];
}

/**
 * The axis holds the values, the limits near them, and zero where asked.
 * @param {() => ChartSpec} spec @returns {uPlot.Scale}
 */
function valueScale(spec) {
  return {
    range: (_, low, high) => {
      const { fromZero, limits = [], least = 0 } = spec();
      let [from, to] = low === null || high === null ? [0, 0] : [low, high];
      if (fromZero) [from, to] = [Math.min(0, from), Math.max(0, to)];
      const reach = (to - from) * 2;
      for (const { value, always } of limits) {
        if (always || (value <= to + reach && value >= from - reach)) [from, to] = [Math.min(from, value), Math.max(to, value)];
      }
      if (to - from < least) to = from + least;
      if (to === from) [from, to] = [from - 1, to + 1];
      const pad = (to - from) * 0.08;
      /** @type {uPlot.Range.MinMax} */
      const span = [fromZero && from === 0 ? 0 : from - pad, fromZero && to === 0 ? 0 : to + pad];
      return span;
    },
  };
}

/** @param {uPlot} plot @param {ChartSpec} spec */
function drawLimits(plot, spec) {
  const { ctx, bbox } = plot;
  const lines = [...(spec.limits ?? [])];
  const { min = 0, max = 0 } = plot.scales.y;
  if (min < 0 && max > 0) lines.unshift({ value: 0, color: "text-faint", label: "" });
  ctx.save();
  for (const { value, color } of lines) {
    if (value < min || value > max) continue;
    const y = Math.round(plot.valToPos(value, "y", true)) + 0.5;
    ctx.strokeStyle = token(color);
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash(value === 0 ? [] : [5 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.globalAlpha = value === 0 ? 0.6 : 1;
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
  }
  ctx.restore();
}

class ChartView {
  /** @param {HTMLElement} host @param {HTMLElement} readout */
  constructor(host, readout) {
    this.host = host;
    this.readout = readout;
    /** @type {uPlot | null} */
    this.plot = null;
    this.shape = "";
    /** @type {ChartSpec | null} */
    this.spec = null;
    this.resizes = new ResizeObserver(() => this.fit());
    this.resizes.observe(host);
    this.themes = new MutationObserver(() => this.spec && this.show(this.spec));
    this.themes.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }

  stop() {
    this.resizes.disconnect();
    this.themes.disconnect();
    this.plot?.destroy();
  }

  fit() {
    const { clientWidth: width, clientHeight: height } = this.host;
    if (this.plot && width > 0 && height > 0 && (this.plot.width !== width || this.plot.height !== height)) this.plot.setSize({ width, height });
  }

  /** @param {ChartSpec} spec */
  show(spec) {
    this.spec = spec;
    const columns = /** @type {uPlot.AlignedData} */ (columnsOf(spec));
    const shape = shapeOf(spec);
    if (this.plot && shape === this.shape) {
      this.plot.setData(columns);
      return;
    }
    this.plot?.destroy();
    this.shape = shape;
    this.plot = new uPlot(this.options(spec), columns, this.host);
  }

  /** @param {ChartSpec} spec @returns {uPlot.Options} */
  options(spec) {
    const current = () => /** @type {ChartSpec} */ (this.spec);
    return {
      width: Math.max(80, this.host.clientWidth),
      height: Math.max(60, this.host.clientHeight),
      padding: [6, 0, 0, 2],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, sync: { key: SYNC_KEY }, points: { size: 6 } },
      scales: { x: { time: true }, y: valueScale(current) },
      axes: axes(current),
      series: [{}, ...drawnSeries(spec).map(toSeries)],
      hooks: { draw: [(plot) => drawLimits(plot, current())], setCursor: [(plot) => this.point(plot)] },
    };
  }

  /**
   * Say what stands at the crosshair.
   * @param {uPlot} plot
   */
  point(plot) {
    const index = plot.cursor.idx;
    const spec = this.spec;
    const visible = spec !== null && typeof index === "number" && (plot.cursor.left ?? -1) >= 0;
    this.readout.hidden = !visible;
    if (!visible) return;
    const rows = spec.series.map(({ label, color, values }) => [color, label, values[index]]).filter(([, , value]) => value !== null && value !== undefined);
    this.readout.replaceChildren(timeRow(spec.times[index]), ...rows.map(([color, label, value]) => readoutRow(String(color), String(label), (spec.read ?? spec.format)(Number(value)))));
    const onRight = (plot.cursor.left ?? 0) < plot.bbox.width / devicePixelRatio / 2;
    this.readout.classList.toggle("right", onRight);
  }
}

/** @param {string} className @param {string} text */
function span(className, text) {
  const element = document.createElement("span");
  element.className = className;
  element.textContent = text;
  return element;
}

/** @param {number} seconds */
function timeRow(seconds) {
  const date = new Date(seconds * 1000);
  return span("readout-time", `${date.toLocaleDateString("en-GB", { weekday: "short", day: "2-digit", month: "short" })} ${clockTime(seconds)}`);
}

/** @param {string} color @param {string} label @param {string} value */
function readoutRow(color, label, value) {
  const row = span("readout-row", "");
  row.append(span(`swatch ${color}`, ""), span("readout-label", label), span("readout-value", value));
  return row;
}

/** @param {ChartSpec & {class?: string}} spec */
export function Chart(spec) {
  const host = useRef(/** @type {HTMLElement | null} */ (null));
  const readout = useRef(/** @type {HTMLElement | null} */ (null));
  const view = useRef(/** @type {ChartView | null} */ (null));
  useEffect(() => {
    if (!host.current || !readout.current) return undefined;
    const created = new ChartView(host.current, readout.current);
    view.current = created;
    return () => created.stop();
  }, []);
  useEffect(() => view.current?.show(spec));
  return html`<div class=${`chart ${spec.class ?? ""}`} role="img" aria-label=${spec.label}>
    <div class="chart-host" ref=${host}></div>
    <div class="readout" ref=${readout} hidden></div>
  </div>`;
}
