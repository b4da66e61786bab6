// The pages: each function turns data of the API into nodes.

import { chart } from "./chart.js";
import { button, chip, el, table } from "./dom.js";
import { RESULTS, STATES, breakersOf, byModel, clock, duration, limitName, milliseconds, percent, rate, short, sumLimits, why, words } from "./format.js";

const tile = (name, value, kind = "", more = "") =>
  el("div", { class: kind || null }, el("dt", {}, name), el("dd", {}, value), more && el("dd", { class: "quiet more" }, more));

/** Creates a bar that shows how much of a limit is used, at most 100 %. */
export function bar(limit, sources = [limit.source]) {
  const part = percent(limit.used, limit.limit);
  const kind = sources.length && sources.every((source) => source === "assumed") ? "assumed" : part >= 100 ? "full" : part >= 80 ? "high" : "low";
  const name = limitName(limit);
  const over = limit.used > limit.limit ? "responses used more than was estimated" : "";
  return el("div", { class: "limit" },
    el("span", { class: "limit-name" }, name),
    el("progress", { class: kind, max: 100, value: part, "aria-label": name, title: over || null }),
    el("span", { class: "limit-used" }, `${short(limit.used)} / ${short(limit.limit)}`),
    sources.map((source) => el("span", { class: `source ${source}`, title: SOURCES[source] }, source)),
    limit.opens_in_seconds && limit.source !== "assumed" ? el("span", { class: "quiet" }, `opens in ${duration(limit.opens_in_seconds)}`) : null);
}

const SOURCES = {
  given: "set in the configuration",
  learned: "learned from the provider",
  assumed: "assumed from the table of known tiers: it affects the order of keys, but refuses no request",
};

function reasons(breakers) {
  return breakers.map((breaker) => {
    const { what, reason, advice } = why(breaker);
    return el("div", { class: "reason" }, el("strong", {}, what), reason && `: ${reason}`,
      advice && el("div", { class: "quiet" }, `What to do: ${advice}`));
  });
}

/** Shows the overview. `disabled`, `cooling` and `trial` are pages of the keys in these states. */
export function overview(snapshot, [disabled, cooling, trial], events, width) {
  const sum = (value) => snapshot.pools.reduce((all, pool) => all + value(pool), 0);
  const { good, caller, unavailable, failed } = snapshot.requests;
  const all = sum(({ stats }) => stats.keys);
  const out = cooling.total + trial.total;
  const usable = Math.max(0, all - disabled.total - out);
  const waiting = sum(({ stats }) => stats.waiting);
  const paused = snapshot.pools.filter(({ stats }) => stats.disabling_paused);
  // Keys of one project, billing account or exit have the same cause.
  const causes = new Map(snapshot.pools.flatMap((pool) => pool.breakers.map((breaker) => [`${pool.name} ${breaker.target}`, breaker])));
  for (const key of [disabled, cooling, trial].flatMap(({ keys }) => keys)) {
    const whole = key.breakers.filter(({ scope }) => !scope.endsWith("model"));
    for (const breaker of whole) causes.set(`${key.provider} ${breaker.target}`, breaker);
  }
  const list = [...causes.values()];
  return [
    paused.map((pool) => el("p", { class: "banner" },
      `${pool.name} refuses nearly every key: disabling is paused. This looks like an outage.`)),
    el("dl", { class: "tiles" },
      tile("Requests", short(good + caller + unavailable + failed), "", `${short(caller)} caller errors`),
      tile("Served", rate(good, good + unavailable + failed), failed + unavailable ? "limited" : "good",
        failed + unavailable ? `${short(unavailable)} without a key, ${short(failed)} failed` : "of valid requests"),
      tile("Keys usable", String(usable), usable ? "good" : "bad", `of ${all}`),
      tile("Cooling", String(out), out ? "limited" : ""),
      tile("Disabled", String(disabled.total), disabled.total ? "bad" : ""),
      tile("Waiting", String(waiting), waiting ? "limited" : "", "for a key"),
      tile("In flight", String(sum(({ stats }) => stats.in_flight)), "", "at providers"),
      tile("First byte", snapshot.latency ? milliseconds(snapshot.latency.median_ms) : "–", "",
        snapshot.latency ? `median; p95: ${milliseconds(snapshot.latency.p95_ms)}` : "")),
    el("div", { class: "panel" }, el("h2", {}, "The last ten minutes"), chart(snapshot.steps, Date.now(), width)),
    el("div", { class: "pair" },
      el("div", { class: "panel" }, el("h2", {}, "Not in use"),
        list.length ? reasons(list.slice(0, 8)) : el("p", { class: "quiet" }, "All keys are in use."),
        Math.max(list.length, disabled.total + out) > 8 && el("p", {}, el("a", { href: "#keys" }, "all keys"))),
      el("div", { class: "panel" }, el("h2", {}, "Last events"), eventList(events.slice(0, 8)))),
  ];
}

