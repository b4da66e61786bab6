// The table of keys: as the running pool has them, with what the database knows of each.

import { bars, given, lanesOf } from "./bars.js";
import { by, element, keep, mark, say, show } from "./element.js";
import { reasons } from "./rests.js";
import { STATES, model, plain, short } from "./words.js";

const PAGE = 50;
const COLUMNS = [
  ["State", (row) => Object.keys(STATES).indexOf(stateOf(row))],
  ["Key", (row) => row.id],
  ["Order", (row) => row.view?.priority ?? row.stand?.priority ?? 0],
  ["In flight", (row) => -(row.view?.in_flight ?? 0)],
  ["Limits", (row) => -tightest(row)],
  ["Why not, until when, what to do", null],
  ["Served", (row) => -(row.view?.started ?? 0)],
  ["Actions", null],
];

/** States as the list knows them. */
const LISTED = { ready: "usable", partly: "partly", resting: "resting", disabled: "disabled" };

const stateOf = (row) => row.view?.state ?? (row.stand?.state === "disabled" ? "disabled" : "absent");
const partOf = (held) => (held.limit.amount > 0 ? held.used / held.limit.amount : 1);
const tightest = (row) => Math.max(0, ...lanesOf(row).flatMap((lane) => lane.limits.map(partOf)));

/** The keys as they were last told, by name. */
const known = new Map();
let rows = [];
let total = 0;
let order = 2;
let backwards = false;
let page = 0;
/** The pool is too large to be told whole: pages come from the list. */
let paged = false;
/** What its provider is called, where there are several. */
let provider = null;
let actions = {};
let turned = () => {};

export const row = (id) => known.get(id);
export const owners = () => [...new Set(rows.map((found) => found.view?.owner ?? found.stand?.owner).filter(Boolean))];
/** What the list is asked for where it comes in pages. */
export function asked() {
  const state = LISTED[by("state").value];
  return `offset=${page * PAGE}&limit=${PAGE}${state ? `&state=${state}` : ""}`;
}

/** `actions`: test, toggle and open, each told the key's name and the button. `again`: another page is wanted. */
export function ready(given, again) {
  actions = given;
  turned = again;
  const heads = COLUMNS.map(([name, rank], number) => {
    const inside = rank ? element("button", { class: "sort", on: { click: () => sort(number) } }, name) : name;
    return element("th", { scope: "col", role: "columnheader" }, inside);
  });
  const caption = element("caption", { class: "hidden" }, "Keys of the pool");
  const table = by("key-table");
  mark(table, "role", "table");
  table.append(caption, element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, heads)));
  table.append(element("tbody", { role: "rowgroup" }));
  for (const name of ["find", "state"]) by(name).addEventListener("input", () => ((page = 0), draw()));
  // A list that comes in pages is not looked through here: a name is asked for as a whole.
  by("state").addEventListener("input", () => paged && turned());
  by("find").addEventListener("keydown", (event) => {
    if (paged && event.key === "Enter" && by("find").value) actions.open(by("find").value.trim());
  });
  by("before").addEventListener("click", () => turn(-1));
  by("after").addEventListener("click", () => turn(1));
  sort(order);
}

function sort(number) {
  backwards = number === order && !backwards && rows.length > 0;
  order = number;
  by("key-table")
    .querySelectorAll("th")
    .forEach((head, n) => mark(head, "aria-sort", n === order ? (backwards ? "descending" : "ascending") : null));
  draw();
}

function turn(pages) {
  page = Math.max(0, page + pages);
  draw();
  if (paged) turned();
}

/** These are the keys: views of the pool, and what the database says, by name. */
export function tell(views, stands, all) {
  paged = false;
  total = all;
  const found = new Map(views.map((view) => [view.id, { id: view.id, view, stand: stands?.get(view.id) ?? null }]));
  for (const [id, stand] of stands ?? []) {
    if (!found.has(id)) found.set(id, { id, view: stand.live ?? null, stand });
  }
  known.clear();
  for (const [id, held] of found) known.set(id, held);
  rows = [...found.values()];
  draw();
}

/** A pool that is too large: only this page of the list. */
export function tellPage(list, all) {
  paged = true;
  total = all;
  known.clear();
  rows = list.map((stand) => ({ id: stand.id, view: stand.live ?? null, stand }));
  for (const held of rows) known.set(held.id, held);
  draw();
}

/** Whose keys they are: the gateway's own, or another provider's; the provider is named where there are several. */
export function ofPool(name, among, kind) {
  provider = among.length > 1 ? (name === "main" ? kind : `${name} (${kind})`) : null;
}

function matches(row, words, state) {
  if (paged) return true;
  if (state && stateOf(row) !== state) return false;
  if (words.length === 0) return true;
  const labels = Object.entries(row.view?.labels ?? {}).flat();
  const text = [row.id, row.view?.owner, row.stand?.owner, row.stand?.source, ...labels].join(" ").toLowerCase();
  return words.every((word) => text.includes(word));
}

