//! A store on a Redis or Valkey server.
//!
//! Every call is one script on the server, over the server's own clock. All keys of a namespace have one hash tag, so they are on
//! one node of a cluster.
//!
//! # A server that lost data
//! The data has an epoch. It is new when the server was flushed, started again, or replaced by a replica. For 2 s after that
//! no request is granted, and every client sends what it remembers of each count it saw: nothing that a living client was
//! granted is lost, though the server kept nothing. A client learns of it by [`Store::changes`], which a pool calls every
//! 250 ms.
//!
//! That needs a connection which breaks when the server behind it changes, and the `INFO` command. A proxy that hides a
//! failover also hides what was lost by it.
//!
//! # Time
//! Windows and days go by the server's clock, and the clients' clocks do not matter. A server's clock that is set back makes
//! windows longer; one that is set forward, or is ahead after a failover, makes them shorter once.

mod connection;
mod error;
mod memory;

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{Arc, LazyLock},
    time::Duration,
};

use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionAddr, FromRedisValue, IntoConnectionInfo, Script, ScriptInvocation, TlsCertificates};
use tower_keypool::{
    Error, Span, Unit,
    store::{Amounts, Candidate, Changes, Granted, Record, ReserveRequest, Reserved, ReservedAt, Store, StoreFuture},
};

use connection::Connection;
use memory::{Head, Memory};

pub use error::{RedisError, RedisErrorKind};

/// A reservation is counted so much later than it is granted, and may be used until then.
const HOLD: Duration = Duration::from_secs(1);

/// A request is asked for again at most so often when the data turns out to be new.
const TRIES: usize = 3;

/// How long a closed breaker is kept, so that others learn of it.
const CLOSED_KEPT_MS: i64 = 86_400_000;

/// A learned limit is forgotten after so long.
const LIMIT_KEPT_MS: i64 = 86_400_000;

/// What `reserve.lua` answers in place of a candidate's number when it must be asked again.
const ASK_AGAIN: i64 = -1;

/// At most this many records or states are sent with one call: a script holds up the server.
const PAGE: usize = 64;

/// Where a server is and how it is reached.
///
/// ```
/// use keypool_store::redis::RedisOptions;
///
/// let options = RedisOptions::new("redis://localhost:6379").namespace("gateway").password("secret");
/// assert!(!format!("{options:?}").contains("secret"));
/// ```
#[derive(Clone)]
pub struct RedisOptions {
    url: String,
    namespace: String,
    username: Option<String>,
    password: Option<String>,
    root_certificates: Option<Vec<u8>>,
    time: Option<Time>,
}

type Time = Arc<dyn Fn() -> i64 + Send + Sync>;

impl RedisOptions {
    /// The server at `redis://[user:password@]host[:port][/database]`, `rediss://` for TLS, or `unix:///path`.
    pub fn new(url: impl Into<String>) -> Self {
        let namespace = "keypool".to_owned();
        Self { url: url.into(), namespace, username: None, password: None, root_certificates: None, time: None }
    }

