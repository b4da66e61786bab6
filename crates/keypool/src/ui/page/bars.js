// How much of a limit is used.

import { drawn, element } from "./element.js";
import { limit, short, whole } from "./words.js";

/** A bar for used of amount, with both as text. */
export function bar(used, amount, word, about) {
  const part = amount > 0 ? Math.min(1, used / amount) : 1;
  const level = part >= 1 ? "full" : part >= 0.8 ? "high" : "low";
  // Drawn, since the policy allows no style of an element's own.
  const track = drawn(
    "svg",
    { class: "meter", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
    drawn("rect", { class: "track", width: 100, height: 6 }),
    drawn("rect", { class: level, width: (part * 100).toFixed(1), height: 6 }),
  );
  const title = `${about}: ${whole(used)} of ${whole(amount)} ${word}`;
  return element("span", { class: "limit", title }, track, element("span", {}, `${short(used)}/${short(amount)} ${word}`));
}

/**
 * The lanes of a key with what is used of their limits: as this process knows it, or as the database has it of all
 * processes, whichever is more.
 */
export function lanesOf({ view, stand }) {
  const lanes = new Map();
  for (const lane of view?.lanes ?? []) {
    lanes.set(lane.model ?? "", { ...lane, limits: lane.limits.map((held) => ({ ...held })) });
  }
  const counts = ({ unit, span }) => `${unit} ${JSON.stringify(span)}`;
  for (const { model, limit, used } of stand?.windows ?? []) {
    const held = lanes.get(model)?.limits.find((held) => counts(held.limit) === counts(limit));
    if (held) held.used = Math.max(held.used, used);
    else if (!view?.lanes.some((lane) => (lane.model ?? "") === model)) {
      if (!lanes.has(model)) lanes.set(model, { model, limits: [] });
      lanes.get(model).limits.push({ limit, used });
    }
  }
  return [...lanes.values()];
}

/** What a key was given, of which nothing was used yet. */
export const given = (stand) =>
  Object.entries(stand?.limits ?? {}).map(([name, limits]) =>
    element("div", { class: "quiet" }, `${name === "*" ? "" : `${name}: `}${limits.join(", ")}`),
  );

/** The bars of limits in a lane. */
export const bars = (limits, about) => limits.map((held) => bar(held.used, held.limit.amount, limit(held.limit), about));
