// Dialogs and notices.

import { by, el } from "./dom.js";

/**
 * Asks for fields `{name, label, hint, type, value, choices}` and calls `act(values)`. An error of `act` is shown in the dialog, which
 * stays open. A string that `act` returns is shown as a notice; a function is called when the dialog has closed.
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
    field.choices
      ? el("select", { id: `field-${field.name}`, name: field.name }, field.choices.map((choice) => el("option", {}, choice)))
      : el("input", {
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
      const result = await act(values);
      if (typeof result === "function") dialog.addEventListener("close", result, { once: true });
      dialog.close();
      if (typeof result === "string") say(result);
    } catch (error) {
      by("dialog-error").textContent = error.message;
    } finally {
      by("dialog-yes").disabled = false;
    }
  };
  // The input, often a secret, must not stay in the page.
  dialog.onclose = () => by("dialog-fields").replaceChildren();
  dialog.showModal();
}

/** Shows a notice for eight seconds. */
export function say(text, kind = "") {
  const note = el("p", { class: kind || null }, text);
  by("news").append(note);
  setTimeout(() => note.remove(), 8000);
}
