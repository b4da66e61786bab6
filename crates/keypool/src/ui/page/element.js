// Elements. Whatever is told goes in as text; nothing here, or anywhere on the page, reads markup.

const DRAWN = "http://www.w3.org/2000/svg";

export const by = (id) => document.getElementById(id);

function filled(node, given, inside) {
  for (const [name, value] of Object.entries(given)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...inside.flat(Infinity).filter((part) => part !== null && part !== undefined && part !== false));
  return node;
}

/** An element with attributes, `on: {event: act}`, and what is inside: nodes, or text. */
export const element = (name, given = {}, ...inside) => filled(document.createElement(name), given, inside);

/** The same in a drawing. */
export const drawn = (name, given = {}, ...inside) => filled(document.createElementNS(DRAWN, name), given, inside);

/** This text and nothing else; touched only where it is another, so that nothing selected or read aloud is lost. */
export function say(node, text) {
  const told = text === null || text === undefined ? "" : String(text);
  if (node.textContent !== told) node.textContent = told;
}

/** These nodes and nothing else; touched only where they look different. */
export function show(node, ...inside) {
  const fresh = document.createElement(node.tagName);
  fresh.append(...inside.flat(Infinity).filter((part) => part !== null && part !== undefined && part !== false));
  if (!fresh.isEqualNode(clean(node))) node.replaceChildren(...fresh.childNodes);
}

// Attributes of the holder itself do not count.
function clean(node) {
  const copy = document.createElement(node.tagName);
  for (const part of node.childNodes) copy.append(part.cloneNode(true));
  return copy;
}

/** An attribute that is there or not. */
export function mark(node, name, value) {
  if (value === null || value === undefined || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

const kept = new WeakMap();

/** One child for each item, kept over changes by its name: focus and selection stay where they are. */
export function keep(parent, items, nameOf, make, update) {
  const before = kept.get(parent) ?? new Map();
  const after = new Map();
  let place = parent.firstChild;
  for (const item of items) {
    const name = nameOf(item);
    if (after.has(name)) continue;
    const node = before.get(name) ?? make(item);
    before.delete(name);
    after.set(name, node);
    update?.(node, item);
    if (node === place) place = place.nextSibling;
    else parent.insertBefore(node, place);
  }
  for (const node of before.values()) node.remove();
  kept.set(parent, after);
}
