//! The fields of `--json`, for the long help of commands. A test compares them with the output.

pub(super) const KEYS: &str = "\
With --json: a list of keys with these fields. `keys show` prints one of them.
  id, provider, listed_at: the key
  project, billing_account, zone, label, tier, priority, weight: its options
  models, max_concurrent, interval_seconds, exit: more options; null if they are not set
  given.model, given.unit, given.limit: the given limits
  given.per: minute, day, or seconds such as 30s
  limits.model, limits.unit, limits.per, limits.used, limits.limit: all limits of models in use
  limits.source: given, learned, or assumed; an assumed limit refuses no request
  limits.opens_in_seconds: time until the limit allows one more; null if it does now
  state: usable, partly, half_open, cooling or disabled
  breakers.scope, breakers.target, breakers.state, breakers.seconds_left: the causes
  breakers.class, breakers.reason, breakers.advice: null if unknown
  in_flight, started: requests of this process
  used_today: requests today in the provider's time zone; null without a database
  why, advice: the state in words, and what to do";

pub(super) const MONITOR: &str = "\
With --json: a line for each update, with these fields:
  of: the gateway or the database
  keys: the fields of `keypool keys --json`";

pub(super) const TEST_KEYS: &str = "\
With --json: an object with these fields:
  keys.id, keys.provider, keys.listed_at: the key
  keys.verdict: good, at_limit, bad or untested
  keys.class, keys.status, keys.message, keys.advice: the error; null if there is none
  keys.models: number of models that the key may use; null if unknown
  keys.seconds: duration of the test
  keys.disabled: whether --fix has disabled the key
  summary.good, summary.at_limit, summary.bad, summary.untested: numbers of keys";

pub(super) const STATS: &str = "\
With --json: an object with these fields:
  providers.provider: the name of the provider
  providers.keys, providers.usable, providers.partly, providers.half_open: numbers of keys
  providers.cooling, providers.disabled: numbers of keys
  providers.models_out: models that are unavailable with all keys, as `breakers` of `keys`
  today.requests, today.input_tokens, today.output_tokens, today.images: the provider's day
  database.path, database.size_bytes: the database; null if there is none";

pub(super) const HEALTH: &str = "\
With --json: an object with these fields:
  keys, usable: numbers of keys
  disabled.id, disabled.listed_at, disabled.why, disabled.advice: the disabled keys";

pub(super) const USAGE: &str = "\
With --json: a list with these fields, which are also the columns of --csv:
  key: the key; with --by, the field is named project, model, day or tenant
  requests, input_tokens, output_tokens, images: sums over the days";

pub(super) const EXPLAIN: &str = "\
With --json: an object with these fields:
  id, method, path, tenant, status: the request; tenant is null for the gateway's own token
  at, at_ms: time of the response head: in UTC, and in milliseconds since 1970
  milliseconds: time from the arrival of the request to the response head
  result: good, caller, unavailable or failed
  cause: why the gateway itself sent the response; null if a provider did
  attempts.key, attempts.project, attempts.model, attempts.milliseconds: the attempts, in order
  attempts.status, attempts.class, attempts.message: the error; null if there was none";

pub(super) const IMPORT: &str = "\
With --json: a list of imports with these fields. --history has no file and no problems.
  time: the time in UTC
  file, source: the file, and the origin of its keys
  added, merged, rejected: numbers of keys
  problems.place, problems.message: the rejected lines";

pub(super) const TENANTS: &str = "\
With --json: a list of tenants with these fields. `tenants add` prints name and token.
  name, listed_at, models: the tenant; an empty list means all models
  rpm, rpd, tpm, tpd, max_concurrent: its limits; null if there is none
  expires, created: times; null if never, or if it is listed in the configuration
  requests_today: requests today (UTC)";
