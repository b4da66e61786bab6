// The admin API of this very gateway, and no other host.

/** It was not done, and why. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const TIMEOUT = 15000;

async function ask(method, path, headers, body) {
  let response;
  try {
    const signal = AbortSignal.timeout(TIMEOUT);
    response = await fetch(`/-/admin${path}`, { method, headers, body, signal, cache: "no-store", redirect: "error" });
  } catch {
    throw new Refused(0, "the gateway does not answer");
  }
  if (response.ok || response.status === 304) return response;
  const told = await response.json().catch(() => null);
  throw new Refused(response.status, told?.error?.message ?? `the gateway answered with ${response.status}`);
}

const seen = new Map();

/** What a path says; the same object while the gateway says that nothing changed. */
export async function get(path) {
  const known = seen.get(path);
  const response = await ask("GET", path, known ? { "if-none-match": known.tag } : {});
  if (response.status === 304) return known.value;
  const value = await response.json();
  const tag = response.headers.get("etag");
  if (tag) {
    // Filters make many paths.
    if (seen.size > 50) seen.clear();
    seen.set(path, { tag, value });
  }
  return value;
}

export async function send(method, path, value) {
  const response = await ask(method, path, { "content-type": "application/json" }, JSON.stringify(value ?? {}));
  return response.status === 204 ? null : response.json();
}

/** Forgets all that was told, when a session ends. */
export const forget = () => seen.clear();

export const keyPath = (id, more = "") => `/keys/${encodeURIComponent(id)}${more}`;
