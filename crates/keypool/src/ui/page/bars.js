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

/** The bars of limits in a lane. */
export const bars = (limits, about) => limits.map((held) => bar(held.used, held.limit.amount, limit(held.limit), about));
