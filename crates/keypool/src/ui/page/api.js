// The admin API of this very gateway, and no other host.

import { by } from "./element.js";

/** It was not done, and why. */
export class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** What is done when the session is over. */
let over = () => {};
export const whenOver = (act) => (over = act);

/** A look that takes longer is none. What changes something takes the time that it takes. */
const PATIENCE = 10000;

async function ask(method, path, body, kind) {
  const headers = body === undefined ? {} : { "content-type": kind };
  const signal = method === "GET" ? AbortSignal.timeout(PATIENCE) : undefined;
  let response, told;
  try {
    response = await fetch(`/-/admin${path}`, { method, headers, body, signal, cache: "no-store", redirect: "error" });
    told = await response.json().catch((fault) => (signal?.aborted ? Promise.reject(fault) : null));
  } catch {
    throw new Refused(0, "unreachable", "the gateway does not answer");
  }
  if (response.ok && told !== null) return told;
  const { code, message } = told?.error ?? {};
  // Something in between speaks in its place: a proxy, mostly.
  if (!code) throw new Refused(0, "unreachable", `the gateway does not answer: ${response.status} came in its place`);
  const refused = new Refused(response.status, code, message);
  refused.wait = Number(response.headers.get("retry-after")) || null;
  if (response.status === 401 && path !== "/login") over();
  throw refused;
}

export const get = (path) => ask("GET", path);
export const send = (method, path, value) =>
  ask(method, path, value === undefined ? undefined : JSON.stringify(value), "application/json");
export const post = (path, value) => send("POST", path, value);
export const postText = (path, text) => ask("POST", path, text, "text/plain");

/** The pool that is looked at. */
export const pool = () => by("pool").value || "main";

/** The same path for that pool. */
export const inPool = (path) => `${path}${path.includes("?") ? "&" : "?"}pool=${encodeURIComponent(pool())}`;

/** The path of a key of that pool, whatever it is called. */
export const keyPath = (id, more = "") => inPool(`/keys/${encodeURIComponent(id)}${more}`);
