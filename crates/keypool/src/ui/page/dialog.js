// What is asked and told above the page: one dialog for forms, one for questions, and a line of news.

import { by, element, say } from "./element.js";

/** News stand in whatever is in front: behind a dialog nobody could close them. */
function place() {
  const front = [by("question"), by("dialog")].find((dialog) => dialog.open) ?? document.body;
  if (by("news").parentElement !== front) front.append(by("news"));
}

let ended = null;

/** Opens the dialog with this in it; `closed` is told. */
export function open(title, body, closed) {
  const dialog = by("dialog");
  for (const line of by("news").querySelectorAll(".good")) line.remove();
  say(by("dialog-title"), title);
  by("dialog-body").replaceChildren(body);
  ended?.();
  ended = closed;
  dialog.onclose = () => {
    // A browser tells of an end later: it may be that of the one before.
    if (dialog.open) return;
    by("dialog-body").replaceChildren();
    ended?.();
    ended = null;
  };
  if (!dialog.open) dialog.showModal();
  place();
}

export const close = () => by("dialog").close();

/** Asks whether something is to be done; `field` names a line of text to go with it. `null`: no; else that text. */
export function sure({ title, text, action, field, danger = false }) {
  const dialog = by("question");
  say(by("question-title"), title);
  say(by("question-text"), text);
  say(by("question-yes"), action);
  by("question-yes").className = danger ? "danger" : "main";
  by("question-label").hidden = !field;
  say(by("question-word"), field ?? "");
  by("question-field").value = "";
  dialog.returnValue = "";
  dialog.showModal();
  place();
  if (danger && !field) by("question-no").focus();
  return new Promise((answer) => {
    dialog.onclose = () => {
      if (!dialog.open) answer(dialog.returnValue === "yes" ? by("question-field").value.trim() : null);
    };
  });
}

/** Tells what came of something. Bad news stays until it is closed. */
export function news(text, bad = false) {
  const line = element("p", { class: bad ? "bad" : "good", role: bad ? "alert" : null }, element("span", {}, text));
  const gone = element("button", { "aria-label": "Close", on: { click: () => line.remove() } }, "✕");
  line.append(gone);
  by("news").append(line);
  if (!bad) setTimeout(() => line.remove(), 6000);
  while (by("news").childElementCount > 4) by("news").firstChild.remove();
}

/** Does something by a button: once at a time, with news of it. */
export async function act(button, work) {
  button.disabled = true;
  try {
    const told = await work();
    if (told) news(told);
    return true;
  } catch (refused) {
    news(refused.message, true);
    return false;
  } finally {
    button.disabled = false;
  }
}

export function ready() {
  for (const dialog of [by("dialog"), by("question")]) dialog.addEventListener("close", place);
  by("dialog-close").addEventListener("click", close);
  by("question-no").addEventListener("click", () => by("question").close(""));
}
