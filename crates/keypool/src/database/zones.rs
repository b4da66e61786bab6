//! In which zones days of keys end that only a gateway's files and variables say: it tells commands, which have other files.

use std::collections::BTreeMap;

use tower_keypool::{
    config::KeySpec,
    store::{Ledger, LedgerEntry, Placing, StoreError},
};

use super::Records;

/// The kind of their entries: one for each key, by the hash of its secret.
const ZONE: &str = "zone";
/// For so long what was said last is known, in milliseconds; it is said again when half of that is over.
const KEPT: i64 = 400 * 24 * 3_600_000;

/// Says what these keys, which are all that this process has, are configured with. `now`: in Unix milliseconds.
///
/// # Errors
/// When it cannot be written.
pub async fn tell(records: &Records, keys: &[KeySpec], now: i64) -> Result<(), StoreError> {
    let known = records.kept_of(ZONE, "", "", now).await?;
    if known.is_empty() && keys.iter().all(|spec| spec.zone.is_none()) {
        return Ok(());
    }
    let known: BTreeMap<&str, &LedgerEntry> = known.iter().map(|entry| (&*entry.name, entry)).collect();
    let (mut said, mut gone) = (Vec::new(), Vec::new());
    for spec in keys {
        let name = spec.hash();
        let before = known.get(&*name).filter(|entry| entry.until.is_none_or(|until| until - now > KEPT / 2));
        match &spec.zone {
            Some(zone) if before.is_none_or(|entry| entry.value != *zone) => {
                said.push(LedgerEntry { name, value: zone.clone(), until: Some(now + KEPT), ..LedgerEntry::default() });
            }
            None if known.contains_key(&*name) => gone.push(name),
            _ => {}
        }
    }
    if !said.is_empty() {
        records.keep(ZONE, said, Placing::Replace, now).await?;
    }
    if !gone.is_empty() {
        records.forget(ZONE, gone).await?;
    }
    Ok(())
}

/// What gateways said, by the hash of a secret.
///
/// # Errors
/// When it cannot be read.
pub async fn told(records: &Records, now: i64) -> Result<BTreeMap<String, String>, StoreError> {
    let kept = records.kept_of(ZONE, "", "", now).await?;
    Ok(kept.into_iter().map(|entry| (entry.name, entry.value)).collect())
}
