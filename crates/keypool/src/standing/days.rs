//! Which day it is for each key: its owner's zone may be another than the provider's.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tower_keypool::store::KeyBook;

use super::{Calendar, Configured};

/// The calendar of each key.
#[derive(Clone, Debug)]
pub struct Days {
    usual: Calendar,
    /// By the hash of the secret, where it is another.
    own: HashMap<String, Calendar>,
}

impl Days {
    /// As the configuration says, then the database. Keys of one owner have one zone: the first that is named.
    pub fn new(book: &KeyBook, configured: &Configured) -> Self {
        Self::knowing(book, configured, &BTreeMap::new())
    }

    /// The same, and then as gateways `told` of keys of their files, by hash.
    pub fn knowing(book: &KeyBook, configured: &Configured, told: &BTreeMap<String, String>) -> Self {
        let usual = configured.calendar.clone();
        // Hash, owner and zone, the configuration's first.
        let said = configured.keys.iter().map(|spec| (spec.hash(), spec.owner.clone(), spec.zone.clone()));
        let kept = book.keys().map(|(hash, key)| {
            let zone = key.settings.as_ref().and_then(|said| said.zone.clone());
            let zone = zone.or_else(|| told.get(hash).cloned());
            (hash.to_owned(), key.record.owner.clone(), zone)
        });
        let all: Vec<_> = said.chain(kept).collect();
        let (mut owners, mut zones) = (BTreeMap::new(), BTreeMap::new());
        for (hash, owner, zone) in &all {
            if let Some(zone) = zone {
                if let Some(owner) = owner {
                    owners.entry(owner).or_insert(zone);
                }
                zones.entry(hash).or_insert(zone);
            }
        }
        let mut own = HashMap::new();
        for (hash, owner, _) in &all {
            let zone = owner.as_ref().and_then(|owner| owners.get(owner)).or_else(|| zones.get(hash));
            if let Some(calendar) = zone.and_then(|zone| usual.elsewhere(zone)) {
                own.insert(hash.clone(), calendar);
            }
        }
        Self { usual, own }
    }

    /// That of a key, by the hash of its secret.
    pub fn of(&self, hash: &str) -> &Calendar {
        self.own.get(hash).unwrap_or(&self.usual)
    }

    /// The first and the last date that some key has, of `which` day it is asked.
    pub fn span(&self, which: &str) -> Option<(String, String)> {
        let usual = self.usual.day(which)?;
        let own: Option<BTreeSet<String>> = self.own.values().map(|calendar| calendar.day(which)).collect();
        let mut dates = own?;
        dates.insert(usual);
        Some((dates.first()?.clone(), dates.last()?.clone()))
    }
}
