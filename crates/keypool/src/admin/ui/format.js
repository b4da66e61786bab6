// Formats values as text. Nothing here touches the page.

const two = (number) => String(number).padStart(2, "0");

/** `42 s`, `3 min`, `2 h 10 min`, `3 d 4 h`. */
export function duration(seconds) {
  const all = Math.max(0, Math.ceil(seconds));
  if (all < 120) return `${all} s`;
  if (all < 7200) return `${Math.ceil(all / 60)} min`;
  if (all < 172800) return `${Math.floor(all / 3600)} h ${two(Math.floor((all % 3600) / 60))} min`;
  return `${Math.floor(all / 86400)} d ${Math.floor((all % 86400) / 3600)} h`;
}

/** `950`, `12.3k`, `4.1M`. */
export function short(number) {
  if (number < 10000) return String(number);
  const [value, unit] = number < 1e6 ? [number / 1e3, "k"] : number < 1e9 ? [number / 1e6, "M"] : [number / 1e9, "G"];
  return `${value < 100 ? value.toFixed(1) : Math.round(value)}${unit}`;
}

/** `10:30:45`, with the date if it is not today. */
export function clock(ms, now = Date.now()) {
  const at = new Date(ms);
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return at.toDateString() === new Date(now).toDateString() ? time : `${two(at.getMonth() + 1)}-${two(at.getDate())} ${time}`;
}

export const milliseconds = (ms) => (ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(ms < 10000 ? 2 : 1)} s`);

/** Returns a part of a whole in percent, 0 to 100. */
export const percent = (part, whole) => (whole <= 0 ? 100 : Math.min(100, Math.max(0, (100 * part) / whole)));

/** `99.2 %`; a dash if there are none at all. */
export const rate = (good, all) => (all === 0 ? "–" : `${good === all ? 100 : Math.min(99.9, (100 * good) / all).toFixed(1)} %`);

const UNITS = { requests: "requests", input_tokens: "prompt tokens", output_tokens: "output tokens", tokens: "tokens" };

/** `requests per minute` */
export const limitName = (limit) =>
  `${UNITS[limit.unit] ?? limit.unit} ${["minute", "day"].includes(limit.span) ? `per ${limit.span}` : `in ${limit.span}`}`;

export const STATES = {
  usable: ["usable", "good"],
  partly: ["partly usable", "limited"],
  cooling: ["cooling", "limited"],
  half_open: ["on trial", "limited"],
  disabled: ["disabled", "bad"],
};

export const RESULTS = {
  good: ["served", "good"],
  caller: ["caller error", "other"],
  unavailable: ["no key", "limited"],
  failed: ["failed", "bad"],
};

export const words = (name) => String(name ?? "").replaceAll("_", " ");

/** Returns three texts about an open breaker: its target and state, the reason, and advice. */
export function why(breaker) {
  const state = { cooling: "is cooling", half_open: "is on trial", disabled: "is disabled" }[breaker.state] ?? breaker.state;
  const left = breaker.state === "cooling" && breaker.seconds_left !== null ? `for ${duration(breaker.seconds_left)}` : "";
  const reasons = [breaker.class && words(breaker.class), breaker.reason].filter(Boolean);
  return { what: `${breaker.target} ${state} ${left}`.trim(), reason: reasons.join(": "), advice: breaker.advice ?? "" };
}

/** Returns the open breakers of a key's `project`, or all others that cover the `key`. */
export const breakersOf = (kind, key) => key.breakers.filter(({ scope }) => scope.startsWith("project") === (kind === "project"));

/** Groups limits by model, without those of unknown models that are not used. */
export function byModel(limits) {
  const models = Map.groupBy(limits, ({ model }) => model);
  if (models.get("*")?.every((limit) => limit.used === 0)) models.delete("*");
  return models;
}

/** Sums the limits of each model over all projects of these keys. Only the first key of a project has limits. */
export function sumLimits(keys) {
  const models = new Map();
  for (const { limits: all } of keys) {
    for (const [model, limits] of byModel(all)) {
      const entry = models.get(model) ?? { model, projects: 0, limits: new Map() };
      entry.projects += 1;
      for (const limit of limits) {
        const name = `${limit.unit} ${limit.span}`;
        const sum = entry.limits.get(name) ?? { ...limit, limit: 0, used: 0, sources: new Set() };
        sum.limit += limit.limit;
        sum.used += limit.used;
        sum.sources.add(limit.source);
        entry.limits.set(name, sum);
      }
      models.set(model, entry);
    }
  }
  return [...models.values()].sort((a, b) => a.model.localeCompare(b.model));
}
