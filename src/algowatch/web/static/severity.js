// Severities: one scale, info < warning < error < critical, with the spellings that alert rules use.

export const SEVERITIES = /** @type {const} */ (["critical", "error", "warning", "info"]);

/** @type {Record<string, string>} */
const SPELLINGS = { p0: "critical", p1: "error", high: "error", p2: "warning", medium: "warning" };

/**
 * An unknown word counts as a warning, so that it is not overlooked.
 * @param {string | undefined} text
 */
export function parse(text) {
  const word = (text ?? "").toLowerCase();
  const severity = SPELLINGS[word] ?? word;
  return SEVERITIES.some((known) => known === severity) ? severity : "warning";
}

/**
 * 0 for info to 3 for critical.
 * @param {string} severity
 */
export const rank = (severity) => SEVERITIES.length - 1 - SEVERITIES.findIndex((known) => known === severity);
