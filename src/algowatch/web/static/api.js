// Typed client of the Prometheus HTTP API and of the two endpoints that only algowatch has.
// Columns stay columns: a range is one array of times and one array of values per series, and a gap is null, never 0.

/** @typedef {Record<string, string>} Labels */
/** @typedef {{labels: Labels, time: number, value: number}} Sample */
/** @typedef {Sample[]} Vector */
/** @typedef {{labels: Labels, values: (number | null)[]}} RangeSeries */
/** @typedef {{times: number[], series: RangeSeries[]}} Range */
/** @typedef {{labels: Labels, annotations: Labels, state: string, activeAt: string, value?: string}} RuleAlert */
/** @typedef {{name: string, query?: string, type: string, labels?: Labels}} Rule */
/** @typedef {{name: string, file: string, rules: Rule[]}} RuleGroup */
/**
 * @typedef {object} Target
 * @property {Labels} labels
 * @property {string} health
 * @property {string} lastError
 * @property {string} lastScrape
 * @property {string} scrapePool
 */
/**
 * @typedef {object} ReceivedAlert One element of Alertmanager's GET /api/v2/alerts.
 * @property {Labels} labels
 * @property {Labels} annotations
 * @property {string} startsAt
 * @property {{state: string, silencedBy: string[], inhibitedBy: string[]}} status
 */
/**
 * @typedef {object} Notification One alert of one delivered (or failed) message.
 * @property {string | number} id
 * @property {"firing" | "resolved"} status
 * @property {Labels} labels
 * @property {Labels} annotations
 * @property {string} receiver
 * @property {string} integration
 * @property {string} activeAt
 * @property {string} startsAt
 * @property {string | null} endsAt
 * @property {string | null} deliveredAt
 * @property {number | null} delaySeconds
 * @property {number} attempts
 * @property {string | null} error
 */

export class ApiError extends Error {
  /** @param {string} message @param {number} status 0 where the server was not reached @param {string} [errorType] */
  constructor(message, status, errorType = "") {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.errorType = errorType;
  }
}

/**
 * "NaN", "+Inf" and "-Inf" are Prometheus's spellings.
 * @param {string} text
 */
export function parseValue(text) {
  if (text === "+Inf" || text === "Inf") return Infinity;
  if (text === "-Inf") return -Infinity;
  return Number(text);
}

/**
 * @param {{resultType: string, result: any}} data of /api/v1/query or of one live result
 * @returns {Vector}
 */
export function toVector(data) {
  if (data.resultType === "scalar") return [{ labels: {}, time: Number(data.result[0]), value: parseValue(data.result[1]) }];
  if (data.resultType !== "vector") throw new ApiError(`an instant vector was expected, not a ${data.resultType}`, 200);
  return data.result.map((/** @type {any} */ element) => ({
    labels: element.metric,
    time: Number(element.value[0]),
    value: parseValue(element.value[1]),
  }));
}

/**
 * Align a matrix on the grid of the question; NaN and infinities are gaps in a drawing.
 * @param {{metric: Labels, values: [number, string][]}[]} matrix
 * @param {number} start @param {number} end @param {number} step seconds
 * @returns {Range}
 */
export function toRange(matrix, start, end, step) {
  const size = Math.floor((end - start) / step + 1e-6) + 1;
  const times = Array.from({ length: size }, (_, index) => start + index * step);
  const series = matrix.map(({ metric, values }) => {
    /** @type {(number | null)[]} */
    const column = new Array(size).fill(null);
    for (const [time, text] of values) {
      const value = parseValue(text);
      if (Number.isFinite(value)) column[Math.round((time - start) / step)] = value;
    }
    return { labels: metric, values: column };
  });
  return { times, series };
}

/**
 * A stable name for a label set, for joining and for keys.
 * @param {Labels} labels
 */
export function labelKey(labels) {
  return JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
}

export class Api {
  /** @param {string} [base] address of the server, "" for the page's own @param {typeof fetch} [transport] */
  constructor(base = "", transport = (...request) => fetch(...request)) {
    this.base = base;
    this.transport = transport;
  }

  /**
   * @param {string} path @param {Record<string, string | number>} [parameters] @param {AbortSignal} [signal]
   * @returns {Promise<any>} the body; raises ApiError for an unreachable server, a bad status or a body that is not JSON
   */
  async json(path, parameters = {}, signal) {
    const query = new URLSearchParams(Object.entries(parameters).map(([name, value]) => [name, String(value)])).toString();
    /** @type {Response} */
    let response;
    try {
      response = await this.transport(`${this.base}${path}${query ? `?${query}` : ""}`, { signal, cache: "no-store" });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new ApiError("the engine does not answer", 0);
    }
    const body = await response.json().catch(() => null);
    if (!response.ok) {
      const said = typeof body === "string" ? body : (body?.error ?? body?.message);
      throw new ApiError(said ?? `${path}: ${response.status}`, response.status, body?.errorType);
    }
    if (body === null) throw new ApiError(`${path}: the answer is not JSON`, response.status);
    return body;
  }

  /**
   * The status of an answer whose body may never end; 0 where the server was not reached.
   * @param {string} path @param {Record<string, string>} parameters
   */
  async status(path, parameters) {
    const abort = new AbortController();
    try {
      return (await this.transport(`${this.base}${path}?${new URLSearchParams(parameters)}`, { signal: abort.signal })).status;
    } catch {
      return 0;
    } finally {
      abort.abort();
    }
  }

  /** @param {string} path @param {Record<string, string | number>} [parameters] @param {AbortSignal} [signal] */
  async data(path, parameters, signal) {
    return (await this.json(path, parameters, signal)).data;
  }

  /** @param {string} expression @param {AbortSignal} [signal] @returns {Promise<Vector>} */
  async instant(expression, signal) {
    return toVector(await this.data("/api/v1/query", { query: expression }, signal));
  }

  /**
   * Both ends are inclusive; all in seconds.
   * @param {string} expression @param {number} start @param {number} end @param {number} step @param {AbortSignal} [signal]
   * @returns {Promise<Range>}
   */
  async range(expression, start, end, step, signal) {
    const data = await this.data("/api/v1/query_range", { query: expression, start, end, step }, signal);
    return toRange(data.result, start, end, step);
  }

  /** @returns {Promise<RuleAlert[]>} pending and firing alerts of the rules */
  async alerts() {
    return (await this.data("/api/v1/alerts")).alerts;
  }

  /** @returns {Promise<ReceivedAlert[]>} what notification holds as active, alerts raised by a bot itself included */
  async receivedAlerts() {
    return this.json("/api/v2/alerts", { active: "true", silenced: "true", inhibited: "true" });
  }

  /** @returns {Promise<RuleGroup[]>} */
  async rules() {
    return (await this.data("/api/v1/rules")).groups;
  }

  /** @returns {Promise<Target[]>} */
  async targets() {
    return (await this.data("/api/v1/targets", { state: "active" })).activeTargets;
  }

  /**
   * Newest first.
   * @param {number} limit @returns {Promise<Notification[]>}
   */
  async notifications(limit) {
    return this.data("/api/notifications", { limit });
  }
}
