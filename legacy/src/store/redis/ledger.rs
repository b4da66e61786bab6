//! The ledger on the server.

use std::sync::LazyLock;

use redis::{FromRedisValue, Value};
use serde::Deserialize;

use super::{Redis, read};
use crate::{
    redis::Script,
    store::{
        Ledger, LedgerEntry, Placing, StoreError,
        ledger::{Count, DRAWN, Draw},
    },
};

static LEDGER: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("ledger.lua")));
/// Numbers beyond this are not exact in the server's scripts.
const LARGEST: u64 = 1 << 52;
const LARGEST_ADDED: i64 = 1 << 52;

/// An entry as it is stored, but for its name.
#[derive(Deserialize)]
struct Text {
    whose: String,
    value: String,
    until_ms: String,
    revision: String,
}

impl Redis {
    async fn ledger<T: FromRedisValue>(&self, words: &[String]) -> Result<T, StoreError> {
        let words: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
        let answer = self.link.run(&LEDGER, &words, self.link.patience()).await;
        let answer: Value = answer.map_err(|error| StoreError::of_server("the ledger", error))?;
        T::from_redis_value(answer).map_err(|error| StoreError::because("the ledger's answer", error))
    }
}

/// Name and text by turns.
fn entries(words: Vec<String>, now: i64) -> Vec<LedgerEntry> {
    let mut found = Vec::new();
    let mut words = words.into_iter();
    while let (Some(name), Some(text)) = (words.next(), words.next()) {
        let Some(Text { whose, value, until_ms, revision }) = read::record(&text) else { continue };
        let (until, revision) = (until_ms.parse().ok(), revision.parse().unwrap_or(0));
        found.push(LedgerEntry { name, whose, value, until, revision });
    }
    found.retain(|entry| entry.is_there(now));
    found
}

impl Ledger for Redis {
    async fn keep(&self, kind: &str, entries: Vec<LedgerEntry>, placing: Placing, now: i64) -> Result<(), StoreError> {
        let how = if placing == Placing::Claim { "claim" } else { "replace" };
        let mut words = vec!["keep".to_owned(), kind.to_owned(), now.to_string(), how.to_owned()];
        for LedgerEntry { name, whose, value, until, .. } in entries {
            words.extend([name, whose, value, until.map_or_else(String::new, |until| until.to_string())]);
        }
        self.ledger::<u64>(&words).await.map(drop)
    }

    async fn kept(&self, kind: &str, names: Vec<String>, now: i64) -> Result<Vec<LedgerEntry>, StoreError> {
        let words: Vec<String> = ["kept".to_owned(), kind.to_owned()].into_iter().chain(names).collect();
        Ok(entries(self.ledger(&words).await?, now))
    }

    async fn kept_of(&self, kind: &str, whose: &str, prefix: &str, now: i64) -> Result<Vec<LedgerEntry>, StoreError> {
        let words = ["of", kind, whose, prefix, &now.to_string()].map(str::to_owned);
        let mut found = entries(self.ledger(&words).await?, now);
        found.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    async fn forget(&self, kind: &str, names: Vec<String>) -> Result<(), StoreError> {
        let words: Vec<String> = ["forget".to_owned(), kind.to_owned()].into_iter().chain(names).collect();
        self.ledger::<u64>(&words).await.map(drop)
    }

    async fn revision(&self, kind: &str) -> Result<u64, StoreError> {
        self.ledger(&["revision", kind].map(str::to_owned)).await
    }

    async fn draw(&self, name: &str, Draw { want, most, until, .. }: Draw) -> Result<u64, StoreError> {
        let numbers = [want.min(LARGEST), most.min(LARGEST)].map(|number| number.to_string());
        let [want, most] = numbers;
        self.ledger(&["draw".to_owned(), DRAWN.to_owned(), name.to_owned(), want, most, until.to_string()]).await
    }

    async fn count(&self, counts: Vec<Count>, _: i64) -> Result<Vec<u64>, StoreError> {
        let mut words = vec!["count".to_owned(), DRAWN.to_owned()];
        for Count { name, by, until } in counts {
            words.extend([name, by.clamp(-LARGEST_ADDED, LARGEST_ADDED).to_string(), until.to_string()]);
        }
        self.ledger(&words).await
    }
}

#[cfg(test)]
mod tests {
    use redis_fixture::RedisServer;

    use super::*;
    use crate::{
        redis::{Link, Options},
        store::ledger,
    };

    #[tokio::test]
    async fn redis_conforms_and_another_process_sees_it() {
        let Some(server) = RedisServer::start() else { return };
        let link = || async { Link::open(Options::new(&server.url()).unwrap()).await.unwrap() };
        ledger::conforms(Redis::new(&link().await)).await;
        let other = Redis::new(&link().await);
        assert_eq!(other.kept("other", vec!["files/a".to_owned()], 0).await.unwrap()[0].whose, "z");
        let draw = Draw { want: 6, most: 10, until: 4_000_000_060_000, now: 0 };
        assert_eq!(other.draw("acme", draw).await.unwrap(), 0);
    }
}
