//! A store on a Redis or Valkey server.
//!
//! Every call is one script on the server and uses the server's clock. All keys of a namespace have the same hash tag,
//! so they are on one node of a cluster.
//!
//! # A server that lost data
//! The data has an epoch, which changes when the server was flushed, restarted, or replaced by a replica, or lost its
//! counts. For 2 s after that no request is granted, and every client sends the counts that it remembers. So no grant of
//! a running client is lost, even if the server kept nothing. A client learns of a new epoch by [`Store::changes`],
//! which a pool calls every 250 ms.
//!
//! This needs the `INFO` command, and a connection that breaks when the server behind it changes. A proxy that hides a
//! failover also hides the loss of data.
//!
//! # Time
//! Windows and days use the server's clock. Setting it back makes windows longer. Setting it forward, or a failover to a
//! server whose clock is ahead, makes them shorter once. The ends of cooldowns use the clients' clocks: if these differ,
//! a cooldown that another client recorded is longer or shorter by the difference.

mod connection;
mod error;
mod memory;
mod options;
mod rows;

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{Arc, LazyLock},
    time::Duration,
};

use redis::{FromRedisValue, Script, ScriptInvocation};
use tower_keypool::{
    Error, Span,
    store::{
        Amounts, Candidate, Changes, Granted, MIDNIGHT_GUARD, Record, ReserveRequest, Reserved, ReservedAt, Store,
        StoreFuture,
    },
};

use self::{
    connection::Connection,
    memory::{Head, Memory},
    options::Time,
    rows::{Row, counts, quota_name, target, unit_number},
};
use crate::window::{GUARD_MS, HOLD_MS, MINUTE_MS, MOST, NEVER_MS, PARTS};

pub use self::{
    error::{RedisError, RedisErrorKind},
    options::RedisOptions,
};

/// Maximum number of tries of one reservation. It is retried if the epoch is new or its days do not fit the time.
const TRIES: usize = 3;

/// The value that `reserve.lua` returns in place of a candidate's number when the caller must retry.
const RETRY: i64 = -1;

/// Maximum number of records, or of quotas, in one call: a script blocks the server while it runs.
const PAGE: usize = 64;

/// Counts and records on a Redis (6 or later) or Valkey server, shared by all pools of a namespace.
#[derive(Clone)]
pub struct RedisStore(Arc<Shared>);

struct Shared {
    connection: Connection,
    /// The state of the namespace, its quotas, its records, and their revisions.
    keys: [String; 4],
    /// The random id of this store; `changes` leaves out records with this id.
    writer: String,
    time: Option<Time>,
    memory: Memory,
    /// Held during a restore.
    restoring: tokio::sync::Mutex<()>,
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("namespace", &self.0.keys[0]).finish_non_exhaustive()
    }
}

/// Puts the constants and the common part of all scripts before a script.
fn script(source: &str) -> Script {
    let (namespace, quota) = (include_str!("namespace.lua"), include_str!("quota.lua"));
    let midnight_guard = MIDNIGHT_GUARD.as_millis();
    Script::new(&format!(
        "local HOLD, GUARD, PARTS, MINUTE, NEVER, MIDNIGHT_GUARD = \
         {HOLD_MS}, {GUARD_MS}, {PARTS}, {MINUTE_MS}, {NEVER_MS}, {midnight_guard}\n{namespace}{quota}{source}"
    ))
}

static RESERVE: LazyLock<Script> = LazyLock::new(|| script(include_str!("reserve.lua")));
static RECORD: LazyLock<Script> = LazyLock::new(|| script(include_str!("record.lua")));
static CHANGES: LazyLock<Script> = LazyLock::new(|| script(include_str!("changes.lua")));
static FORGET: LazyLock<Script> = LazyLock::new(|| script(include_str!("forget.lua")));
static LOAD: LazyLock<Script> = LazyLock::new(|| script(include_str!("load.lua")));
static RESTORE: LazyLock<Script> = LazyLock::new(|| script(include_str!("restore.lua")));

