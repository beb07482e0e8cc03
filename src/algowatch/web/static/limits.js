// Limits come from the alert rules that watch a family, so that a line in a chart is where the telephone rings.

import { parse as parseSeverity, rank } from "./severity.js";

/** @typedef {{value: number, severity: string, alert: string, above: boolean}} Limit */

const COMPARISON = /^(.+?)\s*(>=|<=|>|<)\s*(-?[0-9]*\.?[0-9]+(?:e[-+]?[0-9]+)?)\s*(?:(?:and|unless)\b.*)?$/is;

/**
 * Limits that rules of the shape `family{…} > number` set, aggregated or not, the mildest severity first; conditions that
 * follow (`and …`, `unless …`) only narrow when it fires. Rules of any other shape are not limits and are left out.
 * @param {import("./api.js").Rule[]} rules @param {string} family
 * @returns {Limit[]}
 */
export function limitsOf(rules, family) {
  const limits = rules.flatMap((rule) => {
    if (rule.type !== "alerting" || !rule.query) return [];
    const found = COMPARISON.exec(rule.query);
    if (!found || !mentionsOnly(found[1], family)) return [];
    const severity = parseSeverity(rule.labels?.severity ?? "");
    return [{ value: Number(found[3]), severity, alert: rule.name, above: found[2].startsWith(">") }];
  });
  return limits.sort((a, b) => rank(a.severity) - rank(b.severity));
}

/** @param {string} expression @param {string} family */
function mentionsOnly(expression, family) {
  const bare = expression.replace(/\{[^}]*\}/g, "").replace(/^\s*\(([^()]*)\)\s*$/, "$1").trim();
  return bare === family || new RegExp(`^(max|min|sum|avg)\\s*((by|without)\\s*\\([^)]*\\)\\s*)?\\(\\s*${family}\\s*\\)$`).test(bare);
}
