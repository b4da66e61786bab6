//! What another configuration changes, in one line.

use std::fmt;

use tower_keypool::{KeyId, RosterChange, config::PoolSection};

use crate::config::Loaded;

/// What goes by the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// The gateway.
    Gateway,
    /// A batch.
    Batch,
}

impl Runs {
    /// What becomes of it without any key.
    pub(super) fn without_keys(self) -> &'static str {
        match self {
            Self::Gateway => "every request gets a 503",
            Self::Batch => "every task waits",
        }
    }
}

/// What is another than before, on one line.
#[derive(Debug)]
pub(super) struct News {
    keys: RosterChange,
    /// Tables with another setting.
    tables: Vec<&'static str>,
    /// Settings that it cannot take while it runs.
    later: Vec<&'static str>,
}

impl News {
    pub(super) fn between(runs: Runs, before: &Loaded, after: &Loaded, keys: RosterChange) -> Self {
        let names = |list: &[(&'static str, bool)]| {
            list.iter().filter(|(_, differs)| *differs).map(|(name, _)| *name).collect()
        };
        match runs {
            Runs::Gateway => {
                let (tables, later) = (of_gateway(before, after), of_gateway_later(before, after));
                Self { keys, tables: names(&tables), later: names(&later) }
            }
            Runs::Batch => {
                let (tables, later) = (of_batch(before, after), of_batch_later(before, after));
                Self { keys, tables: names(&tables), later: names(&later) }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.tables.is_empty() && self.later.is_empty()
    }
}

type Differs = (&'static str, bool);

/// What a gateway takes while it runs.
fn of_gateway(before: &Loaded, after: &Loaded) -> [Differs; 10] {
    let (old, new) = (&before.config, &after.config);
    let (o, n) = (&old.gateway, &new.gateway);
    [
        ("models", old.models != new.models),
        ("pool", old.pool != new.pool),
        ("retry", old.retry != new.retry),
        ("rests", old.rests != new.rests),
        ("limits", old.limits != new.limits),
        ("providers", old.providers != new.providers),
        ("tenants", before.tenants != after.tenants),
        ("admin", before.admin.token_hash != after.admin.token_hash),
        ("exits", before.exits.ways != after.exits.ways),
        (
            "gateway",
            before.token != after.token
                || o.openai != n.openai
                || o.strict != n.strict
                || o.fetch_images != n.fetch_images
                || o.unknown_names != n.unknown_names
                || o.hosts != n.hosts
                || o.origins != n.origins
                || before.roots != after.roots
                || before.certified != after.certified
                || o.served_headers != n.served_headers
                || o.max_wait != n.max_wait
                || o.max_waiting != n.max_waiting
                || o.exhausted_as_429 != n.exhausted_as_429
                || o.cache_affinity != n.cache_affinity
                || o.session_header != n.session_header
                || o.answer_timeout != n.answer_timeout,
        ),
    ]
}

/// And what it does not.
fn of_gateway_later(before: &Loaded, after: &Loaded) -> [Differs; 13] {
    let (old, new) = (&before.config, &after.config);
    let (o, n) = (&old.gateway, &new.gateway);
    [
        ("gateway.listen", o.listen != n.listen),
        ("admin.listen", old.admin.listen != new.admin.listen),
        ("gateway.upstream", o.upstream != n.upstream),
        ("gateway.drain_delay", o.drain_delay != n.drain_delay),
        ("gateway.grace", o.grace != n.grace),
        ("gateway.max_connections", o.max_connections != n.max_connections),
        ("gateway.max_connections_per_address", o.max_connections_per_address != n.max_connections_per_address),
        ("gateway.body_timeout", o.body_timeout != n.body_timeout),
        ("gateway.reader_timeout", o.reader_timeout != n.reader_timeout),
        ("gateway.threads", o.threads != n.threads),
        ("limits.guard", old.limits.guard != new.limits.guard),
        ("log", old.log != new.log),
        ("store", before.store != after.store),
    ]
}

/// The same of a batch.
fn of_batch(before: &Loaded, after: &Loaded) -> [Differs; 6] {
    let (old, new) = (&before.config, &after.config);
    let list = |pool: &PoolSection| PoolSection { fallback: Vec::new(), ..pool.clone() };
    [
        ("models", old.models != new.models),
        ("pool", list(&old.pool) != list(&new.pool)),
        ("rests", old.rests != new.rests),
        ("limits", old.limits != new.limits),
        ("gateway", before.roots != after.roots),
        ("exits", before.exits.ways != after.exits.ways),
    ]
}

fn of_batch_later(before: &Loaded, after: &Loaded) -> [Differs; 5] {
    let (old, new) = (&before.config, &after.config);
    [
        ("batch", old.batch != new.batch),
        ("pool.fallback", old.pool.fallback != new.pool.fallback),
        ("gateway.upstream", old.gateway.upstream != new.gateway.upstream),
        ("limits.guard", old.limits.guard != new.limits.guard),
        ("store", before.store != after.store),
    ]
}

/// Ids on a line; more than these are counted.
const SHOWN: usize = 20;

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let RosterChange { added, removed, changed, .. } = &self.keys;
        for (what, ids) in [("added", added), ("removed", removed), ("changed", changed)] {
            if !ids.is_empty() {
                let shown: Vec<String> = ids.iter().take(SHOWN).map(KeyId::to_string).collect();
                let more = match ids.len().saturating_sub(SHOWN) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                parts.push(format!("{what} {}{more}", shown.join(", ")));
            }
        }
        if parts.is_empty() {
            parts.push("no key changed".to_owned());
        }
        if !self.tables.is_empty() {
            parts.push(format!("new settings in {}", self.tables.join(", ")));
        }
        if !self.later.is_empty() {
            parts.push(format!("from the next start on: {}", self.later.join(", ")));
        }
        f.write_str(&parts.join("; "))
    }
}
