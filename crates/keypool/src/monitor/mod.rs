//! The live view of keys and lanes: what a running gateway tells, or its database.

mod course;
mod gateway;
mod live;
mod picture;
mod plain_lines;
mod screen;
mod store;

pub use course::Course;
pub use gateway::Gateway;
pub use live::{Live, Terminal};
pub use picture::{KeyLine, LaneLine, Picture, Resting, Tone, Used};
pub use plain_lines::block;
pub use screen::{Shown, draw};
pub use store::Store;

/// Where a view is from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A gateway that runs.
    Gateway(Gateway),
    /// The database of all commands.
    Store(Store),
}

impl Source {
    /// How it stands now.
    ///
    /// # Errors
    /// When nobody tells.
    pub async fn look(&self) -> anyhow::Result<Picture> {
        match self {
            Self::Gateway(gateway) => gateway.look().await,
            Self::Store(store) => store.look().await,
        }
    }
}
