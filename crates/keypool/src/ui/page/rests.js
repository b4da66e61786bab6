// Why a key or a lane may not be used now, until when, and what a person can do.

import { element } from "./element.js";
import { ends, long, seconds } from "./time.js";
import { model, plain } from "./words.js";

/** How long it still lasts, counted down. */
export function left(duration) {
  const time = seconds(duration);
  if (time === null) return element("span", { class: "time" }, "until switched on");
  return element("span", { class: "time", "data-ends": ends(time) }, long(time));
}

/** One rest: time, reason, advice. */
export function rest(held) {
  const reason = held.kind === "unjudged" ? "switched off by hand" : plain(held.kind);
  const scope = held.scope === "key" ? "" : ` (${plain(held.scope)})`;
  const probe = seconds(held.probe_in);
  return element(
    "div",
    { class: `rest ${held.ends_in ? "passing" : "lasting"}` },
    left(held.ends_in),
    " ",
    element("strong", {}, `${reason}${scope}`),
    held.code ? ` ${held.code}` : null,
    held.model ? ` · ${held.model}` : null,
    held.held ? " · held until it is clear whose fault it is" : null,
    probe === null ? null : [" · tried again in ", element("span", { "data-ends": ends(probe) }, long(probe))],
    held.advice ? element("div", { class: "advice" }, held.advice) : null,
  );
}

/** A lane in which a key waits, without a rest of its own. */
export function out(lane) {
  const time = seconds(lane.ready_in);
  return element(
    "div",
    { class: "rest passing" },
    time === null ? null : [element("span", { class: "time", "data-ends": ends(time) }, long(time)), " "],
    `${model(lane.model)}: ${lane.out}`,
  );
}

/** All of a key's. What a rest says of a lane is not said twice. */
export function reasons(view) {
  const said = view.rests.map(rest);
  if (view.state === "disabled") return said;
  const whole = view.rests.some((held) => held.model === null);
  const resting = new Set(view.rests.map((held) => held.model));
  const lanes = whole ? [] : view.lanes.filter((lane) => lane.out && !resting.has(lane.model));
  return [...said, ...lanes.map(out)];
}
