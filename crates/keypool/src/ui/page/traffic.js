// Attempts and latency of the last ten minutes: rates out of one look and the next, latency out of the last requests.

import { by } from "./element.js";
import { Plot } from "./plot.js";
import { moment } from "./time.js";
import { kindOf, short } from "./words.js";

const BUCKET = 10000;
const BUCKETS = 60;
const KINDS = ["good", "limited", "bad", "other"];

let attempts;
let latency;
/** Counts of attempts by bucket. */
let counts = new Map();
let before = null;
/** When each request began and how long it took, by its id and moment. */
let times = new Map();
let seeded = false;

const bucketOf = (at) => Math.floor(at / BUCKET);
const time = (ms) => (ms >= 10000 ? `${Math.round(ms / 1000)} s` : ms >= 1000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms)} ms`);
const rate = (value) => `${value >= 10 ? short(Math.round(value)) : +value.toFixed(value < 1 ? 2 : 1)}/s`;

export function ready() {
  attempts = new Plot(by("attempts"), {
    series: [["good", "good"], ["rate limited", "limited"], ["failed", "bad"], ["caller's", "other"]],
    text: rate,
    wide: "10 min ago",
    empty: "No attempt in the last ten minutes, as far as this page looked on.",
  });
  latency = new Plot(by("latency"), {
    series: [["median", "median"], ["95 %", "tail"]],
    text: time,
    lines: true,
    wide: "10 min ago",
    empty: "No request in the last ten minutes.",
  });
}

/** Another pool: its own history. */
export function forget() {
  counts = new Map();
  times = new Map();
  before = null;
  seeded = false;
}

function add(bucket, kind, amount) {
  const held = counts.get(bucket) ?? { good: 0, limited: 0, bad: 0, other: 0 };
  held[kind] += amount;
  counts.set(bucket, held);
}

/** What came between this look and the one before; over a long time (the page was hidden) it is spread evenly. */
export function count(snapshot) {
  const now = moment(snapshot.at);
  const sums = { good: 0, limited: 0, bad: 0, other: 0 };
  for (const [verdict, number] of Object.entries(snapshot.verdicts)) sums[kindOf(verdict)] += number;
  if (before) {
    const [first, last] = [bucketOf(before.at), bucketOf(now)];
    for (const kind of KINDS) {
      const came = sums[kind] - before.sums[kind];
      for (let bucket = first; came > 0 && bucket <= last; bucket++) {
        const part = (Math.min(now, (bucket + 1) * BUCKET) - Math.max(before.at, bucket * BUCKET)) / Math.max(1, now - before.at);
        add(bucket, kind, came * part);
      }
    }
  }
  before = { at: now, sums };
  for (const bucket of counts.keys()) if (bucket < bucketOf(now) - BUCKETS) counts.delete(bucket);
}

/** The last requests and attempts that failed. The first time they also tell what came before this page looked on. */
export function note(requests, errors, began) {
  for (const request of requests) {
    if (request.ms !== null && request.status !== null) times.set(`${request.request} ${request.at}`, request);
  }
  const oldest = Date.now() - BUCKET * (BUCKETS + 1);
  for (const [name, request] of times) if (request.at < oldest) times.delete(name);
  if (seeded || !began) return;
  seeded = true;
  // Where as many are told as are remembered, what came before the oldest is not known.
  const known = requests.length < 256 ? 0 : Math.min(...requests.map((request) => request.at));
  for (const { at, status, answered_by } of requests) {
    if (at < began && status < 400 && answered_by === "provider") add(bucketOf(at), "good", 1);
  }
  for (const { at, verdict } of errors) if (at < began && at >= known) add(bucketOf(at), kindOf(verdict), 1);
}

export function draw() {
  const now = before?.at ?? Date.now();
  const last = bucketOf(now);
  const [columns, lines] = [[], []];
  const taken = new Map();
  for (const { at, ms } of times.values()) {
    const bucket = bucketOf(at);
    taken.set(bucket, [...(taken.get(bucket) ?? []), ms]);
  }
  for (let bucket = last - BUCKETS + 1; bucket <= last; bucket++) {
    const ago = Math.max(0, (now - bucket * BUCKET) / 1000 - BUCKET / 2000);
    const held = counts.get(bucket);
    // The last one is not over yet.
    const length = bucket === last ? Math.max(1, (now - bucket * BUCKET) / 1000) : BUCKET / 1000;
    columns.push({ ago, values: KINDS.map((kind) => (held ? held[kind] / length : null)) });
    const sorted = (taken.get(bucket) ?? []).sort((a, b) => a - b);
    const at = (part) => (sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] : null);
    lines.push({ ago, values: [at(0.5), at(0.95)] });
  }
  attempts.tell(columns);
  latency.tell(lines);
}