/// The reply of `reserve.lua`: the head, the number of the granted candidate from 1 on (0: none; or [`RETRY`]), the
/// date on which it counts, the number and state of its quota, and the delays in milliseconds until the candidates
/// before it have room.
type Reply = (Head, i64, i32, (u64, Vec<u8>), Vec<u64>);

/// A quota as `load.lua` returns it: name, number, state, windows by span, days by date.
type Loaded = (String, u64, Vec<u8>, Vec<(u64, Vec<i64>)>, Vec<(i32, Vec<u64>)>);

impl RedisStore {
    /// Connects to the server. A connection that breaks later is opened again by the next call.
    ///
    /// # Errors
    /// Fails if the options are malformed, no connection is made within three seconds, the password is wrong, or the
    /// other side is not a Redis server.
    pub async fn connect(options: RedisOptions) -> Result<Self, RedisError> {
        let store = Self::new(options)?;
        store.0.connection.connect().await?;
        Ok(store)
    }

    /// Returns a store that connects to the server at its first call.
    ///
    /// # Errors
    /// Fails if the options are malformed.
    pub fn new(options: RedisOptions) -> Result<Self, RedisError> {
        let namespace = &options.namespace;
        if namespace.is_empty() || namespace.contains(['{', '}']) {
            return Err(RedisError::invalid("the namespace must not be empty, nor contain { or }"));
        }
        let keys = ["state", "counts", "records", "revisions"].map(|name| format!("{{{namespace}}}:{name}"));
        Ok(Self(Arc::new(Shared {
            connection: Connection::new(options.client()?),
            keys,
            writer: format!("{:016x}", RandomState::new().hash_one(0)),
            time: options.time,
            memory: Memory::default(),
            restoring: tokio::sync::Mutex::default(),
        })))
    }
}

impl Store for RedisStore {
    fn load(&self) -> StoreFuture<'_, Changes> {
        Box::pin(self.0.load())
    }

    fn reserve(&self, request: ReserveRequest) -> StoreFuture<'static, Reserved> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { shared.reserve(&request).await })
    }

    fn record(&self, records: Vec<Record>) -> StoreFuture<'_, ()> {
        Box::pin(self.0.record(records))
    }

    fn changes(&self, since: u64) -> StoreFuture<'_, Changes> {
        Box::pin(self.0.changes(since))
    }
}

impl Shared {
    /// Runs a script; `fill` adds the script's own arguments.
    async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        fill: impl FnOnce(&mut ScriptInvocation<'_>),
    ) -> Result<T, RedisError> {
        let run = self.connection.run(script, |call, run| {
            for key in &self.keys {
                call.key(key);
            }
            call.arg(self.time.as_ref().map(|time| time().to_string()).unwrap_or_default()).arg(run);
            fill(call);
        });
        run.await
    }

    async fn load(&self) -> Result<Changes, Error> {
        let wait = Duration::from_millis(self.restore().await?.wait_ms);
        // A store with a new epoch waits for clients that may remember data.
        if self.time.is_none() {
            tokio::time::sleep(wait).await;
        }
        let mut changes = self.load_records().await?;
        changes.records.extend(self.load_counts().await?);
        Ok(changes)
    }

    /// Returns the records that have not expired and deletes the others.
    async fn load_records(&self) -> Result<Changes, Error> {
        let (head, rows): (Head, Vec<(String, u64, String)>) = self.run(&CHANGES, |call| _ = call.arg(0)).await?;
        let (mut records, mut expired) = (Vec::new(), Vec::new());
        for (target, revision, value) in rows {
            let Some(row) = Row::parse(&value) else { continue };
            if row.is_expired(head.now_ms) {
                self.memory.forget_record(&target);
                expired.push((target, revision));
            } else {
                self.memory.set_record(&target, &value);
                records.push(row.record);
            }
        }
        for page in expired.chunks(PAGE) {
            let forget = self.run::<(Head,)>(&FORGET, |call| {
                for (target, revision) in page {
                    call.arg(target).arg(revision);
                }
            });
            forget.await?;
        }
        Ok(Changes { revision: head.revision, now_ms: head.now_ms, records })
    }

