//! The client and the batch engine, by what they offer, against the simulator.

mod answers;
mod astray;
mod batch;
mod client;
mod closed;
mod exact;
mod few_keys;
mod joining;
mod json;
mod lent;
mod output;
mod owned;
mod paced;
mod planned;
mod provider;
mod refused;
mod resting;
mod samples;
mod sheets;
mod stage;
mod stale;
mod streams;
mod too_long;
mod typed;
mod unreachable;
mod wire;