export function keys({ total, keys }, offset, page, database) {
  const groups = new Map();
  for (const key of keys) {
    const name = `${key.provider}/${key.project}`;
    groups.set(name, [...(groups.get(name) ?? []), key]);
  }
  const pools = new Set(keys.map((key) => key.provider));
  const open = groups.size <= 3 && innerWidth > 760;
  const parts = [...groups].map(([name, list]) => {
    const models = byModel(list[0].limits);
    const states = Object.keys(STATES).map((state) => [state, list.filter((key) => key.state === state).length]).filter(([, n]) => n);
    return el("details", { class: "panel project", "data-id": name, open },
      el("summary", {},
        el("span", { class: "name" }, list[0].project),
        pools.size > 1 && el("span", { class: "quiet" }, list[0].provider),
        states.map(([state, n]) => chip(`${n} ${STATES[state][0]}`, STATES[state][1])),
        total > page && el("span", { class: "quiet" }, "on this page"),
        el("span", { class: "quiet tightest" }, tightest(list[0].limits))),
      el("div", { class: "inside" },
        reasons(breakersOf("project", list[0])),
        [...models].map(([model, limits]) => el("div", { class: "model", "data-id": `model ${model}` },
          el("h3", {}, model === "*" ? "other models" : model), limits.map((limit) => bar(limit)))),
        models.size === 0 && el("p", { class: "quiet" }, "Its limits are not known yet."),
        table(`Keys of ${list[0].project}`, ["Key", "State", "Requests", "Actions"], list.map(keyRow), "")));
  });
  const pages = total > page && el("p", { class: "pages" },
    button("Previous", "page", { "data-offset": Math.max(0, offset - page), disabled: offset === 0 }),
    ` ${offset + 1} to ${offset + keys.length} of ${total} `,
    button("Next", "page", { "data-offset": offset + page, disabled: offset + page >= total }));
  return [
    !database && el("p", { class: "quiet" }, "There is no database: keys are listed in files and variables only."),
    keys.length === 0 && el("p", { class: "quiet empty" }, "No key matches."),
    parts, pages,
  ];
}

/** Returns a text about the limit that is closest to exhaustion. */
function tightest(limits) {
  const all = limits.toSorted((a, b) => percent(b.used, b.limit) - percent(a.used, a.limit));
  return all.length && all[0].used ? `${all[0].model}: ${short(all[0].used)} / ${short(all[0].limit)} ${limitName(all[0])}` : "";
}

function keyRow(key) {
  const data = { "data-key": key.id };
  const [word, kind] = STATES[key.state];
  const facts = [key.tier !== "unknown" && key.tier, key.priority > 0 && `priority ${key.priority}`, key.exit && `exit ${key.exit}`];
  return {
    id: key.id,
    cells: [
      [el("span", { class: "id" }, key.id), el("div", { class: "quiet" }, [key.label, ...facts].filter(Boolean).join(", "))],
      [chip(word, kind), reasons(breakersOf("key", key))],
      [`${short(key.succeeded)} succeeded, ${short(key.failed)} failed`, key.in_flight ? el("div", {}, `${key.in_flight} in flight`) : null],
      el("div", { class: "actions" },
        key.state === "usable" || key.state === "partly"
          ? button("Disable", "disable", data)
          : [button("Enable", "enable", data), key.state !== "disabled" && button("Disable", "disable", data)],
        button("Test", "test", data),
        key.in_database && [button("Replace", "replace", data), button("Remove", "remove", data, "danger")]),
    ],
  };
}

export function models({ keys, total }, shown) {
  const list = sumLimits(keys);
  return [
    el("p", { class: "quiet" }, list.length ? "Models without a known limit are not shown" : "No limit is known yet",
      ". Usage by model is on the page ", el("a", { href: "#usage" }, "Usage"), "."),
    total > shown && el("p", { class: "quiet" }, `Includes the first ${shown} keys only.`),
    el("div", { class: "grid" }, list.map(({ model, projects, limits }) =>
      el("div", { class: "panel", "data-id": model },
        el("h2", {}, model === "*" ? "other models" : model),
        el("p", { class: "quiet" }, `${projects} ${projects === 1 ? "project" : "projects"} together`),
        [...limits.values()].map((limit) => bar({ ...limit, opens_in_seconds: null }, [...limit.sources]))))),
  ];
}

