// The API's words in a person's.

import { seconds } from "./time.js";

/** `rate_limited` → `rate limited`. */
export const plain = (word) => String(word ?? "").replaceAll("_", " ");

/** A lane's name: requests may name no model, and `*` is the lane that models share. */
export const model = (name) => (name === null || name === "" ? "no model named" : name === "*" ? "other models" : name);

const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const WHOLE = new Intl.NumberFormat("en");

/** `1.2K`. */
export const short = (number) => (number < 10000 ? WHOLE.format(number) : COMPACT.format(number));
export const whole = (number) => WHOLE.format(number);

const UNITS = { requests: "req", input_tokens: "tok in", output_tokens: "tok out", tokens: "tok", images: "img" };

/** What a limit counts: `req/min`. */
export function limit({ unit, span }) {
  const word = UNITS[unit] ?? plain(unit);
  if (span === "day") return `${word}/day`;
  const length = seconds(span.sliding);
  if (length === 60) return `${word}/min`;
  return length % 60 === 0 ? `${word}/${length / 60} min` : `${word}/${length} s`;
}

/** The state of a key: its class and what is shown. */
export const STATES = {
  ready: "ready",
  partly: "partly ready",
  busy: "busy",
  resting: "resting",
  disabled: "disabled",
  absent: "not in use",
};

/** Of a verdict: good, limited, other (nobody's fault here), bad. */
export function kindOf(verdict) {
  if (verdict === "success") return "good";
  if (verdict === "rate_limited" || verdict === "quota_exhausted") return "limited";
  if (verdict === "caller_fault" || verdict === "cancelled" || verdict === "unjudged") return "other";
  return "bad";
}
