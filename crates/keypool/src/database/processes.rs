//! The processes that work on a store: each says every few seconds that it is there.

use std::{fmt::Write as _, path::Path, time::Duration};

use serde::{Deserialize, Serialize};
use tower_keypool::{
    KeyPool,
    store::{Ledger, LedgerEntry, Placing, StoreError},
};

use super::{InBoth, Records, Shut};
use crate::standing::now_ms;

/// The kind of their records.
const PROCESS: &str = "process";
/// How often each says so.
const ROUND: Duration = Duration::from_secs(5);
/// After so long without a word, in milliseconds, it is not there any more.
const GONE: i64 = 20_000;

/// A process as others see it. Times are Unix milliseconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Process {
    /// Which: no other life of any process has the same.
    pub id: String,
    /// The machine's name and the process's number.
    pub name: String,
    /// The machine's name.
    pub host: String,
    /// The process's number there.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Where it listens.
    pub listen: String,
    /// When it began.
    pub started: i64,
    /// Owners in a lane with limits that it holds; none where it shares nothing.
    pub units_held: Option<usize>,
    /// Of so many that it knows.
    pub units: Option<usize>,
    /// How sharing stands: `connected`, `grace`, …
    pub sharing: Option<String>,
    /// Bytes of memory that it has, where the system tells (Linux).
    pub memory_bytes: Option<u64>,
    /// Bytes of these that the pool of these keys holds: keys, counts and rests.
    pub pool_bytes: Option<usize>,
    /// Requests of that pool, since it began, that went over to keys of a later priority.
    pub spills: Option<u64>,
    /// Hashes of the database's keys that it left out, since it cannot have their secrets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// Hashes of secrets of the database, or of earlier ones there, that it has from files or variables as well.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub in_both: Vec<String>,
    /// When it said so.
    pub seen: i64,
    /// What [`left_out`](Self::left_out) is told from.
    #[serde(skip)]
    shut: Shut,
    /// What [`in_both`](Self::in_both) is told from.
    #[serde(skip)]
    both: InBoth,
}

impl Process {
    /// This one, which listens there.
    pub fn this(listen: String) -> Self {
        let mut id = String::new();
        let mut random = [0; 8];
        if getrandom::fill(&mut random).is_err() {
            random = now_ms().to_ne_bytes();
        }
        for byte in random {
            let _ = write!(id, "{byte:02x}");
        }
        let (host, pid) = (host(), std::process::id());
        let name = format!("{host}-{pid}");
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { id, name, host, pid, version, listen, started: now_ms(), ..Self::default() }
    }

    /// The same where it works on a database of which it cannot open some, and has others from elsewhere as well.
    #[must_use]
    pub fn with(self, shut: Shut, both: InBoth) -> Self {
        Self { shut, both, ..self }
    }

    /// As it is now. Looks at each key of the pool, on a thread of its own.
    pub async fn now(&self, pool: &KeyPool) -> Self {
        let left_out = self.shut.told(pool);
        let (sharing, pool) = (pool.sharing(), pool.clone());
        let looked = tokio::task::spawn_blocking(move || pool.snapshot_in_pieces(0)).await.ok();
        Self {
            memory_bytes: resident(),
            pool_bytes: looked.as_ref().map(|snapshot| snapshot.total_memory_bytes),
            spills: looked.as_ref().map(|snapshot| snapshot.spills),
            units_held: sharing.map(|sharing| sharing.held),
            units: sharing.map(|sharing| sharing.units),
            sharing: sharing.map(|sharing| sharing.state.word().to_owned()),
            left_out,
            in_both: self.both.told(),
            seen: now_ms(),
            ..self.clone()
        }
    }
}

/// Bytes of memory that this process has.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

fn host() -> String {
    let told = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let told = told.or_else(|| std::env::var("HOSTNAME").ok()).or_else(|| std::env::var("COMPUTERNAME").ok());
    told.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned())
}

/// Says every few seconds that this process is there, until the task is aborted.
pub async fn tell(records: Records, process: Process, pool: KeyPool) {
    loop {
        // A store that is away is told of elsewhere.
        let _ = say(&records, &process.now(&pool).await).await;
        tokio::time::sleep(ROUND).await;
    }
}

async fn say(records: &Records, process: &Process) -> Result<(), StoreError> {
    let value = serde_json::to_string(process).map_err(|error| StoreError::because("a process", error))?;
    let until = Some(process.seen + GONE);
    let entry = LedgerEntry { name: process.id.clone(), value, until, ..LedgerEntry::default() };
    records.keep(PROCESS, vec![entry], Placing::Replace, process.seen).await
}

/// It ends.
pub async fn leave(records: &Records, process: &Process) {
    let forgotten = records.forget(PROCESS, vec![process.id.clone()]);
    let _ = tokio::time::timeout(Duration::from_secs(1), forgotten).await;
}

/// Whether it ran on this machine, and runs no more: killed, it says nothing.
fn is_dead(process: &Process, host: &str) -> bool {
    let state = |pid: &str| {
        let told = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).ok()?;
        told.rsplit_once(')')?.1.trim_start().chars().next()
    };
    // One that nobody has waited for yet is there by its number alone.
    let lives = |pid: &str| !matches!(state(pid), None | Some('Z' | 'X'));
    process.host == host && lives("self") && !lives(&process.pid.to_string())
}

/// All that are there, in the order in which they began.
///
/// # Errors
/// When they cannot be read.
pub async fn all(records: &Records) -> Result<Vec<Process>, StoreError> {
    let entries = records.kept_of(PROCESS, "", "", now_ms()).await?;
    let mut all: Vec<Process> = entries.iter().filter_map(|entry| serde_json::from_str(&entry.value).ok()).collect();
    let host = host();
    all.retain(|process| !is_dead(process, &host));
    all.sort_by(|one, other| (one.started, &one.id).cmp(&(other.started, &other.id)));
    Ok(all)
}
