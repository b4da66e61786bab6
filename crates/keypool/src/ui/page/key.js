// One key: all that is known of it, and what can be done to it.

import { get, keyPath, post, send } from "./api.js";
import { bars, given, lanesOf } from "./bars.js";
import { act, close, news, open, sure } from "./dialog.js";
import { element, show } from "./element.js";
import { field, form } from "./field.js";
import { isOff, owners, row } from "./keys.js";
import { reasons } from "./rests.js";
import { clock } from "./time.js";
import { model, plain, whole } from "./words.js";

let changed = () => {};
let shown = null;

/** `again`: something was changed, all is to be looked at again. */
export const ready = (again) => (changed = again);

/** What is known of one: of the table, or of its dialog where it is not on the page. */
const found = (id) => row(id) ?? (shown?.id === id ? shown.found : null);

async function done(button, work) {
  if (!(await act(button, work))) return;
  changed();
  const mine = shown;
  if (!mine || row(mine.id)) return;
  mine.found = (await asked(mine.id)) ?? mine.found;
  draw();
}

/** Makes one real call with a key. */
export async function test(id, button, model) {
  await act(button, async () => {
    const told = await post(keyPath(id, "/test"), model ? { model } : {});
    const said = `${told.sentence}${told.status ? ` (${told.status}, ${told.ms} ms)` : ""}`;
    const text = `${id}: ${[said, told.advice].filter(Boolean).join(". ")}`;
    if (told.works) return text;
    news(text, true);
    return null;
  });
}

/** Switches a key off, once that is confirmed, or on. */
export async function toggle(id, button) {
  if (isOff(found(id))) {
    await done(button, async () => {
      const told = await post(keyPath(id, "/enable"));
      return `${told.id} is switched on, ${told.acts}`;
    });
    return;
  }
  const reason = await sure({
    title: `Disable ${id}?`,
    text: "It carries no request until it is switched on again. What is under way ends.",
    action: "Disable",
    field: "Reason (shown beside it)",
    danger: true,
  });
  if (reason === null) return;
  await done(button, async () => {
    const told = await post(keyPath(id, "/disable"), reason ? { reason } : {});
    return `${told.id} is switched off, ${told.acts}`;
  });
}

async function remove(id, button) {
  const text = "It is taken out of the pool and out of the database. Its use so far stays on record.";
  if ((await sure({ title: `Remove ${id}?`, text, action: "Remove", danger: true })) === null) return;
  const went = await act(button, async () => {
    const told = await send("DELETE", keyPath(id));
    return `${told.id} is removed, ${told.acts}`;
  });
  if (!went) return;
  close();
  changed();
}

async function replace(id, data, button, node) {
  const text = "Requests go with the new secret from now on. What was counted and learned of the old one stays, but that it was refused.";
  if ((await sure({ title: `Replace the secret of ${id}?`, text, action: "Replace", danger: true })) === null) return;
  await done(button, async () => {
    const told = await post(keyPath(id, "/replace"), { secret: data.get("secret").trim() });
    node.reset();
    return `${told.id} has another secret, ${told.acts}`;
  });
}

/** Only what was changed is said; a line that was emptied is said no more. */
async function set(id, data, button, node) {
  const said = {};
  for (const line of node.querySelectorAll("input")) {
    const value = data.get(line.name).trim();
    if (value === line.defaultValue) continue;
    if (value === "") said[line.name] = null;
    else said[line.name] = line.type === "number" ? Number(value) : value;
  }
  if (Object.keys(said).length === 0) return news("nothing was changed");
  await done(button, async () => {
    const told = await send("PATCH", keyPath(id), said);
    for (const line of node.querySelectorAll("input")) line.defaultValue = line.value;
    return `${told.id} is changed, ${told.acts}`;
  });
}

function facts({ view, stand }) {
  const list = [
    ["State", `${plain(view?.state ?? stand?.state)}${stand?.reason && stand.reason !== "-" ? `: ${stand.reason}` : ""}`],
    ["Owner", view?.owner ?? stand?.owner],
    ["Tier", plain(view?.tier ?? stand?.tier)],
    ["Secret", stand?.secret],
    ["From", stand?.origins?.join(", ")],
    ["Known since", stand ? clock(stand.created) : null],
    ["Last good answer", stand ? clock(stand.last_success) : null],
    ["Last fault", stand ? clock(stand.last_failure) : null],
    ["Requests today", stand ? whole(stand.used_today) : null],
    ["Started here", view ? whole(view.started) : null],
    ["Share", view ? `${(view.share * 100).toFixed(1)} %` : null],
    ["Error rate", view ? `${(view.error_rate * 100).toFixed(1)} %` : null],
    ...Object.entries(view?.labels ?? {}),
  ];
  return list.filter(([, value]) => value).map(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]);
}

