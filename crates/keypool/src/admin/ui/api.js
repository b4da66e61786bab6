// The client of the admin API. It sends requests to this gateway only.

/** An error response of the admin API; status 0 if there was no response. */
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
    throw new Refused(0, "the gateway does not respond");
  }
  if (response.ok || response.status === 304) return response;
  const error = await response.json().catch(() => null);
  throw new Refused(response.status, error?.error?.message ?? `the gateway responded with ${response.status}`);
}

const seen = new Map();

/** Returns the value at a path; the same object while the gateway reports no change (304). */
export async function get(path) {
  const known = seen.get(path);
  const response = await ask("GET", path, known ? { "if-none-match": known.tag } : {});
  if (response.status === 304) return known.value;
  const value = await response.json();
  const tag = response.headers.get("etag");
  if (tag) {
    // Each filter text is a path of its own.
    if (seen.size > 50) seen.clear();
    seen.set(path, { tag, value });
  }
  return value;
}

export async function send(method, path, value) {
  const response = await ask(method, path, { "content-type": "application/json" }, JSON.stringify(value ?? {}));
  return response.status === 204 ? null : response.json();
}

/** Clears the cached values when a session ends. */
export const forget = () => seen.clear();

export const keyPath = (id, more = "") => `/keys/${encodeURIComponent(id)}${more}`;