function draw() {
  const words = by("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  const fitting = rows.filter((row) => matches(row, words, by("state").value));
  const rank = COLUMNS[order][1];
  const way = backwards ? -1 : 1;
  const compare = (a, b) => {
    const [one, other] = [rank(a), rank(b)];
    return way * (one < other ? -1 : one > other ? 1 : 0) || (a.id < b.id ? -1 : 1);
  };
  if (!paged) fitting.sort(compare);
  // The list does not know how many a key carries now.
  by("state").querySelector("[value=busy]").disabled = paged;
  mark(by("find"), "placeholder", paged ? "whole name, then Enter" : "name, owner, label");
  const count = paged ? total : fitting.length;
  const pages = Math.max(1, Math.ceil(count / PAGE));
  page = Math.min(page, pages - 1);
  const shown = paged ? fitting : fitting.slice(page * PAGE, (page + 1) * PAGE);
  keep(by("key-table").tBodies[0], shown, (row) => row.id, make, update);
  say(by("keys-count"), count === total ? `${total}` : `${count} of ${total}`);
  say(by("page"), `page ${page + 1} of ${pages}`);
  by("before").parentElement.hidden = pages === 1;
  by("before").disabled = page === 0;
  by("after").disabled = page === pages - 1;
}

function make(row) {
  const cells = COLUMNS.map(([name]) => {
    const tag = name === "Key" ? "th" : "td";
    const more = tag === "th" ? { scope: "row", role: "rowheader" } : { role: "cell", class: name === "Actions" ? "acts" : null };
    return element(tag, { "data-label": name, ...more });
  });
  const button = (word, act, label) =>
    element("button", { "aria-label": `${label ?? word} ${row.id}`, on: { click: (event) => act(row.id, event.target) } }, word);
  cells[1].append(element("button", { class: "name", on: { click: () => actions.open(row.id) } }, row.id), element("div"));
  cells[7].append(button("Test", actions.test), button("Disable", actions.toggle), button("More", actions.open, "More about"));
  return element("tr", { role: "row" }, cells);
}

function update(node, row) {
  const { view, stand } = row;
  const [state, name, place, flight, limits, why, served, acts] = node.cells;
  const is = stateOf(row);
  mark(node, "data-state", is);
  show(state, element("span", { class: `state ${is}` }, STATES[is]));
  const chips = [
    [provider, "provider"],
    [view?.tier ?? stand?.tier, "tier"],
    [view?.owner ?? stand?.owner, "owner"],
    [stand?.source, "source"],
    ...Object.entries(view?.labels ?? {}).filter(([label]) => label !== "source").map(([label, value]) => [value, label]),
  ];
  show(
    name.lastChild,
    chips.filter(([value]) => value).map(([value, label]) => element("span", { class: "chip", title: label }, `${label} ${plain(value)}`)),
  );
  const weight = view?.weight ?? stand?.weight ?? 1;
  const now = view && Math.abs(view.current_weight - weight) > 0.005 ? ` → ${view.current_weight.toFixed(2)}` : "";
  show(place, `priority ${view?.priority ?? stand?.priority ?? 0}`, element("div", { class: "quiet" }, `weight ${+weight.toFixed(3)}${now}`));
  say(flight, view ? (view.max_concurrent ? `${view.in_flight}/${view.max_concurrent}` : view.in_flight) : "–");
  const lanes = lanesOf(row).filter((lane) => lane.limits.length > 0);
  lanes.sort((a, b) => Math.max(...b.limits.map(partOf)) - Math.max(...a.limits.map(partOf)));
  const told = lanes.slice(0, 2).map((lane) => [element("div", { class: "lane" }, model(lane.model)), bars(lane.limits, model(lane.model))]);
  const more = lanes.length > 2 ? element("div", { class: "quiet" }, `and ${lanes.length - 2} more`) : null;
  const unused = given(stand);
  const none = unused.length ? unused : element("span", { class: "quiet" }, "none known");
  show(limits, told.length ? [told, more] : none);
  const because = view ? reasons(view) : [];
  const lasting = is === "disabled" || stand?.state === "faulty";
  const reason = lasting && stand?.reason && because.length === 0 ? stand.reason : null;
  const rest = because.length > 3 ? element("div", { class: "quiet" }, `and ${because.length - 3} more`) : null;
  show(why, because.length ? [because.slice(0, 3), rest] : (reason ?? element("span", { class: "quiet" }, view ? "–" : stand?.reason || "–")));
  show(served, ...servedOf(view, stand));
  say(acts.children[1], is === "disabled" ? "Enable" : "Disable");
  mark(acts.children[1], "aria-label", `${is === "disabled" ? "Enable" : "Disable"} ${row.id}`);
}

function servedOf(view, stand) {
  if (!view) return [element("span", { class: "quiet" }, "–")];
  const parts = [element("div", { class: "good" }, `${short(view.succeeded)} good`)];
  if (view.limit_hits) parts.push(element("div", { class: "limited" }, `${short(view.limit_hits)} limited`));
  if (view.failed) parts.push(element("div", { class: "bad" }, `${short(view.failed)} failed`));
  if (stand?.used_today) parts.push(element("div", { class: "quiet" }, `${short(stand.used_today)} today`));
  return parts;
}

/** Whether a key is switched off. */
export const isOff = (row) => Boolean(row) && stateOf(row) === "disabled";
