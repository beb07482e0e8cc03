// Bots that are down, and what they exported last: a dead bot's positions are still open at the broker.

import { useAsked, useLive } from "../store.js";
import { BOT_UP } from "./strip.js";

const REMEMBERED = "1d";

/** The names of the bots that are down, sorted. */
export function useDown() {
  const { vector } = useLive(BOT_UP);
  return vector.filter(({ value }) => value !== 1).map(({ labels }) => labels.instance ?? "").sort();
}

/** @param {string} name @returns {string} a pattern that matches just this name, inside a PromQL string */
export function exactly(name) {
  return name.replace(/[\\^$.|?*+()[\]{}]/g, "\\$&").replace(/[\\"]/g, "\\$&").replaceAll("\n", "\\n");
}

/**
 * The last values of a family that bots exported before they went down, at most a day ago.
 * @param {string} family @param {string[]} down names of bots
 */
export function useLast(family, down) {
  return useAsked(down.length ? `last_over_time(${family}{instance=~"${down.map(exactly).join("|")}"}[${REMEMBERED}])` : "");
}
