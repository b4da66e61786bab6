//! Bodies that can be sent again.

mod try_clone;

pub use try_clone::TryClone;
