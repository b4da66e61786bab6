// The page: what is looked at when, and by whom it is shown.

import { get, inPool, pool } from "./api.js";
import * as dialog from "./dialog.js";
import { by, mark, say } from "./element.js";
import * as key from "./key.js";
import * as keys from "./keys.js";
import * as lanes from "./lanes.js";
import * as log from "./log.js";
import * as members from "./members.js";
import * as roster from "./roster.js";
import { keepSession } from "./session.js";
import * as summary from "./summary.js";
import { clock, moment, tick } from "./time.js";
import * as traffic from "./traffic.js";
import * as usage from "./usage.js";

const OFTEN = 2000;
const NOW_AND_THEN = 10000;
const SELDOM = 15000;
/** So many keys a snapshot brings; of a larger pool the list is read in pages. */
const MANY = 2000;
const PAGE = 1000;
const EVENTS = ["rested", "disabled", "held", "recovered", "learned", "contested", "grouped", "spilled", "exhausted", "roster", "audit", "lost"];
/** Events after which keys stand otherwise. */
const TURNS = new Set(["rested", "disabled", "held", "recovered", "grouped", "roster", "audit"]);

let running = false;
let timers = [];
let stream = null;
let stands = null;
let views = [];
let total = 0;
let began = null;
let soon = null;
/** When it last answered. */
let heard = null;

/** One look at a time of each kind: a slow gateway is not asked twice. */
const looks = new Map();
async function look(name, work) {
  if (!running || looks.get(name)) return;
  looks.set(name, true);
  try {
    await work();
    link(true);
  } catch (refused) {
    if (refused.status === undefined) throw refused;
    link(refused.status !== 0);
  } finally {
    looks.delete(name);
  }
}

function link(up) {
  if (up) heard = Date.now();
  mark(by("link"), "class", up ? "link up" : "link down");
  say(by("link"), up ? "live" : heard ? `no answer since ${clock(heard)}` : "no answer");
}

const often = () =>
  look("snapshot", async () => {
    const name = pool();
    const told = await get(inPool(`/snapshot?keys=${total > MANY ? 0 : MANY}`));
    if (!running || name !== pool()) return;
    summary.pools(told);
    summary.tell(told);
    lanes.tell(told.snapshot);
    traffic.count(told.snapshot);
    began ??= moment(told.snapshot.at);
    const more = total !== told.snapshot.total_keys;
    [views, total] = [told.snapshot.keys, told.snapshot.total_keys];
    keys.ofPool(name, told.pools, told.snapshot.provider);
    if (total <= MANY) keys.tell(views, stands, total);
    key.draw();
    const requests = (await get("/requests")).requests;
    const errors = (await get("/errors")).errors;
    traffic.note(requests, errors, began);
    traffic.draw();
    log.tellRequests(requests);
    log.tellErrors(errors);
    if (more) standing();
  });

/** A page of a pool that is too large to be shown whole. */
async function page() {
  const told = await get(inPool(`/keys?${keys.asked()}`));
  keys.tellPage(told.keys, told.total);
  await key.look();
}

/** What the database knows of the keys. */
const standing = () =>
  look("keys", async () => {
    const name = pool();
    if (total > MANY) {
      stands = null;
      return page();
    }
    const found = new Map();
    for (let offset = 0; ; offset += PAGE) {
      const told = await get(inPool(`/keys?limit=${PAGE}&offset=${offset}`));
      for (const stand of told.keys) found.set(stand.id, stand);
      if (offset + PAGE >= told.total) break;
    }
    if (name !== pool()) return;
    stands = found;
    keys.tell(views, stands, total);
    key.draw();
  });

const others = () =>
  look("others", async () => {
    const audit = await get("/audit");
    log.tellChanges(audit.changes);
    log.tellLogins(audit.failed_logins);
    members.tellProcesses((await get("/processes")).processes);
    members.tellTenants((await get("/tenants")).tenants);
  });

const used = () => look("usage", usage.look);

/** Something happened: not every event is a look of its own. */
function again() {
  soon ??= setTimeout(async () => {
    soon = null;
    await Promise.all([often(), standing(), others()]);
  }, 300);
}

function listen() {
  stream = new EventSource("/-/admin/events");
  for (const kind of EVENTS) {
    stream.addEventListener(kind, (event) => {
      const told = JSON.parse(event.data);
      if (told.number) log.tellEvents([told]);
      if (TURNS.has(kind)) again();
    });
  }
  // What came before, or while nobody listened.
  stream.addEventListener("open", () => look("events", async () => log.tellEvents((await get("/events?recent=200")).events)));
}

function start() {
  if (running) return;
  running = true;
  const every = (time, work) => timers.push(setInterval(work, time));
  every(1000, tick);
  every(OFTEN, often);
  every(NOW_AND_THEN, () => (standing(), others()));
  every(SELDOM, used);
  often().then(standing);
  others();
  used();
  listen();
}

/** Nobody looks: nothing is asked. */
function stop() {
  running = false;
  timers.forEach(clearInterval);
  timers = [];
  clearTimeout(soon);
  soon = null;
  stream?.close();
  stream = null;
}

for (const part of [lanes, log, members, usage, traffic, dialog]) part.ready();
keys.ready({ test: key.test, toggle: key.toggle, open: key.more }, () => look("page", page));
key.ready(again);
summary.ready(again);
roster.ready(again);
by("pool").addEventListener("change", () => {
  traffic.forget();
  [stands, views, total, began] = [null, [], 0, null];
  often().then(standing);
});
let inside = false;
document.addEventListener("visibilitychange", () => {
  if (!inside) return;
  if (document.hidden) stop();
  else start();
});
keepSession(
  () => ((inside = true), start()),
  () => ((inside = false), stop(), log.forgetEvents()),
);