    /// Returns the counts of all quotas.
    async fn load_counts(&self) -> Result<Vec<Record>, Error> {
        let mut records = Vec::new();
        let mut cursor = "0".to_owned();
        // A scan may return a quota twice.
        let mut seen = HashSet::new();
        loop {
            let (head, next, quotas): (Head, String, Vec<Loaded>) =
                self.run(&LOAD, |call| _ = call.arg(&cursor)).await?;
            for (name, number, packed, windows, days) in quotas {
                if seen.insert(name.clone()) {
                    records.extend(counts(&name, windows, days));
                    self.memory.accept(&head, [(&*name, number, packed)]);
                }
            }
            cursor = next;
            if cursor == "0" {
                return Ok(records);
            }
        }
    }

    async fn reserve(&self, request: &ReserveRequest) -> Result<Reserved, Error> {
        let names: Vec<String> = request.candidates.iter().map(|to| quota_name(&to.project, &to.model)).collect();
        for _ in 0..TRIES {
            let (zones, candidates) = self.arguments(request, &names)?;
            let epoch = self.memory.epoch();
            let cost = request.cost;
            let reserve = self.run(&RESERVE, |call| {
                call.arg(&*epoch).arg(cost.requests).arg(cost.input_tokens).arg(cost.output_tokens);
                call.arg(zones).arg(candidates);
            });
            let (head, granted, date, (number, packed), mut opens_in): Reply = reserve.await?;
            let candidate = usize::try_from(granted - 1).ok();
            let name = candidate.and_then(|candidate| names.get(candidate));
            if !self.memory.accept(&head, name.map(|name| (&**name, number, packed))) {
                self.restore().await?;
                continue;
            }
            // The days did not fit the server's time. It is known now, so the next try sends the right ones.
            if granted == RETRY {
                continue;
            }
            if head.wait_ms > 0 {
                opens_in = vec![head.wait_ms; names.len()];
            }
            let granted = candidate.map(|candidate| {
                let at = ReservedAt { at_ms: head.now_ms + HOLD_MS, date };
                Granted { candidate, at, usable_for: Duration::from_millis(HOLD_MS as u64) }
            });
            let opens_in = opens_in.into_iter().map(Duration::from_millis).collect();
            return Ok(Reserved { granted, opens_in });
        }
        Err(Error::store("the Redis server's data was replaced several times within one request"))
    }

    /// Returns the zones of a request, and its candidates, as `reserve.lua` takes them.
    fn arguments(&self, request: &ReserveRequest, names: &[String]) -> Result<(String, Vec<String>), Error> {
        let mut zones: Vec<&Arc<str>> = Vec::new();
        let mut candidates = Vec::with_capacity(names.len());
        for (Candidate { limits, zone, .. }, name) in request.candidates.iter().zip(names) {
            let place = zones.iter().position(|held| *held == zone).unwrap_or_else(|| {
                zones.push(zone);
                zones.len() - 1
            });
            let limits = limits.iter().flat_map(|limit| {
                let span = match limit.span {
                    Span::Sliding(span) => span.as_millis() as u64,
                    _ => 0,
                };
                [unit_number(limit.unit), span, limit.amount]
            });
            candidates.push(serde_json::to_string(&(name, place, limits.collect::<Vec<u64>>())).map_err(Error::store)?);
        }
        let days = zones.into_iter().map(|zone| self.memory.days(zone)).collect::<Result<Vec<_>, _>>()?;
        Ok((format!("[{}]", days.join(",")), candidates))
    }

