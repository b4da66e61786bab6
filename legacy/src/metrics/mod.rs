//! The pool for a Prometheus registry (feature `metrics`).
//!
//! [`PoolCollector`] keeps no counters of its own: at each scrape it reads a [`Snapshot`](crate::Snapshot), so that a
//! request costs nothing more and what is shown cannot drift from what the pool does.
//!
//! ```
//! use prometheus_client::{encoding::text::encode, registry::Registry};
//! use tower_keypool::{Gemini, Key, KeyPool, metrics::PoolCollector};
//!
//! let pool = KeyPool::builder(Gemini::new()).key(Key::free("AIza-not-a-real-key-001").id("first")).build()?;
//! let mut registry = Registry::default();
//! registry.register_collector(Box::new(PoolCollector::new(&pool)));
//!
//! drop(pool.try_acquire("gemini-2.5-flash")?);
//! let mut text = String::new();
//! encode(&mut text, &registry)?;
//! assert!(text.contains("keypool_keys{state=\"available\"} 1"));
//! assert!(text.contains("keypool_key_state{key=\"first\",state=\"ready\"} 1"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Several pools in one process get a label each: `registry.sub_registry_with_label(("pool".into(), "a".into()))`.
//!
//! Series are bounded by keys × lanes: beyond [`max_keys`](PoolCollector::max_keys) and
//! [`max_key_lanes`](PoolCollector::max_key_lanes) those of single keys are left out, and `keypool_omitted_…` says so. A
//! scrape blocks its thread for some milliseconds; with tens of thousands of keys, scrape on a thread that may be blocked
//! (`tokio::task::spawn_blocking`). The pool itself is held for some 50 µs at a time.
//!
//! # Names
//!
#![doc = include_str!("../../docs/metrics.md")]

mod collector;
mod family;
mod key;
mod lane;
mod name;
mod sharing;
mod total;

pub use collector::PoolCollector;