function lanes(found) {
  const used = lanesOf(found);
  if (used.length === 0) return [element("p", { class: "quiet" }, "It was used in no lane yet."), given(found.stand)];
  return used.map((lane) =>
    element(
      "div",
      { class: "held" },
      element("strong", {}, model(lane.model)),
      lane.out ? element("span", { class: "quiet" }, ` ${lane.out}`) : null,
      lane.limits.length ? bars(lane.limits, model(lane.model)) : element("div", { class: "quiet" }, "no limit known"),
    ),
  );
}

/** Told anew while it is open. */
export function draw() {
  const now = shown && found(shown.id);
  if (!now) return;
  show(shown.facts, facts(now));
  const because = now.view ? reasons(now.view) : [];
  const fault = now.stand?.state === "faulty" && now.stand.reason;
  show(shown.rests, because.length ? because : element("p", { class: "quiet" }, fault || "Nothing keeps it from serving."));
  show(shown.lanes, lanes(now));
  show(shown.off, isOff(now) ? "Enable" : "Disable");
}

/** Looks again at the one whose dialog is open and that is not on the page: others change it, too. */
export async function look() {
  const mine = shown;
  if (!mine || mine.gone || row(mine.id)) return draw();
  try {
    const stand = await get(keyPath(mine.id));
    mine.found = { id: mine.id, view: stand.live, stand };
  } catch (refused) {
    if (refused.status !== 404) throw refused;
    // Said once.
    mine.gone = true;
    news(refused.message, true);
  }
  draw();
}

/** One that is not on the page. */
async function asked(id) {
  try {
    const stand = await get(keyPath(id));
    return { id, view: stand.live, stand };
  } catch (refused) {
    news(refused.message, true);
    return null;
  }
}

/** Opens its dialog. */
export async function more(id) {
  const first = row(id) ?? (await asked(id));
  if (!first) return;
  const { view, stand } = first;
  const models = (view?.lanes ?? []).map((lane) => lane.model).filter(Boolean);
  const choice = element("select", {}, element("option", { value: "" }, "list models (free)"), models.map((name) => element("option", { value: name }, name)));
  const off = element("button", { on: { click: (event) => toggle(id, event.currentTarget) } });
  const mine = { id, found: first, off, facts: element("dl", { class: "facts" }), rests: element("div"), lanes: element("div") };
  const lines = [
    field("Priority", "priority", { type: "number", min: 0, max: 65535, step: 1, value: view?.priority ?? stand?.priority ?? 0 }, "lower comes first"),
    field("Weight", "weight", { type: "number", min: 0.001, step: "any", value: +(view?.weight ?? stand?.weight ?? 1).toFixed(4) }, "share of the load"),
    field("Owner", "owner", { value: view?.owner ?? stand?.owner ?? "", list: "owners", maxlength: 200 }, "keys of one owner share limits"),
    element("datalist", { id: "owners" }, owners().map((name) => element("option", { value: name }))),
  ];
  const secret = field("New secret", "secret", { type: "password", required: true, autocomplete: "new-password" });
  const body = element(
    "div",
    {},
    element("div", { class: "bar" },
      element("button", { class: "main", on: { click: (event) => test(id, event.currentTarget, choice.value) } }, "Test"),
      element("label", {}, "with ", choice),
      element("span", { class: "pushed" }),
      off,
      element("button", { class: "danger", on: { click: (event) => remove(id, event.currentTarget) } }, "Remove"),
    ),
    mine.rests,
    element("h3", {}, "Lanes and limits"),
    mine.lanes,
    element("h3", {}, "Change"),
    form(`Change ${id}`, element("div", { class: "fields" }, lines), "Save", (data, button, node) => set(id, data, button, node)),
    element("h3", {}, "Replace the secret"),
    form(`Replace the secret of ${id}`, secret, "Replace", (data, button, node) => replace(id, data, button, node), true),
    element("h3", {}, "What is known"),
    mine.facts,
  );
  open(id, body, () => {
    if (shown === mine) shown = null;
  });
  shown = mine;
  draw();
}
