// The pool in a few numbers.

import { inPool, post } from "./api.js";
import { act } from "./dialog.js";
import { by, element, keep, mark, say, show } from "./element.js";
import { rest } from "./rests.js";
import { long } from "./time.js";
import { plain, short, whole } from "./words.js";

const bytes = (all) => (all < 1048576 ? `${Math.ceil(all / 1024)} KiB` : `${(all / 1048576).toFixed(1)} MiB`);

let changed = () => {};

/** `again`: something was changed, all is to be looked at again. */
export const ready = (again) => (changed = again);

/** Has the keys of an exit used again. */
function lift(name) {
  const work = async () => {
    const told = await post(inPool(`/exits/lift?exit=${encodeURIComponent(name ?? "")}`));
    changed();
    return `${name ? `the exit ${name}` : "the usual way out"} is used again, ${told.acts}`;
  };
  return element("button", { type: "button", on: { click: (event) => act(event.currentTarget, work) } }, "Use it again");
}

export function tell(told) {
  const pool = told.snapshot;
  say(by("process"), `${told.name} · ${told.version} · up ${long(told.uptime_seconds)} · ${told.database ?? "no database"}`);
  const tiles = [
    ["Ready keys", `${whole(pool.available_keys)} of ${whole(pool.total_keys)}`, pool.available_keys === 0 && pool.total_keys > 0 ? "bad" : "good"],
    ["Resting", whole(pool.resting_keys), pool.resting_keys > 0 ? "limited" : null],
    ["Disabled", whole(pool.disabled_keys), pool.disabled_keys > 0 ? "bad" : null],
    ["In flight", whole(pool.in_flight), null],
    ["Waiting", whole(pool.waiters), pool.waiters > 0 ? "limited" : null],
    ["Requests / min", short(pool.requests_last_minute), null],
    ["429s / min", short(pool.limit_hits_last_minute), pool.limit_hits_last_minute > 0 ? "limited" : null],
    ["Exhausted", short(pool.exhausted), pool.exhausted > 0 ? "bad" : null],
    ["Memory of the pool", bytes(pool.total_memory_bytes), null],
  ];
  if (pool.sharing) tiles.push(["Sharing", plain(pool.sharing.state), `word ${pool.sharing.state === "connected" ? "good" : "bad"}`]);
  const make = ([name]) => element("div", {}, element("dt", {}, name), element("dd"));
  keep(by("summary"), tiles, ([name]) => name, make, (node, [, value, kind]) => {
    say(node.lastChild, value);
    mark(node, "class", kind);
  });
  const resting = (pool.exits || []).filter((exit) => exit.rest);
  by("exit").hidden = !resting.length;
  const said = ({ name, keys, rest: held }) => [`${short(keys)} keys of ${name ? `the exit ${name}` : "the usual way out"} are not used: it rests. `, rest(held), lift(name), " "];
  const all = pool.exit_rest ? ["No key is used: the way out rests. ", rest(pool.exit_rest), resting.map(({ name }) => lift(name))] : resting.flatMap(said);
  show(by("exit"), resting.length ? all : null);
}

/** The pools to choose from. */
export function pools(told) {
  by("pools").hidden = told.pools.length < 2;
  const choice = by("pool");
  keep(choice, told.pools, (name) => name, (name) => element("option", { value: name }, name));
}
