// Questions, and news.

import { by, el } from "./dom.js";

/**
 * Asks for fields `{name, label, hint, type, value}` and does `act(values)`. What it throws is told, and can be mended. What it
 * returns is said if it is a text, and called when the dialog is closed if it is a function.
 */
export function ask({ title, text = "", fields = [], yes, danger = false, act }) {
  const dialog = by("dialog");
  by("dialog-title").textContent = title;
  by("dialog-text").textContent = text;
  by("dialog-error").textContent = "";
  by("dialog-yes").textContent = yes;
  by("dialog-yes").className = danger ? "danger" : "main";
  by("dialog-no").hidden = !act;
  by("dialog-fields").replaceChildren(...fields.map((field) => el("div", { class: "field" },
    el("label", { for: `field-${field.name}` }, field.label),
    el("input", {
      id: `field-${field.name}`, name: field.name, type: field.type ?? "text", value: field.value, required: field.required,
      readonly: field.readonly, autocomplete: "off", min: field.type === "number" ? 0 : null,
    }),
    field.hint && el("span", { class: "quiet" }, field.hint))));
  by("dialog-no").onclick = () => dialog.close();
  by("dialog-form").onsubmit = async (event) => {
    event.preventDefault();
    if (!act) return dialog.close();
    const values = Object.fromEntries([...new FormData(event.target)].filter(([, value]) => value !== ""));
    by("dialog-yes").disabled = true;
    try {
      const told = await act(values);
      if (typeof told === "function") dialog.addEventListener("close", told, { once: true });
      dialog.close();
      if (typeof told === "string") say(told);
    } catch (error) {
      by("dialog-error").textContent = error.message;
    } finally {
      by("dialog-yes").disabled = false;
    }
  };
  // What was typed, a secret mostly, does not stay in the page.
  dialog.onclose = () => by("dialog-fields").replaceChildren();
  dialog.showModal();
}

/** Says something for some seconds. */
export function say(text, kind = "") {
  const note = el("p", { class: kind || null }, text);
  by("news").append(note);
  setTimeout(() => note.remove(), 8000);
}
