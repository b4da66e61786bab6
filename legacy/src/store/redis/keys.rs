//! Keys as commands change them, beside whatever processes work on the server.

use std::collections::BTreeSet;

use redis::Value;
use serde::{Deserialize, Serialize};

use super::{
    Redis,
    read::{self, Map},
    write,
};
use crate::{
    share::seen,
    store::{BookKey, Image, KeyBook, KeyNews, KeySettings, StoreError},
};

/// So often a change is begun again since somebody else changed keys meanwhile.
const TRIES: u32 = 20;

/// The last revision, keys, secrets, how keys fared, what commands said, names of rests and of facts.
type Answer = (Option<u64>, Map, Map, Map, Map, BTreeSet<String>, BTreeSet<String>);

/// What commands said of a key, as it is stored.
#[derive(Serialize, Deserialize)]
struct Said {
    revision: u64,
    said: KeySettings,
}

/// The book, and what is to be known to change it.
struct Opened {
    book: KeyBook,
    /// Names of rests, and of what processes told each other.
    rests: BTreeSet<String>,
    facts: BTreeSet<String>,
}

impl Redis {
    /// The keys, to be looked at.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn key_book(&self) -> Result<KeyBook, StoreError> {
        Ok(self.opened().await?.book)
    }

    /// Changes keys, all of it or nothing, whoever else works on the server. Nothing is written where `edit` changed
    /// nothing. It is called again where somebody else changed keys meanwhile.
    ///
    /// # Errors
    /// When they cannot be read or written, or a secret would be written as it is.
    pub async fn edit_keys<T>(&self, mut edit: impl FnMut(&mut KeyBook) -> T) -> Result<T, StoreError> {
        for _ in 0..TRIES {
            let Opened { mut book, rests, facts } = self.opened().await?;
            let outcome = edit(&mut book);
            let mut words = Vec::new();
            write::book(&mut words, &book)?;
            for key in book.changed() {
                if let Some(said) = &key.settings {
                    let text = Said { revision: book.revision(), said: said.clone() };
                    let text = write::text(&text)?;
                    words.extend(["s".to_owned(), said.hash.clone(), text, book.revision().to_string()]);
                    carry_over(&mut words, said, &book, &rests);
                }
            }
            for key in book.lifted() {
                lift(&mut words, key, &rests, &facts);
            }
            if words.is_empty() || self.save(&book, words).await? {
                return Ok(outcome);
            }
        }
        Err(StoreError::new("keys were changed by others all the time: try again"))
    }

    /// Whether nobody else was faster.
    async fn save(&self, book: &KeyBook, words: Vec<String>) -> Result<bool, StoreError> {
        let id = format!("{:016x}-book", fastrand::u64(..));
        let mut all = vec![id, self.clock.now().wall_ms().to_string(), "g".to_owned(), book.revision().to_string()];
        all.extend(words);
        match write::run(&self.link, &all).await? {
            Value::Int(2) => Ok(false),
            _ => Ok(true),
        }
    }

    async fn opened(&self) -> Result<Opened, StoreError> {
        let base = self.link.base();
        let mut pipe = redis::pipe();
        pipe.cmd("GET").arg(format!("{base}:revision"));
        for name in ["keys", "secrets", "health", "said"] {
            pipe.cmd("HGETALL").arg(format!("{base}:{name}"));
        }
        for name in ["rests", "facts"] {
            pipe.cmd("HKEYS").arg(format!("{base}:{name}"));
        }
        let (revision, keys, secrets, health, said, rests, facts) = read::ask::<Answer>(&self.link, pipe).await?;
        let keys = read::keys(&keys, &secrets, &health).map(|(_, record)| record);
        let said = read::records::<Said>(&said).map(|(hash, said)| settings(hash, said)).collect();
        Ok(Opened { book: KeyBook::new(keys, said, revision.unwrap_or(0) + 1), rests, facts })
    }

    /// What commands said of keys after this revision; 0: all of it. Cheap where that is nothing.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn key_news(&self, after: u64) -> Result<KeyNews, StoreError> {
        let base = self.link.base();
        let mut pipe = redis::pipe();
        pipe.cmd("GET").arg(format!("{base}:revision"));
        pipe.cmd("ZRANGEBYSCORE").arg(format!("{base}:said:at")).arg(format!("({after}")).arg("+inf");
        let (revision, hashes) = read::ask::<(Option<u64>, Vec<String>)>(&self.link, pipe).await?;
        let mut settings_of = Vec::new();
        if !hashes.is_empty() {
            let mut pipe = redis::pipe();
            pipe.cmd("HMGET").arg(format!("{base}:said")).arg(&hashes);
            let (texts,) = read::ask::<(Vec<Option<String>>,)>(&self.link, pipe).await?;
            for (hash, text) in hashes.into_iter().zip(texts) {
                let said = text.as_deref().and_then(read::record::<Said>);
                settings_of.extend(said.map(|said| settings(hash, said)));
            }
        }
        Ok(KeyNews { revision: revision.unwrap_or(0), settings: settings_of })
    }

    /// All that it holds, to be looked at while processes work on it: what windows count as the board was told.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn look(&self) -> Result<Image, StoreError> {
        let mut image = read::image(&self.link).await?;
        let seen = seen(&self.link, self.link.patience() * read::PATIENCE).await;
        image.see(seen.map_err(|error| StoreError::new(format!("what is shared cannot be read: {error}")))?);
        Ok(image)
    }
}

