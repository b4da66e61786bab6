//! What the gateway tells of itself under `/-/`: metrics, whether it lives, whether it is ready.
//!
//! [`Traffic`] counts what the pool cannot know, in plain atomics that a request touches a dozen times; nothing is
//! looked up by name but at a scrape.

mod counted;
mod exposed;
mod histogram;
mod merged;
mod page;
mod pieces;
mod plain;
mod ready;
mod request_id;
mod store;
mod strangers;
mod traffic;
mod upstream;

pub use counted::Counted;
pub(crate) use counted::{Afterwards, Gone, Heard, Visit};
pub use page::Status;
pub(crate) use page::{Page, is_ours, nowhere, to_index};
pub(crate) use pieces::Pieces;
pub(crate) use request_id::RequestId;
pub use store::{Standing, StoreHealth};
pub use traffic::Traffic;
pub(crate) use traffic::{Outcome, class_of};
pub use upstream::Received;
pub(crate) use upstream::Sent;
