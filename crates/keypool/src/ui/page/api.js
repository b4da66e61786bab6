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

async function ask(method, path, body, kind) {
  const headers = body === undefined ? {} : { "content-type": kind };
  let response;
  try {
    response = await fetch(`/-/admin${path}`, { method, headers, body, cache: "no-store", redirect: "error" });
  } catch {
    throw new Refused(0, "unreachable", "the gateway does not answer");
  }
  const told = await response.json().catch(() => ({}));
  if (response.ok) return told;
  const { code = "unknown", message = `the gateway answered ${response.status}` } = told.error ?? {};
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
