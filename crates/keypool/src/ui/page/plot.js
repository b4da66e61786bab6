// A drawing over time: stacked columns or lines, ten minutes wide, with its numbers as text.

import { drawn, element, say } from "./element.js";

const HEIGHT = 150;
const LEFT = 52;
const BOTTOM = 18;
const TOP = 8;

/** The next round number above. */
function round(most) {
  const power = 10 ** Math.floor(Math.log10(most || 1));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= most) ?? most;
}

export class Plot {
  /** `series`: `[name, class]`; `text`: a value for people; `lines`: lines, in the place of stacked columns. */
  constructor(node, { series, text, lines = false, empty, wide }) {
    this.series = series;
    this.text = text;
    this.lines = lines;
    this.wide = wide;
    this.points = [];
    this.at = null;
    this.svg = drawn("svg", { role: "img", tabindex: "0", height: HEIGHT, width: "100%" });
    this.told = element("figcaption", { class: "legend" });
    this.values = series.map(([name, kind]) => {
      const value = element("strong");
      this.told.append(element("span", { class: "key" }, drawnDot(kind), `${name} `, value));
      return value;
    });
    this.when = element("span", { class: "quiet when" });
    this.told.append(this.when);
    this.empty = element("p", { class: "quiet empty" }, empty);
    node.append(element("figure", {}, this.svg, this.empty, this.told));
    const look = (at) => {
      this.at = at;
      this.draw();
    };
    this.svg.addEventListener("pointermove", (event) => look(this.nearest(event.offsetX)));
    this.svg.addEventListener("pointerleave", () => look(null));
    this.svg.addEventListener("blur", () => look(null));
    this.svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      look(Math.min(this.points.length - 1, Math.max(0, (this.at ?? this.points.length) + step)));
    });
    new ResizeObserver(() => this.draw()).observe(node);
  }

  /** `points`: `{ago, values}`, oldest first; a value of `null` is none. */
  tell(points) {
    this.points = points;
    this.draw();
  }

  width() {
    return Math.max(200, this.svg.clientWidth || 600);
  }

  nearest(x) {
    const part = (x - LEFT) / (this.width() - LEFT);
    const at = Math.floor(part * this.points.length);
    return at >= 0 && at < this.points.length ? at : null;
  }

  draw() {
    const { points, lines } = this;
    const width = this.width();
    const sum = (values) => values.reduce((all, value) => all + (value ?? 0), 0);
    const most = round(Math.max(0, ...points.map(({ values }) => (lines ? Math.max(0, ...values) : sum(values)))));
    const any = points.some(({ values }) => values.some((value) => value !== null));
    const step = (width - LEFT) / Math.max(1, points.length);
    const y = (value) => HEIGHT - BOTTOM - (value / (most || 1)) * (HEIGHT - BOTTOM - TOP);
    const parts = [0, 0.5, 1].flatMap((part) => [
      drawn("line", { class: "grid", x1: LEFT, x2: width, y1: y(part * most), y2: y(part * most) }),
      any ? drawn("text", { class: "axis", x: LEFT - 6, y: y(part * most) + 4, "text-anchor": "end" }, this.text(part * most)) : null,
    ]);
    for (const [part, word] of [[0, this.wide], [1, "now"]]) {
      const anchor = part === 0 ? "start" : "end";
      parts.push(drawn("text", { class: "axis", x: LEFT + part * (width - LEFT), y: HEIGHT - 4, "text-anchor": anchor }, word));
    }
    if (this.at !== null) {
      parts.push(drawn("rect", { class: "cursor", x: LEFT + this.at * step, y: TOP, width: step, height: HEIGHT - BOTTOM - TOP }));
    }
    parts.push(...(lines ? this.traced(step, y) : this.stacked(step, y)));
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.svg.replaceChildren(...parts.filter(Boolean));
    this.empty.hidden = any;
    const last = points.findLast(({ values }) => values.some((value) => value !== null));
    const point = this.at === null ? last : points[this.at];
    this.values.forEach((value, n) => say(value, point && point.values[n] !== null ? this.text(point.values[n]) : "–"));
    say(this.when, point ? (point.ago < 15 ? "now" : `${Math.round(point.ago / 10) * 10} s ago`) : "");
    const told = this.series.map(([name], n) => `${name} ${this.values[n].textContent}`).join(", ");
    this.svg.setAttribute("aria-label", `The last ten minutes. ${this.when.textContent}: ${told}`);
  }

  stacked(step, y) {
    const columns = [];
    this.points.forEach(({ values }, place) => {
      let below = 0;
      values.forEach((value, n) => {
        if (!value) return;
        const [bottom, top] = [y(below), y(below + value)];
        below += value;
        columns.push(drawn("rect", { class: this.series[n][1], x: LEFT + place * step + 0.5, y: top, width: Math.max(1, step - 1), height: Math.max(0.5, bottom - top) }));
      });
    });
    return columns;
  }

  traced(step, y) {
    return this.series.flatMap(([, kind], n) => {
      const known = this.points.map(({ values }, place) => [LEFT + (place + 0.5) * step, values[n]]).filter(([, value]) => value !== null);
      const path = known.map(([x, value], place) => `${place ? "L" : "M"}${x.toFixed(1)} ${y(value).toFixed(1)}`).join("");
      const dots = known.map(([x, value]) => drawn("circle", { class: kind, cx: x.toFixed(1), cy: y(value).toFixed(1), r: 2 }));
      return known.length ? [drawn("path", { class: kind, d: path }), ...dots] : [];
    });
  }
}

const drawnDot = (kind) => drawn("svg", { class: "dot", viewBox: "0 0 10 10", "aria-hidden": "true" }, drawn("rect", { class: kind, width: 10, height: 10, rx: 2 }));
