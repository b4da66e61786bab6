// What happened: attempts that failed, the last requests, events, what administrators changed, and who failed to be one.

import { get } from "./api.js";
import { news, open } from "./dialog.js";
import { by, element, keep } from "./element.js";
import { clock, long, seconds } from "./time.js";
import { kindOf, limit, model, plain } from "./words.js";

import { table } from "./table.js";

const MOST = 200;

let drawErrors;
let drawRequests;
let drawChanges;

/** What a change was made to: a key, and whose where it is not the gateway's own. */
const object = ({ pool, key }) => {
  const whose = pool && pool !== "main" ? pool : null;
  return whose || key ? ` ${[whose, key].filter(Boolean).join("/")}` : null;
};
let drawLogins;
/** Events by number, latest first. */
let events = [];

const word = (verdict) => element("span", { class: `verdict ${kindOf(verdict)}` }, plain(verdict));
const statusOf = ({ status }) => element("span", { class: `verdict ${status === null ? "other" : status < 400 ? "good" : status === 429 ? "limited" : "bad"}` }, status === null ? "left" : String(status));

export function ready() {
  by("event-kinds").addEventListener("change", drawEvents);
  drawErrors = table(
    "error-table",
    "Attempts that failed, latest first",
    [
      ["When", (error) => clock(error.at)],
      ["Key", (error) => error.key],
      ["Model", (error) => model(error.model)],
      ["Status", (error) => (error.status === null ? "none" : String(error.status))],
      ["Verdict", (error) => [word(error.verdict), error.scope ? ` ${plain(error.scope)}` : null]],
      ["What it means", (error) => [error.code ? element("div", { class: "code" }, error.code) : null, error.sentence]],
      ["Request", (error) => error.request],
    ],
    { none: "No attempt failed since this process began.", open: (error) => explain(error.request) },
  );
  drawRequests = table(
    "request-table",
    "The last requests, latest first",
    [
      ["When", (request) => clock(request.at)],
      ["Request", (request) => [element("span", { class: "code" }, `${request.method} ${request.path}`)]],
      ["Tenant", (request) => request.tenant ?? "–"],
      ["Model", (request) => request.model ?? "–"],
      ["Key", (request) => request.key ?? "–"],
      ["Status", (request) => [statusOf(request), request.answered_by === "gateway" ? " ours" : null]],
      ["Took", (request) => `${request.ms} ms`],
      ["Attempts", (request) => String(request.attempts)],
    ],
    { none: "No request in the last ten minutes.", open: (request) => explain(request.request) },
  );
  drawChanges = table(
    "change-table",
    "Changes, latest first",
    [
      ["When", (change) => clock(change.at)],
      ["What", (change) => [element("strong", {}, change.what), object(change)]],
      ["Result", (change) => element("span", { class: `verdict ${change.result === "done" ? "good" : "bad"}` }, plain(change.result))],
      ["By", (change) => `${change.who} from ${change.from}`],
    ],
    { none: "Nothing was changed since this process began." },
  );
  drawLogins = table(
    "login-table",
    "Log-ins that failed, by address, latest first",
    [
      ["From", (failed) => failed.from],
      ["Times", (failed) => element("span", { class: "verdict bad" }, String(failed.times))],
      ["First", (failed) => clock(failed.first)],
      ["Last", (failed) => clock(failed.last)],
    ],
    { none: "No log-in failed since this process began." },
  );
}

// The same request may fail with the same key twice in a millisecond: they are told apart by their place among equals.
function numbered(items, nameOf) {
  const seen = new Map();
  return items.map((item) => {
    const name = nameOf(item);
    const times = (seen.get(name) ?? 0) + 1;
    seen.set(name, times);
    return { ...item, name: `${name} ${times}` };
  });
}

export const tellErrors = (errors) =>
  drawErrors(numbered(errors.slice(0, MOST), (error) => `${error.at} ${error.request} ${error.key}`), (error) => error.name);

export const tellRequests = (requests) =>
  drawRequests(numbered(requests.slice(0, MOST), (request) => `${request.at} ${request.request}`), (request) => request.name);

export const tellChanges = (changes) =>
  drawChanges(numbered([...changes].reverse(), (change) => `${change.at} ${change.what} ${change.pool} ${change.key}`), (change) => change.name);

export const tellLogins = (failed) => drawLogins([...failed].reverse(), (one) => one.from);

export function tellEvents(more) {
  const known = new Set(events.map((event) => event.number));
  const fresh = more.filter((event) => !known.has(event.number));
  if (fresh.length === 0 && events.length > 0) return;
  events = [...events, ...fresh].sort((a, b) => b.number - a.number).slice(0, 2 * MOST);
  drawEvents();
}

