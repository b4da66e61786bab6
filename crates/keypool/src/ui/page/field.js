// A field of a form.

import { element } from "./element.js";

let number = 0;

/** A labelled line; `given` are attributes. */
export function field(word, name, given = {}, hint = null) {
  const id = `field-${++number}`;
  const about = hint ? element("span", { class: "quiet", id: `${id}-hint` }, hint) : null;
  const line = element("input", {
    id, name, autocomplete: "off", spellcheck: "false", "aria-describedby": hint ? `${id}-hint` : null, ...given,
  });
  return element("div", { class: "field" }, element("label", { for: id }, word), line, about);
}

/** A form that does something once its button is pressed. */
export function form(label, inside, word, work, danger = false) {
  const button = element("button", { class: danger ? "danger" : "main" }, word);
  const node = element("form", { "aria-label": label }, inside, element("div", { class: "bar end" }, button));
  node.addEventListener("submit", (event) => {
    event.preventDefault();
    work(new FormData(node), button, node);
  });
  return node;
}