    async fn record(&self, records: Vec<Record>) -> Result<(), Error> {
        let mut rows = Vec::new();
        let mut corrections = BTreeMap::<String, Vec<_>>::new();
        for record in records {
            if let Record::Used { project, model, at, reserved, used, .. } = &record {
                let signed = |amount: u64| amount.min(MOST) as i64;
                let more = |of: fn(&Amounts) -> u64| signed(of(used)) - signed(of(reserved));
                let amounts = (more(|a| a.requests), more(|a| a.input_tokens), more(|a| a.output_tokens));
                if amounts != (0, 0, 0) {
                    let row = (at.at_ms, at.date, amounts);
                    corrections.entry(quota_name(project, model)).or_default().push(row);
                }
            } else if let Some(target) = target(&record) {
                rows.push((target, serde_json::to_string(&record).map_err(Error::store)?));
            }
        }
        for rows in rows.chunks(PAGE) {
            let head = self.record_page(rows, &[]).await?;
            for (target, json) in rows {
                self.memory.set_record(target, &format!("{} {} {json}", self.writer, head.now_ms));
            }
        }
        let corrections: Result<Vec<_>, _> =
            corrections.iter().map(|of_quota| serde_json::to_string(&of_quota).map_err(Error::store)).collect();
        for (n, corrections) in corrections?.chunks(PAGE).enumerate() {
            match self.record_page(&[], corrections).await {
                // This page or an earlier one may have been executed, and the caller would retry all of them. A lost
                // correction leaves its reservation counted; a repeated one would subtract from other requests' counts.
                Err(error) if n > 0 || error.was_sent() => return Ok(()),
                page => page?,
            };
        }
        Ok(())
    }

    async fn record_page(&self, rows: &[(String, String)], corrections: &[String]) -> Result<Head, RedisError> {
        let record = self.run(&RECORD, |call| {
            call.arg(&self.writer).arg(rows.len());
            for (target, json) in rows {
                call.arg(target).arg(json);
            }
            call.arg(corrections);
        });
        let (head, states): (Head, Vec<(String, u64, Vec<u8>)>) = record.await?;
        let states = states.iter().map(|(name, number, packed)| (&**name, *number, packed.clone()));
        if !self.memory.accept(&head, states) {
            self.restore().await?;
        }
        Ok(head)
    }

    async fn changes(&self, since: u64) -> Result<Changes, Error> {
        let (head, rows): (Head, Vec<(String, u64, String)>) = self.run(&CHANGES, |call| _ = call.arg(since)).await?;
        if !self.memory.accept(&head, []) {
            self.restore().await?;
        }
        let mut records = Vec::new();
        for (target, _, value) in rows {
            let Some(row) = Row::parse(&value) else { continue };
            self.memory.set_record(&target, &value);
            if row.writer != self.writer {
                records.push(row.record);
            }
        }
        Ok(Changes { revision: head.revision, now_ms: head.now_ms, records })
    }

    /// Sends what this client remembers, unless the data already contains it.
    async fn restore(&self) -> Result<Head, RedisError> {
        let _alone = self.restoring.lock().await;
        let (mut head, _): (Head, Vec<String>) = self.run(&CHANGES, |call| _ = call.arg(u64::MAX)).await?;
        if self.memory.accept(&head, []) {
            return Ok(head);
        }
        let epoch = head.epoch.clone();
        let (quotas, records) = self.memory.begin_restore();
        let (mut quotas, mut records) = (quotas.chunks(PAGE), records.chunks(PAGE));
        loop {
            let (quotas, records) = (quotas.next().unwrap_or_default(), records.next().unwrap_or_default());
            if quotas.is_empty() && records.is_empty() {
                break;
            }
            let restore = self.run(&RESTORE, |call| {
                call.arg(quotas.len());
                for (name, packed) in quotas {
                    call.arg(&**name).arg(&**packed);
                }
                for (target, value) in records {
                    call.arg(&**target).arg(&**value);
                }
            });
            (head,) = restore.await?;
        }
        // If the data was replaced meanwhile, the next call sees a new epoch.
        self.memory.set_epoch(&epoch);
        Ok(head)
    }
}
