// The chart of requests of the last ten minutes, with a bar for every ten seconds.

import { el, svg } from "./dom.js";
import { RESULTS, clock } from "./format.js";

const STEP = 10000;
const STEPS = 60;
const [HEIGHT, LEFT, BOTTOM] = [170, 34, 20];

/** Creates the chart. One unit is one pixel, so that its text has the usual size. */
export function chart(steps, now, total) {
  const kinds = Object.keys(RESULTS);
  const first = Math.floor(now / STEP) * STEP - (STEPS - 1) * STEP;
  const sum = (step) => kinds.reduce((all, kind) => all + step[kind], 0);
  const most = niceMost(Math.max(1, ...steps.map(sum)));
  const width = (total - LEFT) / STEPS;
  const scale = (HEIGHT - BOTTOM - 6) / most;
  const lines = [0, most / 2, most].map((value) => {
    const y = HEIGHT - BOTTOM - value * scale;
    return [
      svg("line", { class: "grid", x1: LEFT, x2: total, y1: y, y2: y }),
      Number.isInteger(value) && svg("text", { class: "axis", x: LEFT - 5, y: y + 4, "text-anchor": "end" }, String(value)),
    ];
  });
  const bars = steps.filter((step) => step.at_ms >= first).map((step) => {
    let y = HEIGHT - BOTTOM;
    const counts = kinds.filter((kind) => step[kind]).map((kind) => `${step[kind]} ${RESULTS[kind][0]}`).join(", ");
    const parts = kinds.filter((kind) => step[kind]).map((kind) => {
      y -= step[kind] * scale;
      const x = LEFT + ((step.at_ms - first) / STEP) * width;
      return svg("rect", { class: RESULTS[kind][1], x: x + 0.5, y, width: width - 1, height: step[kind] * scale });
    });
    return svg("g", {}, svg("title", {}, `${clock(step.at_ms)}: ${counts}`), parts);
  });
  const times = [0, 30].map((n) =>
    svg("text", { class: "axis", x: LEFT + n * width, y: HEIGHT - 3 }, `${(STEPS - n) / 6} min ago`));
  const end = svg("text", { class: "axis", x: total, y: HEIGHT - 3, "text-anchor": "end" }, "now");
  const all = steps.reduce((total, step) => total + sum(step), 0);
  const label = `${all} requests in the last ten minutes, at most ${Math.max(0, ...steps.map(sum))} in ten seconds`;
  const legend = kinds.map((kind) => {
    const count = steps.reduce((total, step) => total + step[kind], 0);
    return el("span", {}, el("i", { class: `dot ${RESULTS[kind][1]}` }), `${RESULTS[kind][0]} `, el("strong", {}, String(count)));
  });
  return el("figure", { class: "chart" },
    svg("svg", { viewBox: `0 0 ${total} ${HEIGHT}`, role: "img", "aria-label": label }, lines, bars, times, end),
    el("figcaption", { class: "legend" }, legend, el("span", { class: "quiet" }, "requests per ten seconds")));
}

function niceMost(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  const step = [1, 2, 4, 5, 10].find((step) => step * power >= most);
  return Math.max(2, step * power);
}
