// The dashboard: login, pages, and actions of buttons.

import { Refused, forget, get, keyPath, send } from "./api.js";
import { ask, say } from "./dialog.js";
import { by, show } from "./dom.js";
import * as views from "./views.js";

const REFRESH = 2000;
const PAGE = 100;
const PAGES = ["overview", "keys", "models", "usage", "requests", "events", "tenants"];

let offset = 0;
let allRequests = false;
let timer = null;
let busy = false;

const page = () => (PAGES.includes(location.hash.slice(1)) ? location.hash.slice(1) : "overview");

const mostRequests = () => (allRequests ? Infinity : innerWidth > 760 ? 50 : 15);

/** Loads the data of each page and returns its nodes. */
const LOOKS = {
  async overview(snapshot) {
    const out = ["disabled", "cooling", "half_open"].map((state) => get(`/keys?state=${state}&limit=20`));
    const [events, ...pages] = await Promise.all([get("/events?limit=8"), ...out]);
    return views.overview(snapshot, pages, events, Math.max(280, by("view").clientWidth - 80));
  },
  async keys(snapshot) {
    const query = new URLSearchParams({ offset, limit: PAGE });
    if (by("key-text").value.trim()) query.set("text", by("key-text").value.trim());
    if (by("key-state").value) query.set("state", by("key-state").value);
    const found = await get(`/keys?${query}`);
    if (offset > 0 && offset >= found.total) {
      // Keys were removed: show the last page.
      offset = Math.max(0, Math.floor((found.total - 1) / PAGE) * PAGE);
      return LOOKS.keys(snapshot);
    }
    return views.keys(found, offset, PAGE, snapshot.database);
  },
  models: async () => views.models(await get("/keys?limit=1000"), 1000),
  async usage(snapshot) {
    if (!snapshot.database) return views.nothing("Usage by day is stored in the database, and this gateway has none (--db).");
    const [kind, days] = [by("usage-by").value, Number(by("usage-days").value)];
    return views.usage(await get(`/usage?by=${kind}&days=${days}`), kind, days);
  },
  requests: async () => views.requests(await get("/requests"), by("request-kind").value, mostRequests()),
  events: async () => views.events(await get("/events")),
  tenants: async (snapshot) => views.tenants(await get("/tenants"), snapshot.database),
};

async function refresh() {
  clearTimeout(timer);
  if (busy || document.hidden) return;
  busy = true;
  try {
    const shown = page();
    const snapshot = await get("/snapshot?limit=0");
    const nodes = await LOOKS[shown](snapshot);
    board(true);
    if (shown === page()) {
      show(by(shown).querySelector(".body"), nodes);
      by("process").textContent = `${snapshot.version}, process ${snapshot.pid}`;
    }
    link("live", "up");
  } catch (error) {
    if (error instanceof Refused && error.status === 401) {
      if (!by("board").hidden) by("login-error").textContent = "The session has ended.";
      return board(false);
    }
    board(true);
    link(error.message, "down");
    if (!(error instanceof Refused)) throw error;
  } finally {
    busy = false;
    if (!by("board").hidden && !document.hidden) timer = setTimeout(refresh, REFRESH);
  }
}

function link(text, kind) {
  // Screen readers announce the text each time it is set.
  if (by("link").textContent !== text) by("link").textContent = text;
  by("link").className = `link ${kind}`;
}

function board(is) {
  if (by("board").hidden !== is) return;
  by("board").hidden = !is;
  by("login").hidden = is;
  if (!is) {
    forget();
    by("dialog").close();
    for (const body of document.querySelectorAll(".body")) body.replaceChildren();
    by("token").focus();
  }
}

function turn() {
  for (const name of PAGES) by(name).hidden = name !== page();
  for (const anchor of document.querySelectorAll("nav a")) {
    if (anchor.hash === `#${page()}`) anchor.setAttribute("aria-current", "page");
    else anchor.removeAttribute("aria-current");
  }
  document.querySelector("nav [aria-current]").scrollIntoView({ block: "nearest", inline: "nearest" });
  scrollTo(0, 0);
  soon();
}

/** Refreshes at once, or as soon as the current refresh has finished. */
function soon() {
  if (busy) setTimeout(soon, 50);
  else refresh();
}

by("login-form").onsubmit = async (event) => {
  event.preventDefault();
  const token = by("token").value.trim();
  by("login-error").textContent = "";
  try {
    await send("POST", "/login", { token });
    by("token").value = "";
    await refresh();
    by("view").focus({ preventScroll: true });
  } catch (error) {
    by("login-error").textContent = error.message;
  }
};

by("logout").onclick = async () => {
  await send("POST", "/logout").catch(() => {});
  board(false);
};