    /// What the names of all keys begin with, `keypool` unless set. Pools that share limits have the same namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// The user, in place of the one in the URL.
    #[must_use]
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self
    }

    /// The password, in place of the one in the URL.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Certificates (PEM) of the authorities that are trusted over TLS, in place of the system's.
    #[must_use]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificates = Some(pem.into());
        self
    }

    /// The time in milliseconds since the Unix epoch in place of the server's, for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn with_time(mut self, time: Arc<dyn Fn() -> i64 + Send + Sync>) -> Self {
        self.time = Some(time);
        self
    }

    fn client(&self) -> Result<Client, RedisError> {
        let invalid = "the address of the Redis server must be redis://, rediss:// or unix://, with host and port";
        // The client's error may quote the address, and a password with it.
        let info = self.url.as_str().into_connection_info().map_err(|_| RedisError::invalid(invalid))?;
        let mut login = info.redis_settings().clone();
        if let Some(username) = &self.username {
            login = login.set_username(username);
        }
        if let Some(password) = &self.password {
            login = login.set_password(password);
        }
        let tcp = TcpSettings::default().set_nodelay(true);
        let info = info.set_redis_settings(login).set_tcp_settings(tcp);
        if let ConnectionAddr::TcpTls { .. } = info.addr() {
            // Without one the client panics; where the program installed another, that holds.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        match &self.root_certificates {
            Some(pem) => {
                let tls = TlsCertificates { client_tls: None, root_cert: Some(pem.clone()) };
                Client::build_with_tls(info, tls).map_err(|error| RedisError::invalid(error.to_string()))
            }
            None => Client::open(info).map_err(|_| RedisError::invalid(invalid)),
        }
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// Counts and records on a Redis (6 or later) or Valkey server, shared by all pools of a namespace.
#[derive(Clone)]
pub struct RedisStore(Arc<Shared>);

struct Shared {
    connection: Connection,
    /// The state of the namespace, its quotas, its records, and their revisions.
    keys: [String; 4],
    /// The id of this process; its own records are no changes to it.
    writer: String,
    time: Option<Time>,
    memory: Memory,
    /// Held by whoever restores.
    restoring: tokio::sync::Mutex<()>,
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("namespace", &self.0.keys[0]).finish_non_exhaustive()
    }
}

struct Scripts {
    reserve: Script,
    record: Script,
    changes: Script,
    forget: Script,
    load: Script,
    restore: Script,
}

macro_rules! script {
    ($name:literal) => {
        Script::new(concat!(include_str!("namespace.lua"), include_str!("quota.lua"), include_str!($name)))
    };
}

static SCRIPTS: LazyLock<Scripts> = LazyLock::new(|| Scripts {
    reserve: script!("reserve.lua"),
    record: script!("record.lua"),
    changes: script!("changes.lua"),
    forget: script!("forget.lua"),
    load: script!("load.lua"),
    restore: script!("restore.lua"),
});

/// A quota as `load.lua` tells it: name, number, state, windows by span, days by date.
type Loaded = (String, u64, Vec<u8>, Vec<(u64, Vec<i64>)>, Vec<(i32, Vec<u64>)>);

impl RedisStore {
    /// Connects to the server.
    ///
    /// # Errors
    /// When the options are malformed, nothing answers within three seconds, the password is wrong, or what answers is no Redis
    /// server. Later the connection is made anew whenever it breaks.
    pub async fn connect(options: RedisOptions) -> Result<Self, RedisError> {
        let namespace = &options.namespace;
        if namespace.is_empty() || namespace.contains(['{', '}']) {
            return Err(RedisError::invalid("the namespace must not be empty, nor contain { or }"));
        }
        let keys = ["state", "quotas", "records", "revisions"].map(|name| format!("{{{namespace}}}:{name}"));
        let store = Self(Arc::new(Shared {
            connection: Connection::new(options.client()?),
            keys,
            writer: format!("{:016x}", RandomState::new().hash_one(0)),
            time: options.time,
            memory: Memory::default(),
            restoring: tokio::sync::Mutex::default(),
        }));
        store.0.connection.connect().await?;
        Ok(store)
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
    /// Runs a script; `fill` adds its own arguments.
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
        // The store of a new namespace waits for clients that may remember it.
        if self.time.is_none() {
            tokio::time::sleep(wait).await;
        }
        let (head, rows): (Head, Vec<(String, u64, String)>) =
            self.run(&SCRIPTS.changes, |call| _ = call.arg(0)).await?;
        let mut changes = Changes { revision: head.revision, now_ms: head.now_ms, records: Vec::new() };
        let mut over = Vec::new();
        for (target, revision, value) in rows {
            let Some(row) = Row::parse(&value) else { continue };
            if row.is_over(head.now_ms) {
                self.memory.forget_record(&target);
                over.push((target, revision));
            } else {
                self.memory.set_record(&target, &value);
                changes.records.push(row.record);
            }
        }
        for page in over.chunks(PAGE) {
            let forget = self.run::<(Head,)>(&SCRIPTS.forget, |call| {
                for (target, revision) in page {
                    call.arg(target).arg(revision);
                }
            });
            forget.await?;
        }
        let mut cursor = "0".to_owned();
        // The server may tell a quota twice.
        let mut seen = HashSet::new();
        loop {
            let (head, next, quotas): (Head, String, Vec<Loaded>) =
                self.run(&SCRIPTS.load, |call| _ = call.arg(&cursor)).await?;
            for (name, number, packed, windows, days) in quotas {
                if let Some((project, model)) = parse_quota(&name)
                    && seen.insert(name.clone())
                {
                    changes.records.extend(counts(project, model, windows, days));
                    self.memory.accept(&head, [(&*name, number, packed)]);
                }
            }
            cursor = next;
            if cursor == "0" {
                return Ok(changes);
            }
        }
    }