fn settings(hash: String, said: Said) -> KeySettings {
    KeySettings { hash, revision: said.revision, ..said.said }
}

/// Scopes of a key, and of an owner, as they begin the names of rests.
const OF_KEY: [&str; 2] = ["Key", "KeyLane"];
const OF_OWNER: [&str; 2] = ["Owner", "OwnerLane"];

/// Names that say this of somebody.
fn named<'a>(names: &'a BTreeSet<String>, scope: &str, whom: &str) -> impl Iterator<Item = &'a String> {
    let begins = format!("{scope}\n{whom}\n");
    names.range(begins.clone()..).take_while(move |name| name.starts_with(&begins))
}

/// The rests of a key that was enabled, and those of its owner; and what processes told of them, which whoever starts
/// next would go by.
fn lift(words: &mut Vec<String>, key: &BookKey, rests: &BTreeSet<String>, facts: &BTreeSet<String>) {
    let hash = &key.record.hash;
    let owner = key.record.owner.clone().unwrap_or_else(|| format!("key:{hash}"));
    let account = key.settings.as_ref().and_then(|said| said.billing_account.as_deref());
    let of_key = OF_KEY.map(|scope| (scope, hash.as_str()));
    let of_owner = OF_OWNER.map(|scope| (scope, owner.as_str()));
    let of_account = account.map(|account| ("BillingAccount", account));
    for (scope, whom) in of_key.into_iter().chain(of_owner).chain(of_account) {
        for name in named(rests, scope, whom) {
            words.extend(["R".to_owned(), name.clone()]);
        }
        for name in named(facts, &format!("rest\n{scope}"), whom) {
            words.extend(["f".to_owned(), name.clone()]);
        }
    }
    let off = format!("disabled\n{hash}");
    if facts.contains(&off) {
        words.extend(["f".to_owned(), off]);
    }
}

/// What is known of a secret that was replaced is known of the new one, but that it was refused.
fn carry_over(words: &mut Vec<String>, said: &KeySettings, book: &KeyBook, rests: &BTreeSet<String>) {
    for old in &said.replaces {
        if book.by_hash(old).is_some_and(BookKey::is_kept) {
            continue;
        }
        let (owner, new_owner) = (format!("key:{old}"), format!("key:{}", said.hash));
        let of_key = OF_KEY.map(|scope| (scope, old.as_str(), said.hash.as_str()));
        let of_owner = OF_OWNER.map(|scope| (scope, owner.as_str(), new_owner.as_str()));
        for (scope, from, to) in of_key.into_iter().chain(of_owner) {
            for name in named(rests, scope, from) {
                words.extend(["m".to_owned(), name.clone(), from.to_owned(), to.to_owned()]);
            }
        }
    }
}