const KEY_FIELDS = [
  { name: "secret", label: "Key", type: "password", required: true },
  { name: "id", label: "Id", hint: "default: derived from the key's hash" },
  { name: "project", label: "Project", hint: "owner of the quota; keys of one project share limits" },
  { name: "tier", label: "Tier", choices: ["", "free", "paid"] },
  { name: "label", label: "Label", hint: "a note, shown with the key" },
];
const TENANT_FIELDS = [
  { name: "name", label: "Name", required: true },
  { name: "models", label: "Models", hint: "separated by commas; a name may end in *; default: all" },
  { name: "rpm", label: "Requests per minute", type: "number" },
  { name: "rpd", label: "Requests per day", type: "number" },
  { name: "tpm", label: "Tokens per minute", type: "number" },
  { name: "max_concurrent", label: "Concurrent requests", type: "number" },
  { name: "expires", label: "Expires", hint: "2030-01-31" },
];

const ACTIONS = {
  page(data) {
    offset = Number(data.offset);
  },
  "all-requests"() {
    allRequests = true;
  },
  "add-key": () => ask({
    title: "Add a key",
    text: "The key is stored in the database, encrypted, and used at once.",
    fields: KEY_FIELDS,
    yes: "Add",
    act: async (values) => `key ${(await send("POST", "/keys", values)).id} was added`,
  }),
  disable: ({ key }) => ask({
    title: `Disable ${key}?`,
    text: "The key is not used until it is enabled again. Requests in flight continue.",
    fields: [{ name: "reason", label: "Reason", hint: "shown with the key" }],
    yes: "Disable",
    act: async (values) => {
      const { outlives } = await send("POST", keyPath(key, "/disable"), values);
      return `${key} is disabled${outlives ? "" : " until the gateway stops, because there is no database"}`;
    },
  }),
  async enable({ key }) {
    await send("POST", keyPath(key, "/enable"));
    say(`${key} is used again`);
  },
  async test({ key }) {
    const { works, status, class: kind, message, advice } = await send("POST", keyPath(key, "/test"));
    const cause = [kind?.replaceAll("_", " "), message].filter(Boolean).join(": ").replace(/\.$/, "");
    if (works) say(`${key} works`);
    else say(`${key} does not work: ${status ?? ""} ${cause}. ${advice ? `What to do: ${advice}.` : ""}`, "bad");
  },
  replace: ({ key }) => ask({
    title: `Replace ${key}?`,
    text: "The new key takes its place, with its project and its options.",
    fields: [{ name: "secret", label: "New key", type: "password", required: true }],
    yes: "Replace",
    act: async (values) => {
      await send("POST", keyPath(key, "/replace"), values);
      return `${key} has the new key`;
    },
  }),
  remove: ({ key }) => ask({
    title: `Remove ${key}?`,
    text: "Its secret is deleted. Its recorded usage stays.",
    yes: "Remove",
    danger: true,
    act: async () => {
      await send("DELETE", keyPath(key));
      return `${key} is removed`;
    },
  }),
  "add-tenant": () => ask({
    title: "Add a tenant",
    fields: TENANT_FIELDS,
    yes: "Add",
    act: async ({ models, ...values }) => {
      for (const name of ["rpm", "rpd", "tpm", "max_concurrent"]) if (values[name]) values[name] = Number(values[name]);
      if (models) values.models = models.split(",").map((model) => model.trim()).filter(Boolean);
      const { name, token } = await send("POST", "/tenants", values);
      return () => ask({
        title: `Token of ${name}`,
        text: "The token is shown only once. Clients send it instead of an API key.",
        fields: [{ name: "token", label: "Token", value: token, readonly: true }],
        yes: "Done",
      });
    },
  }),
  "remove-tenant": ({ tenant }) => ask({
    title: `Remove ${tenant}?`,
    text: "Its token is refused from now on, and its requests in progress are cut off.",
    yes: "Remove",
    danger: true,
    act: async () => {
      await send("DELETE", `/tenants/${encodeURIComponent(tenant)}`);
      return `${tenant} is removed`;
    },
  }),
};

document.addEventListener("click", async (event) => {
  const pressed = event.target.closest("button[data-action]");
  // The second click of a double click may meet the next action of the same button.
  if (!pressed || (event.detail > 1 && pressed.dataset.action !== "page")) return;
  try {
    await ACTIONS[pressed.dataset.action](pressed.dataset);
  } catch (error) {
    say(error.message, "bad");
  } finally {
    soon();
  }
});

by("dialog").addEventListener("close", soon);
by("key-filter").onsubmit = (event) => event.preventDefault();
for (const id of ["key-text", "key-state", "usage-by", "usage-days", "request-kind"]) {
  by(id).addEventListener("input", () => {
    offset = 0;
    soon();
  });
}
addEventListener("hashchange", turn);
document.addEventListener("visibilitychange", soon);
by("login").hidden = false;
by("token").focus();
turn();
