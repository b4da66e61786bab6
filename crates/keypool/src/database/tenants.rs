//! Tenants that commands have added: each process that works on the database follows them.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tower_keypool::store::{Ledger, LedgerEntry, Placing, StoreError};

use super::{Database, Records};
use crate::gateway::tenant::{From, Grant, TenantLimits, Tenants};

/// The kind of their records.
const TENANT: &str = "tenant";
/// How often it is asked for news: who is revoked is gone within 2 s everywhere.
const ROUND: Duration = Duration::from_millis(500);
/// The same of a server, to which each is a call.
const ROUND_OF_SERVER: Duration = Duration::from_millis(1_500);

/// A tenant as it is kept: never its token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptTenant {
    /// What it is called.
    #[serde(skip)]
    pub name: String,
    /// The SHA-256 of its token, in hexadecimal.
    pub token_hash: String,
    /// The models that it may ask; all where there are none.
    #[serde(default)]
    pub models: Vec<String>,
    /// Requests a minute.
    pub rpm: Option<u64>,
    /// Tokens a minute.
    pub tpm: Option<u64>,
    /// Requests a day.
    pub rpd: Option<u64>,
    /// Tokens a day.
    pub tpd: Option<u64>,
    /// When its token ends, in Unix milliseconds.
    pub expires: Option<i64>,
    /// When it was added.
    pub created: i64,
    /// When its token was revoked.
    pub revoked: Option<i64>,
}

impl KeptTenant {
    fn entry(&self) -> Result<LedgerEntry, StoreError> {
        let value = serde_json::to_string(self).map_err(|error| StoreError::because("a tenant", error))?;
        Ok(LedgerEntry { name: self.name.clone(), value, ..LedgerEntry::default() })
    }

    fn read(entry: LedgerEntry) -> Option<Self> {
        let kept = serde_json::from_str::<Self>(&entry.value).ok()?;
        Some(Self { name: entry.name, ..kept })
    }

    fn grant(self) -> Option<Grant> {
        let Self { name, token_hash, models, rpm, tpm, rpd, tpd, expires, revoked, .. } = self;
        let limits = TenantLimits { rpm, tpm, rpd, tpd };
        revoked.is_none().then_some(Grant { name, token_hash, models, limits, expires })
    }
}

/// All that were ever added, by name.
///
/// # Errors
/// When they cannot be read.
pub async fn all(records: &Records) -> Result<Vec<KeptTenant>, StoreError> {
    let entries = records.kept_of(TENANT, "", "", 0).await?;
    Ok(entries.into_iter().filter_map(KeptTenant::read).collect())
}

/// Hashes of the tokens that open a gateway on this database, those that were revoked included: none of them is a key.
///
/// # Errors
/// When they cannot be read.
pub async fn tokens(records: &Records) -> Result<BTreeSet<String>, StoreError> {
    Ok(all(records).await?.into_iter().map(|tenant| tenant.token_hash.to_ascii_lowercase()).collect())
}

/// Keeps one, in the place of whoever was called so, and for good: a copy of the file alone has it.
///
/// # Errors
/// When it cannot be written.
pub async fn keep(records: &Records, tenant: &KeptTenant) -> Result<(), StoreError> {
    records.keep(TENANT, vec![tenant.entry()?], Placing::Replace, 0).await?;
    match records {
        Records::Kept(Database::File(store)) => store.settle().await,
        _ => Ok(()),
    }
}

/// Tells the gateway of each change, until the task is aborted. A database that cannot be read is waited for: whoever was
/// let in stays in.
pub async fn follow(database: Option<Database>, tenants: Arc<Tenants>, mut seen: Option<u64>) {
    let Some(database) = database else { return };
    let every = if matches!(database, Database::Server(..)) { ROUND_OF_SERVER } else { ROUND };
    let records = Records::Kept(database);
    let (mut failing, mut known) = (false, None);
    loop {
        match round(&records, seen, &mut known).await {
            Ok(None) => failing = false,
            Ok(Some((revision, grants))) => {
                (seen, failing) = (Some(revision), false);
                tracing::info!("tenants changed by command: {} may ask", grants.len());
                tenants.set(From::Commands, grants);
            }
            Err(error) if !failing => {
                failing = true;
                tracing::warn!("the tenants of the database stay as they were: {error}");
            }
            Err(_) => {}
        }
        tokio::time::sleep(every).await;
    }
}

/// What changed since; what the database lost meanwhile is put into it again first. `known`: all as they were read last.
async fn round(
    records: &Records,
    seen: Option<u64>,
    known: &mut Option<Vec<KeptTenant>>,
) -> Result<Option<(u64, Vec<Grant>)>, StoreError> {
    let mut revision = records.revision(TENANT).await?;
    if let Some(known) = known.as_ref().filter(|_| seen.is_some_and(|seen| revision < seen)) {
        put_back(records, known).await?;
        revision = records.revision(TENANT).await?;
    }
    let changed = is_new(seen, revision);
    if changed || known.is_none() {
        *known = Some(all(records).await?);
    }
    let grants = || known.iter().flatten().cloned().filter_map(KeptTenant::grant).collect();
    Ok(changed.then(|| (revision, grants())))
}

/// Those that are not there any more. Who was revoked stays so; what commands said since then holds.
async fn put_back(records: &Records, known: &[KeptTenant]) -> Result<(), StoreError> {
    let there = all(records).await?;
    let stands = |tenant: &&KeptTenant| {
        let same = there.iter().find(|other| other.name == tenant.name);
        same.is_some_and(|other| other.created != tenant.created || other.revoked >= tenant.revoked)
    };
    let lost: Vec<&KeptTenant> = known.iter().filter(|tenant| !stands(tenant)).collect();
    for tenant in &lost {
        keep(records, tenant).await?;
    }
    if !lost.is_empty() {
        tracing::error!("the database lost tenants of late: {} were put into it again", lost.len());
    }
    Ok(())
}

fn is_new(seen: Option<u64>, revision: u64) -> bool {
    seen.map_or(revision > 0, |seen| seen != revision)
}

/// The tenants that may ask, where they are others than at this revision.
///
/// # Errors
/// When they cannot be read.
pub async fn news(records: &Records, seen: Option<u64>) -> Result<Option<(u64, Vec<Grant>)>, StoreError> {
    let revision = records.revision(TENANT).await?;
    if !is_new(seen, revision) {
        return Ok(None);
    }
    let grants = all(records).await?.into_iter().filter_map(KeptTenant::grant).collect();
    Ok(Some((revision, grants)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Site;

    #[tokio::test]
    async fn a_copy_of_the_file_alone_has_who_was_added() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keypool.db");
        let database = Database::open(Site::File { path: path.clone(), named: true }).await.unwrap();
        keep(&Records::Kept(database.clone()), &KeptTenant { name: "alice".into(), ..KeptTenant::default() })
            .await
            .unwrap();
        // The command has not closed it, and may be gone before it does.
        let copy = folder.path().join("copy.db");
        std::fs::copy(&path, &copy).unwrap();
        let copy = Database::open(Site::File { path: copy, named: true }).await.unwrap();
        assert_eq!(all(&Records::Kept(copy)).await.unwrap().len(), 1);
    }
}
