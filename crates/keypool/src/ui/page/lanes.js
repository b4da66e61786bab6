// The table of lanes: a model's order of keys each.

import { bar } from "./bars.js";
import { element } from "./element.js";
import { rest } from "./rests.js";
import { table } from "./table.js";
import { limit, model, short } from "./words.js";

let keys = 0;
let draw;

export function ready() {
  draw = table(
    "lane-table",
    "Lanes",
    [
      ["Lane", (lane) => [element("strong", {}, model(lane.model)), lane.confirmed ? null : element("div", { class: "quiet" }, "not confirmed")]],
      ["Ready keys", (lane) => `${lane.available_keys} of ${keys}`],
      ["In flight", (lane) => String(lane.in_flight)],
      ["Waiting", (lane) => String(lane.waiters)],
      ["Started", (lane) => short(lane.started)],
      ["Spilled", (lane) => short(lane.spilled)],
      ["Limits of all owners", (lane) => lane.limits.map((held) => bar(held.used, held.amount, limit(held), model(lane.model)))],
      ["Rest", (lane) => (lane.rest ? rest(lane.rest) : "–")],
    ],
    { none: "no request named a model yet" },
  );
}

export function tell(snapshot) {
  keys = snapshot.total_keys;
  const lanes = [...snapshot.lanes].sort((a, b) => b.started - a.started);
  draw(lanes, (lane) => `${lane.model === null ? "0" : "1"}${lane.model}`);
}