    async fn reserve(&self, request: &ReserveRequest) -> Result<Reserved, Error> {
        let names: Vec<String> = request.candidates.iter().map(|to| quota_name(&to.project, &to.model)).collect();
        for _ in 0..TRIES {
            let (zones, candidates) = self.arguments(request, &names)?;
            let epoch = self.memory.epoch();
            let cost = request.cost;
            let reserve = self.run(&SCRIPTS.reserve, |call| {
                call.arg(&*epoch).arg(cost.requests).arg(cost.input_tokens).arg(cost.output_tokens).arg(cost.images);
                call.arg(zones).arg(candidates);
            });
            let (head, granted, date, (number, packed), mut opens): Reply = reserve.await?;
            let candidate = usize::try_from(granted - 1).ok();
            let name = candidate.and_then(|candidate| names.get(candidate));
            if !self.memory.accept(&head, name.map(|name| (&**name, number, packed))) {
                self.restore().await?;
                continue;
            }
            // The days did not fit the server's time, which is known now.
            if granted == ASK_AGAIN {
                continue;
            }
            if head.wait_ms > 0 {
                opens = vec![head.wait_ms; names.len()];
            }
            let granted = candidate.map(|candidate| {
                let at = ReservedAt { at_ms: head.now_ms + HOLD.as_millis() as i64, date };
                Granted { candidate, at, usable_for: HOLD }
            });
            let opens = opens.into_iter().map(Duration::from_millis).collect();
            return Ok(Reserved { granted, opens });
        }
        Err(Error::store("the Redis server's data was replaced several times within one request"))
    }

