//! The board in Redis: the same as [`apply`](super::apply), as a script, over a hash a unit.
//!
//! A renewal is one call. It reads what it holds, who else there is, and, where something is lacking, who holds what of
//! that kind; it writes what changed. `lua/` has a file for each of [`apply`](super::apply)'s; a test holds both equal,
//! renewal by renewal, in what they answer and what they keep.

mod answer;
mod ask;

#[cfg(test)]
mod tests;

use std::{sync::LazyLock, time::Duration};

use redis::FromRedisValue;
use tower::BoxError;

use self::{
    answer::{Answer, Shown},
    ask::Ask,
};
use super::{
    board::Board,
    names::HolderId,
    settings::Settings,
    state::Seen,
    wire::{Renewal, Reply},
};
use crate::redis::{Link, RedisError, Script};

/// The field of a reply that says the number of the last change of keys by commands, where there was one.
pub(crate) const KEYS: &str = "keys";

static RENEW: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("lua/counts.lua"),
        include_str!("lua/state.lua"),
        include_str!("lua/missed.lua"),
        include_str!("lua/joins.lua"),
        include_str!("lua/days.lua"),
        include_str!("lua/left.lua"),
        include_str!("lua/recovery.lua"),
        include_str!("lua/draws.lua"),
        include_str!("lua/hints.lua"),
        include_str!("lua/claims.lua"),
        include_str!("lua/news.lua"),
        include_str!("lua/without_empty.lua"),
        include_str!("lua/apply.lua"),
    ))
});

/// A board in Redis or Valkey, for processes on many machines. Its time is the server's, which never runs back; a server
/// that was started again, or replaced by another, is noticed by its run id.
#[derive(Clone, Debug)]
pub struct RedisBoard {
    link: Link,
    timeout: Duration,
    /// Whoever renews listens to the names that hints are written to.
    listens: bool,
}

impl RedisBoard {
    /// The board of this server and namespace. An answer is waited for as long as `settings` say.
    pub fn new(link: &Link, settings: &Settings) -> Self {
        Self { link: link.clone(), timeout: settings.timeout, listens: false }
    }

    /// Whoever renews over it [listens](hint_names) as well: each renewal is to come back that way.
    pub(crate) fn listening(mut self) -> Self {
        self.listens = true;
        self
    }

    /// Whether an echo is asked for.
    fn echo(&self) -> &'static [u8] {
        if self.listens && self.link.listens() { b"1" } else { b"" }
    }

    /// A test says what time it is, and who the server is; else the server does.
    pub(super) async fn call(&self, renewal: &Renewal, now: &str, identity: &str) -> Result<Reply, BoxError> {
        let arguments = [&asking(renewal)?[..], now.as_bytes(), identity.as_bytes(), self.echo()];
        let answer = self.link.run(&RENEW, &arguments, self.timeout).await?;
        heard(answer, renewal)
    }

    /// Renews and runs another script in the same call; what became of that, where it was done.
    pub(crate) async fn renew_with(
        &self,
        renewal: &Renewal,
        script: &Script,
        arguments: &[&[u8]],
    ) -> (Result<Reply, BoxError>, Option<Result<redis::Value, RedisError>>) {
        let asked = match asking(renewal) {
            Ok(asked) => asked,
            Err(error) => return (Err(error), None),
        };
        let calls = [(&*RENEW, vec![&asked[..], b"", b"", self.echo()]), (script, arguments.to_vec())];
        let answers = match self.link.run_all(&calls, self.timeout).await {
            Ok(answers) => answers,
            Err(error) => return (Err(error.into()), None),
        };
        let mut answers = answers.into_iter();
        let renewed = answers.next().ok_or_else(|| "the board did not answer".into());
        let renewed = renewed.and_then(|answer| heard(answer?, renewal));
        (renewed, answers.next())
    }
}

static SEEN: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("lua/without_empty.lua"), include_str!("lua/seen.lua"))));

/// What units count that processes share by this server, by the server's time; to be looked at. Of one that was lost: when,
/// where its days may be used up for that.
pub(crate) async fn seen(link: &Link, patience: Duration) -> Result<Vec<Seen>, BoxError> {
    let answer = link.run(&SEEN, &[], patience).await?;
    let all: Option<Vec<Shown>> = serde_json::from_slice(&Vec::<u8>::from_redis_value(answer)?).ok();
    Ok(all.into_iter().flatten().filter_map(|shown| shown.seen().ok()).collect())
}

/// What is written to where a process is to hear something, and where a renewal is to come back.
pub(crate) fn hint_names(base: &str, holder: &HolderId) -> [String; 2] {
    let hint = format!("{base}:to:{holder}:");
    [hint.clone(), hint + "echo"]
}

fn asking(renewal: &Renewal) -> Result<Vec<u8>, BoxError> {
    if renewal.noting {
        // Its days would have no mark here.
        return Err("a board in Redis hears renewals alone: a process that shares over it does not note".into());
    }
    Ok(serde_json::to_vec(&Ask::of(renewal))?)
}

fn heard(answer: redis::Value, renewal: &Renewal) -> Result<Reply, BoxError> {
    let answer: Answer = serde_json::from_slice(&Vec::<u8>::from_redis_value(answer)?)?;
    if let Some(first) = answer.vanished.first() {
        tracing::warn!(
            name: "keypool.store_warning",
            "the server threw away what was counted of {} units ({:?} and others), or somebody deleted it: their windows count \
             as full, and their days as used up, unless who has them tells of them; its maxmemory-policy must be noeviction",
            answer.vanished.len(),
            first.as_str(),
        );
    }
    Ok(answer.into_reply(renewal.number)?)
}

impl Board for RedisBoard {
    async fn renew(&self, renewal: &Renewal) -> Result<Reply, BoxError> {
        self.call(renewal, "", "").await
    }
}
