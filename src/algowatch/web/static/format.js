// Numbers as traders write them. All functions are pure; a missing value (null, undefined, NaN) is an em dash.

const MINUS = "\u2212";
const THIN = "\u202f";
export const MISSING = "\u2014";

/** @typedef {number | null | undefined} MaybeNumber */

/** @param {MaybeNumber} value @returns {value is number} */
export const isNumber = (value) => typeof value === "number" && !Number.isNaN(value);

/** @param {string} text */
const trueMinus = (text) => text.replace("-", MINUS);

/**
 * Grouped digits with a fixed number of decimals; a value that rounds to zero has no sign.
 * @param {MaybeNumber} value
 * @param {{digits?: number, sign?: boolean}} options
 */
export function decimal(value, { digits = 2, sign = false } = {}) {
  if (!isNumber(value)) return MISSING;
  if (!Number.isFinite(value)) return value > 0 ? "+∞" : `${MINUS}∞`;
  const rounded = Number(value.toFixed(digits)) || 0;
  const text = rounded.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return (sign && rounded > 0 ? "+" : "") + trueMinus(text);
}

/**
 * "+1,234.50 USD".
 * @param {MaybeNumber} value @param {string} [currency]
 * @param {{digits?: number, sign?: boolean}} options
 */
export function money(value, currency = "", { digits = 2, sign = true } = {}) {
  const figure = decimal(value, { digits, sign });
  return currency && isNumber(value) ? `${figure} ${currency}` : figure;
}

/**
 * "12.3k", "4.56M": three or four figures, for places without room.
 * @param {MaybeNumber} value @param {{sign?: boolean}} options
 */
export function compact(value, { sign = false } = {}) {
  if (!isNumber(value)) return MISSING;
  const size = Math.abs(value);
  const [factor, unit] = size >= 999.5e6 ? [1e9, "B"] : size >= 999.5e3 ? [1e6, "M"] : size >= 9_995 ? [1e3, "k"] : [1, ""];
  const scaled = Math.abs(value / factor);
  const digits = unit ? (scaled >= 100 ? 0 : scaled >= 10 ? 1 : 2) : size >= 100 || Number.isInteger(value) ? 0 : size >= 10 ? 1 : 2;
  return decimal(value / factor, { digits, sign }) + unit;
}

/**
 * A ratio 0–1 as "−0.42 %".
 * @param {MaybeNumber} ratio @param {{digits?: number, sign?: boolean}} options
 */
export function percent(ratio, { digits = 2, sign = false } = {}) {
  return isNumber(ratio) ? `${decimal(ratio * 100, { digits, sign })}${THIN}%` : MISSING;
}

/**
 * A measured time in seconds with the unit that fits: "850 µs", "12.3 ms", "1.25 s", "4.0 min".
 * @param {MaybeNumber} seconds
 */
export function duration(seconds) {
  if (!isNumber(seconds)) return MISSING;
  const size = Math.abs(seconds);
  if (!Number.isFinite(size)) return "∞";
  if (size === 0) return `0${THIN}s`;
  if (size < 0.9995e-3) return `${decimal(seconds * 1e6, { digits: 0 })}${THIN}µs`;
  if (size < 0.9995) return `${decimal(seconds * 1e3, { digits: size < 0.1 ? 1 : 0 })}${THIN}ms`;
  if (size < 120) return `${decimal(seconds, { digits: size < 10 ? 2 : size < 100 ? 1 : 0 })}${THIN}s`;
  return decimal(seconds / 60, { digits: 1 }) + `${THIN}min`;
}

/**
 * How long ago or for how long, in at most two units: "4 s", "12 min", "2 h 05 min", "3 d 4 h".
 * @param {MaybeNumber} seconds
 */
export function age(seconds) {
  if (!isNumber(seconds)) return MISSING;
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/**
 * A rate per second as "3.4/s", or per minute where it is slow: "12/min".
 * @param {MaybeNumber} perSecond
 */
export function rate(perSecond) {
  if (!isNumber(perSecond)) return MISSING;
  return perSecond !== 0 && Math.abs(perSecond) < 0.5 ? `${compact(perSecond * 60)}/min` : `${compact(perSecond)}/s`;
}

/** @param {number} seconds since the epoch @param {string} [timeZone] */
export function clockTime(seconds, timeZone) {
  return new Date(seconds * 1000).toLocaleTimeString("en-GB", { hourCycle: "h23", timeZone });
}

/**
 * Time of day today, else with the date.
 * @param {number} seconds @param {number} nowSeconds
 */
export function when(seconds, nowSeconds) {
  const date = new Date(seconds * 1000);
  const time = clockTime(seconds);
  if (date.toDateString() === new Date(nowSeconds * 1000).toDateString()) return time;
  return `${date.toLocaleDateString("en-GB", { day: "2-digit", month: "short" })} ${time.slice(0, 5)}`;
}

/**
 * The class that colours a signed figure; zero and missing stay neutral.
 * @param {MaybeNumber} value
 */
export function signClass(value) {
  return !isNumber(value) || Math.abs(value) < 0.005 ? "" : value > 0 ? "good" : "bad";
}

/**
 * The class that colours a signed ratio.
 * @param {MaybeNumber} ratio
 */
export const ratioSignClass = (ratio) => signClass(isNumber(ratio) ? ratio * 100 : ratio);

const CURRENT_COLUMNS = 3;

/**
 * The value that holds now: the newest of the last columns. A series that ended earlier has none.
 * @param {(number | null)[]} values
 */
export function current(values) {
  for (const value of values.slice(-CURRENT_COLUMNS).reverse()) if (value !== null) return value;
  return null;
}