export function usage({ today, rows }, by, days) {
  const dates = datesUpTo(today, days);
  const of = (row) => row.requests;
  if (by === "day") {
    const sums = new Map(rows.map((row) => [row.day, row]));
    const most = Math.max(1, ...rows.map(of));
    const none = { requests: 0, input_tokens: 0, output_tokens: 0 };
    const list = dates.map((day) => [day, sums.get(day) ?? none]);
    return el("div", { class: "panel" }, table("Usage by day", ["Day", "Requests", "Prompt tokens", "Output tokens"], list.map(([day, row]) => ({
      id: day,
      cells: [
        day === today ? "today" : day.slice(5),
        el("span", { class: "amount" }, el("progress", { class: "low", max: most, value: row.requests, "aria-hidden": "true" }), short(row.requests)),
        short(row.input_tokens), short(row.output_tokens),
      ],
    })), "", ""));
  }
  const totals = new Map();
  for (const row of rows) totals.set(row.name ?? "", (totals.get(row.name ?? "") ?? 0) + row.requests);
  const names = [...totals.keys()].sort((a, b) => totals.get(b) - totals.get(a));
  const cell = new Map(rows.map((row) => [`${row.day} ${row.name ?? ""}`, row]));
  const most = Math.max(1, ...rows.map(of));
  const head = el("thead", {}, el("tr", {}, el("th", { scope: "col" }, words(by)),
    dates.map((day) => el("th", { scope: "col" }, day === today ? "today" : day.slice(5))), el("th", { scope: "col" }, "all")));
  const body = names.map((name) => el("tr", { "data-id": name },
    el("th", { scope: "row" }, name || "–"),
    dates.map((day) => {
      const row = cell.get(`${day} ${name}`);
      const title = row && `${row.requests} requests, ${row.input_tokens} prompt and ${row.output_tokens} output tokens`;
      return el("td", { class: row ? `shade${Math.ceil((4 * row.requests) / most)}` : "none", title }, row ? short(row.requests) : "");
    }),
    el("td", { class: "sum" }, short(totals.get(name)))));
  if (names.length === 0) return el("p", { class: "quiet empty" }, by === "tenant" ? "No tenant has sent a request on these days." : "No requests on these days.");
  return el("div", { class: "panel" }, el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Requests by day" },
    el("table", { class: "heat" }, head, el("tbody", {}, body))));
}

function datesUpTo(today, days) {
  const last = Date.parse(`${today}T00:00:00Z`);
  return Array.from({ length: days }, (_, n) => new Date(last - n * 86400000).toISOString().slice(0, 10));
}

export function requests(list, kind, most) {
  const chosen = list.filter((record) => !kind || record.result === kind);
  const rows = chosen.slice(0, most).map((record) => {
    const [word, colour] = RESULTS[record.result];
    const last = record.attempts.at(-1);
    const attempts = record.attempts.map((attempt) => el("li", {},
      el("span", { class: "id" }, attempt.key), ` (${attempt.project})`, attempt.model && ` ${attempt.model}`, `, ${milliseconds(attempt.milliseconds)}: `,
      attempt.class ? `${words(attempt.class)}${attempt.status ? ` ${attempt.status}` : ""}` : "served",
      attempt.message && el("div", { class: "quiet" }, attempt.message)));
    const simple = record.attempts.length === 1 && record.result === "good";
    return {
      id: `${record.id} ${record.at_ms}`,
      cells: [
        clock(record.at_ms),
        [chip(word, colour), ` ${record.status}`],
        [el("code", {}, `${record.method} ${record.path}`), record.tenant && el("div", { class: "quiet" }, `tenant ${record.tenant}`)],
        milliseconds(record.milliseconds),
        [
          simple ? [el("span", { class: "id" }, last.key), last.model && el("div", { class: "quiet" }, last.model)]
            : record.attempts.length > 0 && el("details", { "data-id": record.id },
              el("summary", {}, `${record.attempts.length} ${record.attempts.length === 1 ? "attempt" : "attempts"}`), el("ol", {}, attempts)),
          record.cause && el("div", { class: "quiet cause" }, record.cause),
        ],
        el("code", {}, record.id),
      ],
    };
  });
  return el("div", { class: "panel" },
    table("Last requests", ["Time", "Result", "Request", "First byte", "Attempts", "Id"], rows, "None of the last 256 requests matches."),
    chosen.length > most && el("p", { class: "pages" }, button(`Show all ${chosen.length}`, "all-requests")));
}

function eventList(list) {
  if (list.length === 0) return el("p", { class: "quiet" }, "No events yet.");
  return el("ol", { class: "events" }, list.map((event) => el("li", { "data-id": String(event.id) },
    el("time", {}, clock(event.at_ms)), " ", event.sentence,
    event.count > 1 && el("span", { class: "count", title: "repeats, each within a minute of the one before" }, ` ×${event.count}`))));
}

export const events = (list) => el("div", { class: "panel" }, eventList(list));

export function tenants(list, database) {
  const rows = list.map((tenant) => ({
    id: tenant.name,
    cells: [
      el("span", { class: "id" }, tenant.name),
      tenant.models.length ? tenant.models.join(", ") : "all models",
      tenant.limits.length ? tenant.limits.map((limit) => bar(limit, [])) : "no limits",
      [tenant.max_concurrent && `${tenant.max_concurrent} concurrent`, tenant.expires && `until ${tenant.expires}`].filter(Boolean).join(", "),
      tenant.in_database
        ? button("Remove", "remove-tenant", { "data-tenant": tenant.name }, "danger")
        : el("span", { class: "quiet" }, "listed in the configuration"),
    ],
  }));
  return [
    !database && el("p", { class: "quiet" }, "There is no database: tenants are listed in the configuration only."),
    el("div", { class: "panel" }, table("Tenants", ["Tenant", "Models", "Used", "More", "Actions"], rows,
      "There are no tenants: all clients use the gateway's token.")),
  ];
}

export const nothing = (text) => el("p", { class: "quiet empty" }, text);
