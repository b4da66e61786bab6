//! What the API answers, as its description has it. Tests hold real answers against it.
#![expect(clippy::needless_pass_by_value, reason = "schemas are made where they are named")]

use serde_json::{Map, Value, json};

use super::route::What;

/// Fields of an object by name; a name that ends with `?` may be left out.
type Fields<'a> = &'a [(&'a str, Value)];

fn object(fields: Fields<'_>) -> Value {
    let bare = |name: &str| name.trim_end_matches('?').to_owned();
    let properties: Map<String, Value> = fields.iter().map(|(name, of)| (bare(name), of.clone())).collect();
    let required: Vec<&str> = fields.iter().map(|(name, _)| *name).filter(|name| !name.ends_with('?')).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

fn list(of: Value) -> Value {
    json!({ "type": "array", "items": of })
}

/// An object of these values by names of somebody's.
fn by_name(of: Value) -> Value {
    json!({ "type": "object", "additionalProperties": of })
}

/// Or nothing.
fn maybe(of: Value) -> Value {
    json!({ "anyOf": [of, { "type": "null" }] })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn number() -> Value {
    json!({ "type": "number" })
}

fn flag() -> Value {
    json!({ "type": "boolean" })
}

fn word(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

/// Unix milliseconds.
fn moment() -> Value {
    json!({ "type": "integer", "description": "Unix milliseconds" })
}

fn of(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// What several answers have.
pub(super) fn schemas() -> Map<String, Value> {
    let duration = object(&[("secs", count()), ("nanos", count())]);
    let time = object(&[("secs_since_epoch", count()), ("nanos_since_epoch", count())]);
    let sliding = object(&[("sliding", of("Duration"))]);
    let span = json!({ "anyOf": [word(&["day"]), sliding] });
    let limit = object(&[("unit", text()), ("span", of("Span")), ("amount", count())]);
    let rest = [("scope", text()), ("model", maybe(text())), ("kind", text()), ("code", text()), ("advice", text())];
    let live_rest = [("ends_in", maybe(of("Duration"))), ("probe_in", maybe(of("Duration"))), ("held", flag())];
    let shown_limit =
        object(&[("limit", of("Limit")), ("used", count()), ("source", word(&["given", "learned", "table"]))]);
    let of_key_lane = object(&[
        ("model", maybe(text())),
        ("out", maybe(text())),
        ("ready_in", maybe(of("Duration"))),
        ("limits", list(shown_limit)),
    ]);
    let live = object(&[
        ("id", text()),
        ("owner", maybe(text())),
        ("priority", count()),
        ("weight", number()),
        ("current_weight", number()),
        ("share", number()),
        ("tier", maybe(text())),
        ("exit?", text()),
        ("labels", by_name(text())),
        ("state", word(&["ready", "partly", "busy", "resting", "disabled"])),
        ("in_flight", count()),
        ("max_concurrent", maybe(count())),
        ("started", count()),
        ("succeeded", count()),
        ("failed", count()),
        ("limit_hits", count()),
        ("error_rate", number()),
        ("rests", list(of("LiveRest"))),
        ("lanes", list(of_key_lane)),
    ]);
    let window = object(&[("model", text()), ("limit", of("Limit")), ("used", count())]);
    let out = object(&[("model", maybe(text())), ("why", text())]);
    let key = object(&[
        ("id", text()),
        ("provider", text()),
        ("tier", maybe(text())),
        ("priority", count()),
        ("weight", number()),
        ("weight_now", number()),
        ("owner", maybe(text())),
        ("source", maybe(text())),
        ("labels?", by_name(text())),
        ("secret", text()),
        ("origins", list(text())),
        ("limits?", by_name(list(text()))),
        ("state", word(&["usable", "partly", "resting", "out_for_today", "faulty", "disabled", "removed"])),
        ("reason", text()),
        ("last_success", maybe(moment())),
        ("last_failure", maybe(moment())),
        ("consecutive_failures", count()),
        ("created", moment()),
        ("used_today", count()),
        ("rests", list(object(&[&rest[..], &[("until", maybe(moment()))]].concat()))),
        ("out_for_today", list(out)),
        ("windows?", list(window)),
        ("live", maybe(of("LiveKey"))),
    ]);
    let attempt = object(&[
        ("key", text()),
        ("model", maybe(text())),
        ("at_ms", count()),
        ("waited_ms", count()),
        ("status", maybe(count())),
        ("verdict", maybe(text())),
        ("ms", maybe(count())),
        ("scope?", maybe(text())),
        ("code?", maybe(text())),
        ("sentence?", maybe(text())),
    ]);
    let candidate =
        object(&[("key", text()), ("priority", count()), ("out", maybe(text())), ("ready_in_ms", maybe(count()))]);
    let look =
        object(&[("at_ms", count()), ("model", maybe(text())), ("more", count()), ("candidates", list(candidate))]);
    let request = request();
    let told = [&request[..], &[("attempts", list(of("Attempt"))), ("looks", list(look))]].concat();
    let schemas = [
        ("Duration", duration),
        ("Time", time),
        ("Span", span),
        ("Limit", limit),
        ("Sum", object(&sum())),
        ("Use", object(&used())),
        ("LiveRest", object(&[&rest[..], &live_rest].concat())),
        ("LiveKey", live),
        ("Key", key),
        ("Exit", object(&[("name", maybe(text())), ("keys", count()), ("rest", maybe(of("LiveRest")))])),
        ("Snapshot", snapshot()),
        ("Attempt", attempt),
        ("Request", object(&[&request[..], &[("attempts", count())]].concat())),
        ("Told", object(&told)),
    ];
    schemas.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

/// What keys used.
fn sum() -> Vec<(&'static str, Value)> {
    vec![("requests", count()), ("errors", by_name(count())), ("input_tokens", count()), ("output_tokens", count())]
}

/// What tenants used.
fn used() -> Vec<(&'static str, Value)> {
    vec![("requests", count()), ("failed", count()), ("input_tokens", count()), ("output_tokens", count())]
}

fn request() -> Vec<(&'static str, Value)> {
    vec![
        ("request", text()),
        ("at", moment()),
        ("tenant", maybe(text())),
        ("method", text()),
        ("path", text()),
        ("model", maybe(text())),
        ("key", maybe(text())),
        ("status", maybe(count())),
        ("ms", count()),
        ("answered_by", maybe(word(&["provider", "gateway"]))),
        ("why", maybe(text())),
        ("retry_after", maybe(text())),
        ("surveyed", flag()),
    ]
}

fn snapshot() -> Value {
    let disabled = object(&[("scope", text()), ("kind", text()), ("keys", count())]);
    let priority = object(&[
        ("priority", count()),
        ("keys", count()),
        ("available", count()),
        ("resting", count()),
        ("disabled", count()),
        ("in_flight", count()),
    ]);
    let limit = object(&[("unit", text()), ("span", of("Span")), ("amount", count()), ("used", count())]);
    let lane = object(&[
        ("model", maybe(text())),
        ("confirmed", flag()),
        ("available_keys", count()),
        ("limits", list(limit)),
        ("in_flight", count()),
        ("started", count()),
        ("spilled", count()),
        ("waiters", count()),
        ("rest", maybe(of("LiveRest"))),
    ]);
    let sharing = object(&[
        ("state", word(&["connected", "grace", "recovering", "fail_closed", "fair_share", "local"])),
        ("since", of("Time")),
        ("units", count()),
        ("held", count()),
        ("counters", by_name(count())),
    ]);
    object(&[
        ("at", of("Time")),
        ("provider", text()),
        ("strategy", text()),
        ("day_ends", of("Time")),
        ("total_keys", count()),
        ("available_keys", count()),
        ("busy_keys", count()),
        ("resting_keys", count()),
        ("disabled_keys", count()),
        ("merged", list(text())),
        ("disabled", list(disabled)),
        ("priorities", list(priority)),
        ("in_flight", count()),
        ("waiters", count()),
        ("started", count()),
        ("requests_last_minute", count()),
        ("successes_last_minute", count()),
        ("limit_hits_last_minute", count()),
        ("verdicts", by_name(count())),
        ("spills", count()),
        ("exhausted", count()),
        ("events_lost", count()),
        ("sharing?", sharing),
        ("exit_rest", maybe(of("LiveRest"))),
        ("exits", list(of("Exit"))),
        ("keys", list(of("LiveKey"))),
        ("lanes", list(lane)),
        ("total_memory_bytes", count()),
        ("bytes_per_key", count()),
    ])
}

/// The answer to what went well; `None`: no object of its own.
pub(super) fn answer(what: What) -> Option<Value> {
    let acts = ("acts", json!({ "type": "string", "description": "where, and within which time" }));
    Some(match what {
        What::Login | What::Logout => object(&[("ok", flag())]),
        What::Reload => object(&[("ok", flag()), ("news", text())]),
        What::Snapshot => object(&[
            ("name", text()),
            ("version", text()),
            ("started", moment()),
            ("now", moment()),
            ("uptime_seconds", count()),
            ("database", maybe(text())),
            ("pool", text()),
            ("pools", list(text())),
            ("keys_left_out", flag()),
            ("snapshot", of("Snapshot")),
        ]),
        What::Keys => object(&[("total", count()), ("offset", count()), ("keys", list(of("Key")))]),
        What::Key => of("Key"),
        What::AddKey => object(&[
            ("id", text()),
            ("added", flag()),
            acts,
            ("disabled?", maybe(text())),
            ("secret_key_file?", maybe(text())),
        ]),
        What::Disable | What::Enable | What::Replace | What::Set | What::Remove => object(&[("id", text()), acts]),
        What::Test => object(&[
            ("id", text()),
            ("works", flag()),
            ("status", maybe(count())),
            ("verdict", maybe(text())),
            ("scope", maybe(text())),
            ("code", maybe(text())),
            ("ms", count()),
            ("sentence", text()),
            ("advice", maybe(text())),
        ]),
        What::Import => object(&[
            ("lines", count()),
            ("added", count()),
            ("duplicate", count()),
            ("rejected", list(object(&[("line", count()), ("why", text())]))),
            acts,
            ("secret_key_file", maybe(text())),
        ]),
        What::Exits => object(&[("exits", list(of("Exit")))]),
        What::LiftExit => object(&[("exit", maybe(text())), ("lifted", flag()), acts]),
        What::Usage => usage(),
        What::Events => object(&[("events", list(json!({ "type": "object", "required": ["event"] })))]),
        What::Errors => {
            let error = object(&[
                ("at", moment()),
                ("request", text()),
                ("key", text()),
                ("model", maybe(text())),
                ("status", maybe(count())),
                ("verdict", text()),
                ("scope", text()),
                ("code", maybe(text())),
                ("sentence", maybe(text())),
            ]);
            object(&[("errors", list(error))])
        }
        What::Processes => object(&[("processes", list(process()))]),
        What::Tenants => object(&[("tenants", list(tenant()))]),
        What::Requests => object(&[("requests", list(of("Request")))]),
        What::Request => of("Told"),
        What::Audit => {
            let change = object(&[
                ("at", moment()),
                ("who", word(&["token", "session"])),
                ("from", text()),
                ("what", text()),
                ("pool", maybe(text())),
                ("key", maybe(text())),
                ("result", text()),
            ]);
            let failed = object(&[("from", text()), ("first", moment()), ("last", moment()), ("times", count())]);
            object(&[("changes", list(change)), ("failed_logins", list(failed))])
        }
        What::Description => return None,
    })
}

fn usage() -> Value {
    let row = |amounts: Vec<(&'static str, Value)>, names: &[&'static str]| {
        let names = names.iter().chain(&["day"]).map(|name| (*name, text()));
        object(&amounts.into_iter().chain(names).collect::<Vec<_>>())
    };
    let rows = [row(sum(), &["key"]), row(sum(), &["model"]), row(used(), &["tenant", "model"])];
    let rows = json!({ "anyOf": rows });
    object(&[
        ("from", text()),
        ("to", text()),
        ("by", word(&["key", "model", "tenant"])),
        ("rows", list(rows)),
        ("total", json!({ "anyOf": [of("Sum"), of("Use")] })),
    ])
}

fn process() -> Value {
    object(&[
        ("id", text()),
        ("name", text()),
        ("host", text()),
        ("pid", count()),
        ("version", text()),
        ("listen", text()),
        ("started", moment()),
        ("seen", moment()),
        ("uptime_seconds", count()),
        ("is_this", flag()),
        ("units_held", maybe(count())),
        ("units", maybe(count())),
        ("sharing", maybe(text())),
        ("memory_bytes", maybe(count())),
        ("pool_bytes", maybe(count())),
        ("spills", maybe(count())),
        ("left_out?", list(text())),
        ("in_both?", list(text())),
    ])
}

fn tenant() -> Value {
    object(&[
        ("name", text()),
        ("from", word(&["gateway.token", "configuration", "database"])),
        ("state", word(&["active", "ended", "revoked"])),
        ("models?", list(text())),
        ("rpm?", maybe(count())),
        ("tpm?", maybe(count())),
        ("rpd?", maybe(count())),
        ("tpd?", maybe(count())),
        ("expires?", maybe(moment())),
        ("created?", moment()),
        ("revoked?", maybe(moment())),
    ])
}
