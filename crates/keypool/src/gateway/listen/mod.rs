//! Where connections come in: accepted, bounded in number, and each served until either side ends it.

mod conversation;
mod serve;

pub use serve::{Bounds, serve};
