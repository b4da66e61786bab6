//! What is only looked at: the pool, what happens, who is there.

use std::sync::Arc;

use serde_json::{Value, json};
use tower_keypool::store::StoreError;

use super::{
    Admin, Asked, MAIN,
    answer::{Answer, Fault, fine},
    broken,
    feed::REMEMBERED,
};
use crate::{
    database::{processes, tenants},
    gateway::tenant::TenantLimits,
    standing::now_ms,
};

/// Keys that are shown with a snapshot; of a larger pool there is a list (`/-/admin/keys`).
const MOST_KEYS: usize = 2_000;

impl Admin {
    pub(super) async fn snapshot(&self, asked: &Asked) -> Result<Answer, Fault> {
        let name = asked.query("pool").unwrap_or(MAIN).to_owned();
        let pool = self.pool_of(Some(&name))?;
        let most = asked.number("keys", MOST_KEYS)?.min(MOST_KEYS);
        let looked = tokio::task::spawn_blocking(move || pool.snapshot_in_pieces(most)).await;
        let snapshot = looked.map_err(|_| broken())?;
        let scene = self.scene();
        let beside = scene.beside.get(&name).map(|side| side.database.as_ref());
        let database = beside.unwrap_or(self.database.as_ref());
        let pools: Vec<&str> = [MAIN].into_iter().chain(scene.beside.keys().map(String::as_str)).collect();
        Ok(fine(&json!({
            "name": self.process.name,
            "version": self.process.version,
            "started": self.process.started,
            "now": now_ms(),
            "uptime_seconds": self.clock.tick().since(self.began).as_secs(),
            "database": database.map(ToString::to_string),
            "pool": name,
            "pools": pools,
            "keys_left_out": snapshot.total_keys > most,
            "snapshot": snapshot,
        })))
    }

    /// The ways out of a pool; `name` is none of the usual one.
    pub(super) async fn exits(&self, asked: &Asked) -> Result<Value, Fault> {
        let pool = self.pool_of(asked.query("pool"))?;
        let looked = tokio::task::spawn_blocking(move || pool.snapshot_in_pieces(0)).await;
        Ok(json!({ "exits": looked.map_err(|_| broken())?.exits }))
    }

    pub(super) fn events(&self, asked: &Asked) -> Result<Answer, Fault> {
        if asked.query("recent").is_some() {
            let most = asked.number("recent", REMEMBERED)?;
            return Ok(fine(&json!({ "events": self.feed.recent(most) })));
        }
        let access = Arc::clone(&self.access);
        let right = access.right(asked.who, &asked.headers).ok_or_else(gone)?;
        self.feed.stream(async move { access.lost(&right).await })
    }

    pub(super) async fn processes(&self) -> Result<Value, Fault> {
        let mut all = processes::all(&self.records).await.map_err(|error| Fault::store(&error))?;
        let this = self.process.now(&self.scene().pool).await;
        // What is known here is fresher than what was last said.
        all.retain(|process| process.id != this.id);
        all.push(this);
        all.sort_by(|one, other| (one.started, &one.id).cmp(&(other.started, &other.id)));
        let now = now_ms();
        let told: Vec<Value> = all
            .iter()
            .map(|process| {
                let mut value = serde_json::to_value(process).unwrap_or_default();
                value["uptime_seconds"] = ((now - process.started).max(0) / 1000).into();
                value["is_this"] = (process.id == self.process.id).into();
                value
            })
            .collect();
        Ok(json!({ "processes": told }))
    }

    pub(super) async fn tenants(&self) -> Result<Value, Fault> {
        let unread = |error: StoreError| Fault::store(&error);
        let now = now_ms();
        let state = |ended: bool, revoked: bool| match (revoked, ended) {
            (true, _) => "revoked",
            (false, true) => "ended",
            (false, false) => "active",
        };
        let mut told = vec![json!({ "name": "default", "from": "gateway.token", "state": "active" })];
        for grant in &self.scene().loaded.tenants {
            let TenantLimits { rpm, tpm, rpd, tpd } = grant.limits;
            told.push(json!({
                "name": grant.name, "from": "configuration", "models": grant.models,
                "rpm": rpm, "tpm": tpm, "rpd": rpd, "tpd": tpd, "expires": grant.expires,
                "state": state(grant.expires.is_some_and(|ends| now >= ends), false),
            }));
        }
        for kept in tenants::all(&self.records).await.map_err(unread)? {
            told.push(json!({
                "name": kept.name, "from": "database", "models": kept.models,
                "rpm": kept.rpm, "tpm": kept.tpm, "rpd": kept.rpd, "tpd": kept.tpd, "expires": kept.expires,
                "created": kept.created, "revoked": kept.revoked,
                "state": state(kept.expires.is_some_and(|ends| now >= ends), kept.revoked.is_some()),
            }));
        }
        Ok(json!({ "tenants": told }))
    }
}

/// The right went while it was asked.
fn gone() -> Fault {
    Fault::new(http::StatusCode::UNAUTHORIZED, "unauthorized", "what let this request in is no more")
}

impl Admin {
    pub(super) fn errors(&self) -> Value {
        json!({ "errors": self.trails.failures() })
    }

    pub(super) fn requests(&self) -> Value {
        json!({ "requests": self.trails.all() })
    }

    pub(super) fn request(&self, id: &str) -> Result<Value, Fault> {
        let gone = "no request of that id is remembered: the last 256 are, for 10 minutes";
        self.trails.one(id).ok_or_else(|| Fault::not_found(gone))
    }
}
