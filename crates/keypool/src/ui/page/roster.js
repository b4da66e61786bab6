// What is done to the pool as a whole: keys added, a file of them read in, the configuration read again.

import { inPool, post, postText } from "./api.js";
import { act, close, news, open } from "./dialog.js";
import { by, element } from "./element.js";
import { field, form } from "./field.js";

let changed = () => {};

export function ready(again) {
  changed = again;
  by("add").addEventListener("click", add);
  by("import").addEventListener("click", read);
  by("reload").addEventListener("click", (event) =>
    act(event.currentTarget, async () => {
      const told = await post("/reload");
      changed();
      return `The configuration was read again: ${told.news}`;
    }),
  );
}

const kept = (told) => (told.secret_key_file ? ` A key that encrypts secrets was made: ${told.secret_key_file}` : "");

function add() {
  const lines = [
    field("Secret", "secret", { type: "password", required: true, autocomplete: "new-password" }, "the API key itself; it is never shown again"),
    field("Name", "id", { maxlength: 64 }, "made of its hash unless given"),
    field("Tier", "tier", { placeholder: "free" }),
    field("Owner", "owner", { maxlength: 200 }),
    field("Priority", "priority", { type: "number", min: 0, max: 65535, step: 1 }),
    field("Weight", "weight", { type: "number", min: 0.001, step: "any" }),
    field("Source", "source", { maxlength: 200 }, "where it is from, in your own words"),
  ];
  const work = async (data, button) => {
    const text = (name) => data.get(name).trim();
    const said = {};
    for (const name of ["tier", "owner", "source"]) if (text(name)) said[name] = text(name);
    for (const name of ["priority", "weight"]) if (text(name)) said[name] = Number(text(name));
    const key = { secret: text("secret"), said };
    if (text("id")) key.id = text("id");
    const went = await act(button, async () => {
      const told = await post(inPool("/keys"), key);
      return `${told.id} ${told.added ? `is added, ${told.acts}` : "is there already: nothing was changed"}.${kept(told)}`;
    });
    if (went) {
      close();
      changed();
    }
  };
  open("Add a key", form("Add a key", element("div", { class: "fields" }, lines), "Add", work));
}

function read() {
  const area = element("textarea", { id: "import-text", name: "text", rows: 8, spellcheck: "false", autocomplete: "off" });
  const file = element("input", { id: "import-file", type: "file", accept: ".txt,.csv,.json,text/*" });
  const lines = [
    element("div", { class: "field" }, element("label", { for: "import-file" }, "Key file"), file),
    element("div", { class: "field" }, element("label", { for: "import-text" }, "or its lines"), area,
      element("span", { class: "quiet" }, "a key on each line, with words such as id=… weight=2 behind it; or CSV, or JSON")),
    field("Source", "source", { maxlength: 200, value: "dashboard" }),
  ];
  const work = async (data, button) => {
    const text = file.files[0] ? await file.files[0].text() : data.get("text");
    if (!text.trim()) return news("choose a file, or paste its lines", true);
    await act(button, async () => {
      const told = await postText(inPool(`/import?source=${encodeURIComponent(data.get("source"))}`), text);
      close();
      changed();
      const wrong = told.rejected.map((line) => `line ${line.line}: ${line.why}`).join("; ");
      if (wrong) news(`not read: ${wrong}`, true);
      return `${told.added} added, ${told.duplicate} there already, ${told.rejected.length} not read.${kept(told)}`;
    });
  };
  open("Import a key file", form("Import a key file", lines, "Import", work));
}
