// The heat map: what was used on each day, by key, model or tenant.

import { get } from "./api.js";
import { by, element, mark, say } from "./element.js";
import { model, short, whole } from "./words.js";

const MOST = 40;
const DAY = 86400000;

const dateOf = (ms) => new Date(ms).toISOString().slice(0, 10);

export function ready() {
  mark(by("heat"), "class", "heat");
  for (const id of ["usage-by", "usage-days"]) by(id).addEventListener("change", look);
}

export async function look() {
  const [kind, days] = [by("usage-by").value, Number(by("usage-days").value)];
  const from = dateOf(Date.now() - days * DAY);
  // A day ends elsewhere, and the last one there may be yesterday's here: one more is asked for than is shown.
  try {
    draw(await get(`/usage?by=${kind}&from=${from}&to=today`), kind, days);
  } catch (refused) {
    by("heat").replaceChildren();
    say(by("usage-news"), refused.code === "no_database" ? `${refused.message}. Choose “tenant”.` : refused.message);
  }
}

function draw(told, kind, wanted) {
  let days = [];
  const last = Date.parse(told.to);
  for (let day = Date.parse(told.from); day <= last && days.length < 40; day += DAY) days.push(dateOf(day));
  days = days.slice(-wanted);
  const rows = new Map();
  const sum = { requests: 0, input: 0, output: 0 };
  for (const line of told.rows) {
    if (!days.includes(line.day)) continue;
    sum.requests += line.requests;
    sum.input += line.input_tokens;
    sum.output += line.output_tokens;
    const name = kind === "model" ? model(line.model) : line[kind];
    const held = rows.get(name) ?? { total: 0, days: new Map() };
    const cell = held.days.get(line.day) ?? { requests: 0, bad: 0, tokens: 0 };
    const errors = line.failed ?? Object.values(line.errors ?? {}).reduce((sum, number) => sum + number, 0);
    cell.requests += line.requests;
    cell.bad += errors;
    cell.tokens += line.input_tokens + line.output_tokens;
    held.total += line.requests;
    held.days.set(line.day, cell);
    rows.set(name, held);
  }
  const sorted = [...rows].sort(([a, one], [b, other]) => other.total - one.total || (a < b ? -1 : 1));
  const shown = sorted.slice(0, MOST);
  const most = Math.max(1, ...shown.flatMap(([, held]) => [...held.days.values()].map((cell) => cell.requests)));
  const head = element("tr", {}, element("th", { scope: "col" }, kind), days.map((day) => element("th", { scope: "col", title: day }, day.slice(5))), element("th", { scope: "col" }, "total"));
  const lines = shown.map(([name, held]) =>
    element("tr", {}, element("th", { scope: "row" }, name), days.map((day) => cellOf(name, day, held.days.get(day), most)), element("td", { class: "sum" }, short(held.total))),
  );
  const caption = element("caption", { class: "hidden" }, `Requests by ${kind} and day`);
  by("heat").replaceChildren(caption, element("thead", {}, head), element("tbody", {}, lines));
  const left = sorted.length > MOST ? ` ${sorted.length - MOST} more are not shown.` : "";
  const text = `${whole(sum.requests)} requests, ${short(sum.input)} tokens in, ${short(sum.output)} out from ${days[0]} to ${told.to}.`;
  say(by("usage-news"), shown.length ? `${text}${left}` : "Nothing was used in these days.");
}

function cellOf(name, day, cell, most) {
  if (!cell) return element("td", { class: "none" });
  const about = `${name}, ${day}: ${whole(cell.requests)} requests, ${whole(cell.bad)} errors, ${short(cell.tokens)} tokens`;
  // Five shades by class: the eye tells no more apart, and the policy allows no style here.
  const shade = Math.max(1, Math.ceil(Math.sqrt(cell.requests / most) * 5));
  const bad = cell.bad > 0 && cell.bad * 10 >= cell.requests;
  return element("td", { class: `shade${shade}${bad ? " faults" : ""}`, title: about, "aria-label": about }, short(cell.requests));
}
