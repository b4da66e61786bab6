// A plain table that is told anew: on a phone each of its rows is a card.

import { by, element, keep, mark, show } from "./element.js";

/** `columns`: `[title, cell of an item: text or nodes]`. `make` may add to a new row. */
export function table(id, caption, columns, { none = "nothing yet", open } = {}) {
  const node = by(id);
  mark(node, "role", "table");
  const heads = columns.map(([title]) => element("th", { scope: "col", role: "columnheader" }, title));
  const body = element("tbody", { role: "rowgroup" });
  const empty = element("p", { class: "quiet", hidden: true }, none);
  node.append(
    element("caption", { class: "hidden" }, caption),
    element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, heads)),
    body,
  );
  node.after(empty);
  const make = (item) => {
    const cells = columns.map(([title]) => element("td", { "data-label": title, role: "cell" }));
    const line = element("tr", { role: "row" }, cells);
    if (open) cells[0].append(element("button", { class: "name", on: { click: () => open(line.item) } }));
    line.item = item;
    return line;
  };
  const update = (line, item) => {
    line.item = item;
    columns.forEach(([, cell], number) => {
      const place = open && number === 0 ? line.cells[0].firstChild : line.cells[number];
      show(place, cell(item));
    });
  };
  return (items, nameOf) => {
    keep(body, items, nameOf, make, update);
    empty.hidden = items.length > 0;
    node.hidden = items.length === 0;
  };
}
