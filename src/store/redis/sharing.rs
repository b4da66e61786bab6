//! One server, many machines: the store of a pool, and the board by which it shares.

use std::{sync::Arc, time::Duration};

use super::{Redis, write};
use crate::{
    share::{Board, HolderId, RedisBoard, Renewal, Reply, Settings},
    store::{Batch, Image, ImportRecord, Store, StoreError, UsageRecord},
};

/// A server that other processes work on as well: the store of a pool, and its board. A cheap handle.
///
/// What a process holds and what its windows count stands on the board, which hears of it with each renewal; the store
/// keeps keys, rests, use and imports. That a process is dead the others know when its lease has ended.
#[derive(Clone, Debug)]
pub struct SharedRedis {
    redis: Redis,
    board: RedisBoard,
    holder: HolderId,
}

impl Redis {
    /// Takes part in what other processes do on this server and under this namespace, as one more of them.
    /// [`SharedRedis::settings`] are those of the sharing.
    pub fn share(self) -> SharedRedis {
        let board = RedisBoard::new(&self.link, &SharedRedis::usual());
        // At random: a server that forgot its processes must not call two by one name.
        let holder = HolderId::new(&format!("{:016x}", fastrand::u64(..)), 1);
        SharedRedis { redis: self, board, holder }
    }
}

impl SharedRedis {
    fn usual() -> Settings {
        // What one switches off is off in all within 2 s. With what is written that is 1.7 calls a second.
        Settings { draws: false, renew_every: Duration::from_millis(1_500), ..Settings::default() }
    }

    /// Who this process is among them.
    pub fn holder(&self) -> &HolderId {
        &self.holder
    }

    /// How it takes part.
    pub fn settings(&self) -> Settings {
        Self::usual()
    }

    /// With these times, for tests that cannot wait.
    #[must_use]
    pub fn with(mut self, settings: &Settings) -> Self {
        self.board = RedisBoard::new(&self.redis.link, settings);
        self
    }

    /// The store, whoever works on it.
    pub fn store(&self) -> &Redis {
        &self.redis
    }
}

impl Store for SharedRedis {
    async fn load(&self) -> Result<Image, StoreError> {
        let mut image = self.redis.load().await?;
        // Counts are the board's; that others run says nothing of this one.
        image.units.values_mut().for_each(|unit| unit.windows.clear());
        Ok(Image { running: false, crashes: Vec::new(), ..image })
    }

    async fn write(&self, batch: Arc<Batch>) -> Result<(), StoreError> {
        self.redis.keep(&batch, write::Part::ButCounts).await
    }

    async fn usage(&self, from: &str, to: &str) -> Result<Vec<UsageRecord>, StoreError> {
        self.redis.usage(from, to).await
    }

    async fn imports(&self) -> Result<Vec<ImportRecord>, StoreError> {
        self.redis.imports().await
    }
}

impl Board for SharedRedis {
    async fn renew(&self, renewal: &Renewal) -> Result<Reply, tower::BoxError> {
        self.board.renew(renewal).await
    }
}
