//! The whole stack over the simulator in process, on a paused clock: what `virtual` measures, and what this crate's tests
//! hold it to in small.

pub mod batched;
pub mod failing;
pub mod saturated;
pub mod stage;
#[cfg(test)]
mod tests;
