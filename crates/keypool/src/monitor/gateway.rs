//! What a running gateway tells: its admin API.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, anyhow, bail};
use http::Uri;
use serde::Deserialize;
use serde_json::Value;
use tower_keypool::{Limit, Span, Unit};

use super::{KeyLine, LaneLine, Picture, Resting, Tone, Used, picture::clock};
use crate::probe;

/// Where it tells.
const PAGE: &str = "/-/admin/snapshot";

/// A gateway that runs, and the token of its admin API.
#[derive(Clone)]
pub struct Gateway {
    at: Uri,
    token: Option<String>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("at", &self.at).finish_non_exhaustive()
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Told {
    name: String,
    version: String,
    uptime_seconds: f64,
    /// The snapshot, or the pool's name with the snapshot beside it.
    pool: Value,
    snapshot: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pool {
    provider: String,
    in_flight: u64,
    waiters: u64,
    started: u64,
    requests_last_minute: u64,
    limit_hits_last_minute: u64,
    total_keys: u64,
    exit_rest: Option<Rest>,
    exits: Vec<Exit>,
    keys: Vec<Key>,
    lanes: Vec<Lane>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Exit {
    name: Option<String>,
    rest: Option<Rest>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Key {
    id: String,
    owner: Option<String>,
    tier: Option<Value>,
    state: String,
    in_flight: u64,
    started: u64,
    rests: Vec<Rest>,
    lanes: Vec<KeyLane>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct KeyLane {
    model: Option<String>,
    out: Option<String>,
    ready_in: Option<Duration>,
    limits: Vec<KeyLimit>,
}

#[derive(Deserialize)]
struct KeyLimit {
    limit: Limit,
    #[serde(default)]
    used: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Rest {
    model: Option<String>,
    code: String,
    advice: String,
    ends_in: Option<Duration>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Lane {
    model: Option<String>,
    available_keys: u64,
    in_flight: u64,
    started: u64,
    waiters: u64,
    limits: Vec<LaneLimit>,
    rest: Option<Rest>,
}

#[derive(Deserialize)]
struct LaneLimit {
    unit: Unit,
    span: Span,
    #[serde(default)]
    amount: u64,
    #[serde(default)]
    used: u64,
}

impl Gateway {
    /// That at `http(s)://HOST:PORT`.
    ///
    /// # Errors
    /// When that is no address, or the token would go over an open network in the clear.
    pub fn at(url: &str, token: Option<String>) -> anyhow::Result<Self> {
        let at = probe::address(url)?;
        if at.host().is_none() || at.scheme_str().is_none() {
            bail!("{url} is no address: expected http://HOST:PORT or https://HOST:PORT");
        }
        if token.is_some() {
            probe::may_have_the_token(&at)?;
        }
        Ok(Self { at, token })
    }

    /// Keys and lanes of all its pools; those of providers beside its own have their name in front.
    pub(super) async fn look(&self) -> anyhow::Result<Picture> {
        let told = self.ask("").await?;
        let pools: Vec<String> = serde_json::from_value(told["pools"].clone()).unwrap_or_default();
        let mut picture = read(told, &self.at)?;
        for name in pools.iter().skip(1) {
            // One that has just gone is no more.
            let Ok(told) = self.ask(&format!("?pool={name}")).await else { continue };
            picture.take_in(name, read(told, &self.at)?);
        }
        Ok(picture)
    }

    async fn ask(&self, query: &str) -> anyhow::Result<Value> {
        let (at, token) = (self.at.to_string(), self.token.as_deref().unwrap_or_default());
        let told = probe::administer(&format!("{}{PAGE}{query}", at.trim_end_matches('/')), token).await;
        told.map_err(|error| match error.to_string() {
            said if said.starts_with("401") || said.starts_with("403") => {
                anyhow!("{at} does not take the token ({said}): --admin-token-file or KEYPOOL_ADMIN_TOKEN")
            }
            _ => error,
        })
    }
}

/// A snapshot, as it is told. What is missing is left out; what is unknown is passed by.
fn read(told: Value, at: &Uri) -> anyhow::Result<Picture> {
    let told: Told = serde_json::from_value(told).with_context(|| format!("{at} tells something else"))?;
    let pool = if told.pool.is_object() { told.pool } else { told.snapshot.unwrap_or_default() };
    let pool: Pool = serde_json::from_value(pool).with_context(|| format!("{at} tells something else"))?;
    let up = clock(Duration::from_secs_f64(told.uptime_seconds.clamp(0.0, 1e9)));
    let mut notes = Vec::new();
    if let Some(rest) = pool.exit_rest {
        notes.push(format!("nothing goes out: {}", resting(rest).text(Duration::ZERO)));
    } else {
        for exit in pool.exits {
            let (Some(rest), name) = (exit.rest, exit.name) else { continue };
            let name = name.map_or_else(|| "the usual way".to_owned(), |name| format!("exit {name}"));
            notes.push(format!("nothing goes out by {name}: {}", resting(rest).text(Duration::ZERO)));
        }
    }
    if pool.total_keys > pool.keys.len() as u64 {
        notes.push(format!("{} of {} keys are shown", pool.keys.len(), pool.total_keys));
    }
    Ok(Picture {
        title: format!("{} {} at {at} ({}), up {up}", told.name, told.version, pool.provider),
        keys: pool.keys.into_iter().map(key).collect(),
        lanes: pool.lanes.into_iter().map(lane).collect(),
        started: pool.started,
        in_flight: Some(pool.in_flight),
        waiting: Some(pool.waiters),
        last_minute: Some(pool.requests_last_minute),
        limit_hits: Some(pool.limit_hits_last_minute),
        notes,
    })
}

fn key(told: Key) -> KeyLine {
    let mut rests: Vec<Resting> = told.rests.into_iter().map(resting).collect();
    let mut used = BTreeMap::new();
    for lane in told.lanes {
        let model = model(lane.model);
        if let Some(why) = lane.out.filter(|_| rests.is_empty()) {
            rests.push(Resting { model: Some(model.clone()), why, ends_in: lane.ready_in });
        }
        for KeyLimit { limit, used: n } in lane.limits.into_iter().filter(|limit| limit.used > 0) {
            let limited = Used { model: model.clone(), limit: limit.to_string(), used: n, amount: limit.amount };
            used.insert((model.clone(), limit), limited);
        }
    }
    let tier = told.tier.as_ref().map(|tier| match tier {
        Value::String(name) => name.to_lowercase(),
        // A tier by the provider's own name.
        Value::Object(named) => named.values().next().and_then(Value::as_str).unwrap_or_default().to_owned(),
        _ => String::new(),
    });
    KeyLine {
        id: told.id,
        owner: told.owner.unwrap_or_default(),
        tier: tier.unwrap_or_default(),
        tone: match &*told.state {
            "ready" | "busy" => Tone::Good,
            "partly" => Tone::Partly,
            "resting" => Tone::Resting,
            _ => Tone::Bad,
        },
        state: told.state,
        in_flight: Some(told.in_flight),
        started: told.started,
        used: used.into_values().collect(),
        rests,
    }
}

fn lane(told: Lane) -> LaneLine {
    let used = |limit: LaneLimit| Used {
        model: String::new(),
        limit: Limit { unit: limit.unit, span: limit.span, amount: limit.amount }.to_string(),
        used: limit.used,
        amount: limit.amount,
    };
    LaneLine {
        model: model(told.model),
        available: Some(told.available_keys),
        in_flight: Some(told.in_flight),
        waiting: Some(told.waiters),
        started: told.started,
        used: told.limits.into_iter().map(used).collect(),
        rest: told.rest.map(resting),
    }
}

fn model(name: Option<String>) -> String {
    name.unwrap_or_else(|| "(no model)".to_owned())
}

fn resting(told: Rest) -> Resting {
    let why = if told.code.is_empty() { told.advice } else { told.code };
    Resting { model: told.model, why, ends_in: told.ends_in }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tower_keypool::{Gemini, Key as PoolKey, KeyPool, Limits};

    use super::*;

    fn pool() -> KeyPool {
        let key =
            |n: usize| PoolKey::free(format!("AIza-not-a-real-key-{n:03}")).id(format!("k{n}")).owner("project-a");
        let limits = Limits::new().per_minute(10).per_day(250);
        KeyPool::builder(Gemini::new()).key(key(1)).key(key(2)).limits("flash", limits).build().unwrap()
    }

    #[test]
    fn a_snapshot_is_read_as_the_library_writes_it() {
        let pool = pool();
        pool.disable(&pool.snapshot().keys[1].id, "by hand").unwrap();
        let lease = pool.try_acquire("flash").unwrap();
        lease.started();
        let told = json!({
            "name": "keypool", "version": "0.1.0", "uptime_seconds": 65,
            "pool": pool.snapshot(), "more": 1,
        });
        let picture = read(told.clone(), &"http://127.0.0.1:5000".parse().unwrap()).unwrap();
        assert!(picture.title.contains("up 1 min 05 s"), "{}", picture.title);
        assert_eq!((picture.in_flight, picture.started, picture.keys.len()), (Some(1), 1, 2));
        let (one, two) = (&picture.keys[0], &picture.keys[1]);
        assert_eq!((&*one.id, &*one.tier, &*one.owner, one.in_flight), ("k1", "free", "project-a", Some(1)));
        let used: Vec<String> = one.used.iter().map(Used::text).collect();
        assert_eq!(used, ["flash 1/10 requests/minute", "flash 1/250 requests/day"]);
        assert_eq!((&*two.state, two.tone), ("disabled", Tone::Bad));
        assert!(two.rests[0].text(Duration::ZERO).contains("by hand"), "{:?}", two.rests);
        let lane = picture.lanes.iter().find(|lane| lane.model == "flash").unwrap();
        assert_eq!(lane.used[0].text(), "1/10 requests/minute");

        // The snapshot beside the pool's name.
        let told = json!({ "name": "keypool", "pool": "default", "snapshot": pool.snapshot() });
        let picture = read(told.clone(), &"http://127.0.0.1:5000".parse().unwrap()).unwrap();
        assert_eq!(picture.keys.len(), 2);
        assert!(read(json!([1]), &"http://127.0.0.1:5000".parse().unwrap()).is_err());
    }

    #[test]
    fn a_token_goes_over_no_open_network_in_the_clear() {
        let token = || Some("the-admin-token".to_owned());
        assert!(Gateway::at("http://10.0.0.7:5000", token()).is_err());
        for good in ["http://127.0.0.1:5000", "http://[::1]:5000", "http://localhost:5000", "https://10.0.0.7"] {
            let gateway = Gateway::at(good, token()).unwrap();
            assert!(!format!("{gateway:?}").contains("the-admin-token"));
        }
        assert!(Gateway::at("http://10.0.0.7:5000", None).is_ok());
        assert!(Gateway::at("localhost", None).is_err());
    }
}