    /// The zones of a request, and its candidates, as `reserve.lua` takes them.
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
                let more = |of: fn(&Amounts) -> u64| of(used) as i64 - of(reserved) as i64;
                let amounts =
                    (more(|a| a.requests), more(|a| a.input_tokens), more(|a| a.output_tokens), more(|a| a.images));
                let (requests, input, output, images) = amounts;
                if amounts != (0, 0, 0, 0) {
                    let row = (at.at_ms, at.date, requests, input, output, images);
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
                // This page or the one before may have been done, and the caller would send all again: a correction that is lost
                // leaves its reservation counted, one that is made twice takes away what others count.
                Err(error) if n > 0 || error.was_sent() => return Ok(()),
                page => page?,
            };
        }
        Ok(())
    }

    async fn record_page(&self, rows: &[(String, String)], corrections: &[String]) -> Result<Head, RedisError> {
        let record = self.run(&SCRIPTS.record, |call| {
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
        let (head, rows): (Head, Vec<(String, u64, String)>) =
            self.run(&SCRIPTS.changes, |call| _ = call.arg(since)).await?;
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

    /// Sends what is remembered, unless the data has it already.
    async fn restore(&self) -> Result<Head, RedisError> {
        let _alone = self.restoring.lock().await;
        let (mut head, _): (Head, Vec<String>) = self.run(&SCRIPTS.changes, |call| _ = call.arg(u64::MAX)).await?;
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
            let restore = self.run(&SCRIPTS.restore, |call| {
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
        // If it was replaced meanwhile, the next call finds that out.
        self.memory.set_epoch(&epoch);
        Ok(head)
    }
}

/// What `reserve.lua` answers: the head, the number of the granted candidate from 1 on (0: none; or [`ASK_AGAIN`]), the date that it
/// counts on, the number and state of its quota, and when those before it open.
type Reply = (Head, i64, i32, (u64, Vec<u8>), Vec<u64>);

/// A record as it is kept: its writer, the time and its JSON.
struct Row<'a> {
    writer: &'a str,
    at_ms: i64,
    record: Record,
}

impl<'a> Row<'a> {
    /// None for a record of a newer version.
    fn parse(value: &'a str) -> Option<Self> {
        let mut parts = value.splitn(3, ' ');
        let (writer, at_ms, json) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self { writer, at_ms: at_ms.parse().ok()?, record: serde_json::from_str(json).ok()? })
    }

    fn is_over(&self, now_ms: i64) -> bool {
        match &self.record {
            Record::Open { until_ms, .. } => until_ms.is_some_and(|until| until <= now_ms),
            Record::Closed { .. } => self.at_ms + CLOSED_KEPT_MS <= now_ms,
            Record::Limit { learned_ms, .. } => learned_ms + LIMIT_KEPT_MS <= now_ms,
            _ => false,
        }
    }
}

/// What a record replaces the last one of; none for what is no row.
fn target(record: &Record) -> Option<String> {
    let target = match record {
        Record::Open { target, .. } | Record::Closed { target } => serde_json::to_string(target),
        Record::Limit { project, model, limit, .. } => serde_json::to_string(&(project, model, limit.unit, limit.span)),
        Record::Project { key, .. } => serde_json::to_string(key),
        _ => return None,
    };
    target.ok()
}

/// Unambiguous for any project and model.
fn quota_name(project: &str, model: &str) -> String {
    format!("{}/{project}/{model}", project.len())
}

fn parse_quota(name: &str) -> Option<(&str, &str)> {
    let (length, rest) = name.split_once('/')?;
    let (project, model) = rest.split_at_checked(length.parse().ok()?)?;
    Some((project, model.strip_prefix('/')?))
}

fn unit_number(unit: Unit) -> u64 {
    match unit {
        Unit::InputTokens => 2,
        Unit::OutputTokens => 3,
        Unit::Images => 4,
        Unit::Tokens => 5,
        _ => 1,
    }
}

fn counts(
    project: &str,
    model: &str,
    windows: Vec<(u64, Vec<i64>)>,
    days: Vec<(i32, Vec<u64>)>,
) -> impl Iterator<Item = Record> {
    let (project, model): (Arc<str>, Arc<str>) = (project.into(), model.into());
    let (project_of_day, model_of_day) = (Arc::clone(&project), Arc::clone(&model));
    let amounts = |of: [u64; 4]| {
        let [requests, input_tokens, output_tokens, images] = of;
        Amounts { requests, input_tokens, output_tokens, images }
    };
    let windows = windows.into_iter().map(move |(span, entries)| {
        let entries = entries.as_chunks::<5>().0.iter();
        let starts = entries.map(|[at_ms, of @ ..]| (*at_ms, amounts(of.map(|amount| amount as u64)))).collect();
        let span = Duration::from_millis(span);
        Record::Starts { project: Arc::clone(&project), model: Arc::clone(&model), span, starts }
    });
    let days = days.into_iter().map(move |(date, of)| {
        let used = amounts(of.try_into().unwrap_or_default());
        Record::Day { project: Arc::clone(&project_of_day), model: Arc::clone(&model_of_day), date, used }
    });
    windows.chain(days)
}
