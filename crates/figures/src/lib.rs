//! What the programs of this crate measure; `scripts/figures` runs them.

pub mod args;
pub mod bodies;
pub mod by_hand;
pub mod chats;
pub mod floor;
pub mod picks;
pub mod plain;
#[cfg(feature = "virtual-time")]
pub mod scenes;
pub mod stall;
pub mod walks;
