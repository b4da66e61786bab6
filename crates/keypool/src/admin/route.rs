//! Every path of the API: what is answered, and what its description says, go by this one table.

use http::Method;
use percent_encoding::percent_decode_str;

/// Where all of it lies.
pub(super) const ROOT: &str = "/-/admin";

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Login,
    Logout,
    Snapshot,
    Keys,
    Key,
    AddKey,
    Disable,
    Enable,
    Replace,
    Set,
    Remove,
    Test,
    Import,
    Exits,
    LiftExit,
    Usage,
    Events,
    Errors,
    Processes,
    Tenants,
    Reload,
    Requests,
    Request,
    Audit,
    Description,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) method: Method,
    /// Behind [`ROOT`]; `{id}` stands for a name.
    pub(super) path: &'static str,
    pub(super) what: What,
    /// One line for people.
    pub(super) about: &'static str,
    /// What may stand in the query: name and what it does.
    pub(super) query: &'static [(&'static str, &'static str)],
    /// What it may answer when all is well.
    pub(super) statuses: &'static [u16],
}

const POOL: (&str, &str) = ("pool", "the name of a provider beside the gateway's own");

const fn route(method: Method, path: &'static str, what: What, about: &'static str) -> Route {
    Route { method, path, what, about, query: &[], statuses: &[200] }
}

const fn get(path: &'static str, what: What, about: &'static str) -> Route {
    route(Method::GET, path, what, about)
}

const fn post(path: &'static str, what: What, about: &'static str) -> Route {
    route(Method::POST, path, what, about)
}

impl Route {
    const fn by(mut self, query: &'static [(&'static str, &'static str)]) -> Self {
        self.query = query;
        self
    }

    const fn answers(mut self, statuses: &'static [u16]) -> Self {
        self.statuses = statuses;
        self
    }
}

/// All of them.
pub(super) static ROUTES: [Route; 25] = [
    post("/login", What::Login, "Begin a session: a cookie for this token"),
    post("/logout", What::Logout, "End the session"),
    get("/snapshot", What::Snapshot, "The pool as it stands in this process")
        .by(&[POOL, ("keys", "at most so many keys with it: 2000 unless set, which is the most")]),
    get("/keys", What::Keys, "The keys, without their secrets").by(&[
        POOL,
        ("state", "only keys that stand so: usable, partly, resting, out_for_today, faulty, disabled, removed, all"),
        ("offset", "so many are left out in front"),
        ("limit", "at most so many: 100 unless set, at most 1000"),
    ]),
    post("/keys", What::AddKey, "Keep a key in the database; 200 where it is there already")
        .answers(&[200, 201])
        .by(&[POOL]),
    get("/keys/{id}", What::Key, "One key").by(&[POOL]),
    route(Method::PATCH, "/keys/{id}", What::Set, "Say something else of a key").by(&[POOL]),
    route(Method::DELETE, "/keys/{id}", What::Remove, "Take a key out of the database").by(&[POOL]),
    post("/keys/{id}/disable", What::Disable, "Switch a key off until it is switched on").by(&[POOL]),
    post("/keys/{id}/enable", What::Enable, "Switch a key on, and lift its rests, its owner's and its exit's")
        .by(&[POOL]),
    post("/keys/{id}/replace", What::Replace, "Give a key another secret").by(&[POOL]),
    post("/keys/{id}/test", What::Test, "Make one real call with a key").by(&[POOL]),
    post("/import", What::Import, "Keep the keys of a key file, which is the body, in the database")
        .by(&[POOL, ("source", "where the keys are from, in your own words")]),
    get("/exits", What::Exits, "The ways out to the provider, and their rests").by(&[POOL]),
    post("/exits/lift", What::LiftExit, "Lift an exit's rest: its keys are used again")
        .by(&[POOL, ("exit", "its name; the usual way out, of keys that name none, unless set")]),
    get("/usage", What::Usage, "What was used on a day, over all processes").by(&[
        POOL,
        ("day", "2026-06-15, today or yesterday; today unless set"),
        ("from", "the first of several days, in the place of day"),
        ("to", "the last of them"),
        ("by", "key, model or tenant; key unless set"),
    ]),
    get("/events", What::Events, "What happens, as server-sent events")
        .by(&[("recent", "the last so many as a list, at most 256, in the place of a stream")]),
    get("/errors", What::Errors, "The last attempts that failed"),
    get("/processes", What::Processes, "The processes that work on the store"),
    get("/tenants", What::Tenants, "Who may ask, without their tokens"),
    post("/reload", What::Reload, "Read the configuration again"),
    get("/requests", What::Requests, "The last requests"),
    get("/requests/{id}", What::Request, "What became of a request"),
    get("/audit", What::Audit, "The last changes by administrators, and log-ins that failed, by address"),
    get("/openapi.json", What::Description, "This description"),
];

/// What a path and method ask for.
pub(super) enum Found {
    Route(&'static Route, String),
    /// Only by these methods.
    Not(String),
    Nowhere,
}

pub(super) fn find(method: &Method, path: &str) -> Found {
    let Some(path) = path.strip_prefix(ROOT) else { return Found::Nowhere };
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut allowed = Vec::new();
    for route in &ROUTES {
        let Some(id) = fits(route.path, path) else { continue };
        // What may be read may be asked about.
        if route.method == *method || (route.method == Method::GET && *method == Method::HEAD) {
            return Found::Route(route, id);
        }
        allowed.push(route.method.as_str());
    }
    if allowed.is_empty() { Found::Nowhere } else { Found::Not(allowed.join(", ")) }
}

/// The name in a path that is one of these, empty where it has none.
fn fits(template: &str, path: &str) -> Option<String> {
    let (mut id, mut parts) = (String::new(), path.split('/'));
    for expected in template.split('/') {
        let part = parts.next()?;
        if expected == "{id}" {
            let name = percent_decode_str(part).decode_utf8().ok()?;
            id = Some(name.into_owned()).filter(|name| !name.is_empty())?;
        } else if part != expected {
            return None;
        }
    }
    parts.next().is_none().then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(method: &Method, path: &str) -> String {
        match find(method, path) {
            Found::Route(route, id) => format!("{:?} {}", route.what, id),
            Found::Not(allowed) => allowed,
            Found::Nowhere => "nowhere".to_owned(),
        }
    }

    #[test]
    fn a_path_and_a_method_say_what_is_asked_for() {
        for (method, path, expected) in [
            (Method::GET, "/-/admin/keys", "Keys "),
            (Method::HEAD, "/-/admin/keys/", "Keys "),
            (Method::GET, "/-/admin/keys/a%20b", "Key a b"),
            (Method::POST, "/-/admin/keys/k-1/disable", "Disable k-1"),
            (Method::PUT, "/-/admin/keys/k-1", "GET, PATCH, DELETE"),
            (Method::GET, "/-/admin/reload", "POST"),
            (Method::GET, "/-/admin", "nowhere"),
            (Method::GET, "/-/admin/keys//disable", "nowhere"),
            (Method::GET, "/-/admin/keys/a/b/c", "nowhere"),
            (Method::GET, "/-/administrator", "nowhere"),
        ] {
            assert_eq!(found(&method, path), expected, "{path}");
        }
    }
}