// Keys of a later priority serve, and limits become known, all the time.
const USUAL = new Set(["spilled", "learned"]);

function drawEvents() {
  const all = by("event-kinds").value === "all";
  const shown = events.filter((event) => all || !USUAL.has(event.event));
  keep(by("event-list"), shown, (event) => event.number, line);
}

export const forgetEvents = () => (events = []);

function line(event) {
  const { text, kind } = sentence(event);
  return element("li", {}, element("time", {}, clock(event.at)), " ", element("span", { class: `verdict ${kind}` }, plain(event.event)), ` ${text}`);
}

function sentence(event) {
  const at = event.model ? ` for ${event.model}` : "";
  const scope = event.scope && event.scope !== "key" ? ` (${plain(event.scope)})` : "";
  switch (event.event) {
    case "rested":
      return { kind: "limited", text: `${event.key}${scope}${at}: ${plain(event.kind)} ${event.code}, for ${long(seconds(event.rest))}` };
    case "disabled":
      return { kind: "bad", text: `${event.key}${scope}${at}: ${plain(event.kind)} ${event.code}. ${event.advice}` };
    case "held":
      return { kind: "bad", text: `${event.keys} keys failed at once: it is waited until it is clear whose fault it is` };
    case "recovered":
      return { kind: "good", text: `${event.key}${scope}${at} serves again` };
    case "learned":
      return { kind: "other", text: `${event.key}${at}: ${event.limit.amount} ${limit(event.limit)}` };
    case "contested":
      return { kind: "other", text: `keys of ${event.owner} disagree: ${event.limit.amount} ${limit(event.limit)} holds, not ${event.other}` };
    case "grouped":
      return { kind: "other", text: `${event.key} joined ${event.owner}, which has ${event.keys} keys` };
    case "spilled":
      return { kind: "other", text: `${event.key} of priority ${event.priority} took a request${at}` };
    case "exhausted":
      return { kind: "bad", text: `no key${at}: ${plain(event.reason)}${event.next_in ? `, next in ${long(seconds(event.next_in))}` : ""}` };
    case "roster":
      return { kind: "other", text: `${event.key} ${event.change}` };
    case "audit":
      return { kind: "other", text: `${event.what} ${event.key ?? ""}: ${plain(event.result)}, by ${event.who} from ${event.from}` };
    case "lost":
      return { kind: "other", text: `${event.lost} events came too fast and were left out` };
    default:
      return { kind: "other", text: event.key ?? "" };
  }
}

/** Why a request went as it did. */
async function explain(id) {
  try {
    const told = await get(`/requests/${encodeURIComponent(id)}`);
    const facts = [
      ["Request", `${told.method} ${told.path}`],
      ["When", `${clock(told.at)}, ${told.ms} ms`],
      ["Answer", told.status === null ? "the client left" : `${told.status}, by the ${told.answered_by}`],
      ["Why", told.why],
      ["Tenant", told.tenant],
      ["Model", told.model],
      ["Retry after", told.retry_after],
    ];
    const attempts = told.attempts.map((attempt) =>
      element("li", {}, element("strong", {}, attempt.key), ` at ${attempt.at_ms} ms`, attempt.ms === null ? null : `, ${attempt.ms} ms`, attempt.verdict ? [": ", word(attempt.verdict)] : ": under way", attempt.status ? ` ${attempt.status}` : null, attempt.code ? ` ${attempt.code}` : null, attempt.sentence ? element("div", { class: "advice" }, attempt.sentence) : null),
    );
    const looks = told.looks.map((look) =>
      element("li", {}, `at ${look.at_ms} ms for ${model(look.model)}`, element("ul", {}, look.candidates.map((key) => element("li", {}, `${key.key}: ${key.out ?? "may serve"}${key.ready_in_ms === null ? "" : `, ready in ${key.ready_in_ms} ms`}`)))),
    );
    open(
      id,
      element("div", {},
        element("dl", { class: "facts" }, facts.filter(([, value]) => value).map(([name, value]) => [element("dt", {}, name), element("dd", {}, String(value))])),
        element("h3", {}, "Attempts"),
        attempts.length ? element("ol", {}, attempts) : element("p", { class: "quiet" }, "None: no key was asked."),
        looks.length ? [element("h3", {}, "Candidates"), element("ol", {}, looks)] : null,
      ),
    );
  } catch (refused) {
    news(refused.message, true);
  }
}
