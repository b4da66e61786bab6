// Times as the API tells them, and as people read them.

/** Seconds of a duration, `{secs, nanos}`. */
export const seconds = (duration) => (duration ? duration.secs + duration.nanos / 1e9 : null);

/** Milliseconds of a moment, `{secs_since_epoch, nanos_since_epoch}`. */
export const moment = (at) => at.secs_since_epoch * 1000 + at.nanos_since_epoch / 1e6;

const two = (number) => String(number).padStart(2, "0");

/** `42 s`, `3 min 05 s`, `2 h 10 min`, `3 d 4 h`. */
export function long(left) {
  const all = Math.max(0, Math.ceil(left));
  if (all < 60) return `${all} s`;
  if (all < 3600) return `${Math.floor(all / 60)} min ${two(all % 60)} s`;
  if (all < 86400) return `${Math.floor(all / 3600)} h ${two(Math.floor((all % 3600) / 60))} min`;
  return `${Math.floor(all / 86400)} d ${Math.floor((all % 86400) / 3600)} h`;
}

/** `10:30:45`, with the date where it is not today's. */
export function clock(ms) {
  if (!ms) return "never";
  const at = new Date(ms);
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  if (at.toDateString() === new Date().toDateString()) return time;
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${time}`;
}

/** When this many seconds are over, by this machine's own clock: to the second, so that a look changes nothing. */
export const ends = (left) => Math.round(Date.now() / 1000 + left);

/** Counts down whatever says when it ends (`data-ends`). */
export function tick() {
  const now = Date.now() / 1000;
  for (const node of document.querySelectorAll("[data-ends]")) {
    const text = long(node.dataset.ends - now);
    if (node.textContent !== text) node.textContent = text;
  }
}
