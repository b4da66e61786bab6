// Creates and updates elements. All content is inserted as text; nothing here parses markup.

export const by = (id) => document.getElementById(id);

/** Creates an element with attributes and children: nodes or text. */
export function el(name, attributes = {}, ...inside) {
  return fill(document.createElement(name), attributes, inside);
}

/** Creates an SVG element in the same way. */
export function svg(name, attributes = {}, ...inside) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, inside);
}

function fill(node, attributes, inside) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...inside.flat(Infinity).filter((part) => part !== null && part !== undefined && part !== false));
  return node;
}

/** Replaces the children of a node. Elements that stay keep their focus, their selection, and whether they are open. */
export function show(parent, ...nodes) {
  const fresh = document.createElement("div");
  fresh.append(...nodes.flat(Infinity).filter(Boolean));
  children(parent, fresh);
}

function children(old, fresh) {
  const known = new Map([...old.children].filter((child) => child.dataset.id).map((child) => [child.dataset.id, child]));
  let at = old.firstChild;
  for (const next of [...fresh.childNodes]) {
    const id = next.dataset?.id;
    const same = id ? known.get(id) : at && !at.dataset?.id && at.nodeName === next.nodeName ? at : null;
    if (!same) {
      old.insertBefore(next, at);
      continue;
    }
    if (same === at) at = at.nextSibling;
    else old.insertBefore(same, at);
    patch(same, next);
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

function patch(old, fresh) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name } of [...old.attributes]) {
    // The viewer opens and closes it.
    if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  children(old, fresh);
}

/** Creates a table. With kind `cards`, a narrow screen shows each row as a card, with `data-name` as the cells' labels. */
export function table(label, heads, rows, empty, kind = "cards") {
  if (rows.length === 0) return el("p", { class: "quiet empty" }, empty);
  const head = el("thead", {}, el("tr", {}, heads.map((text) => el("th", { scope: "col" }, text))));
  const body = rows.map(({ id, cells, ...attributes }) => {
    const all = cells.map((cell, n) => el(n === 0 ? "th" : "td", { "data-name": heads[n], scope: n === 0 ? "row" : null }, cell));
    return el("tr", { "data-id": id, ...attributes }, all);
  });
  // A table that is wider than the screen is scrolled, also by keyboard.
  const scrolls = kind === "cards" ? {} : { tabindex: "0", role: "region", "aria-label": label };
  return el("div", { class: "wide", ...scrolls }, el("table", { class: kind || null, "aria-label": label }, head, el("tbody", {}, body)));
}

/** Creates a coloured label. */
export const chip = (text, kind) => el("span", { class: `chip ${kind}` }, text);

export const button = (text, action, data = {}, kind = "") =>
  el("button", { type: "button", class: kind || null, "data-action": action, ...data }, text);
