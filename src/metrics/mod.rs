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
//! # Names
//!
//! | metric | labels | what |
//! |---|---|---|
//! | `keypool_info` | `provider`, `strategy` | 1 |
//! | `keypool_keys` | `state` | keys that are `available` (in some lane), `busy`, `resting` or `disabled` |
//! | `keypool_disabled_keys` | `scope`, `verdict` | keys that rest without end, by whom the fault concerns and why |
//! | `keypool_priority_keys` | `priority`, `state` | the same as `keypool_keys` |
//! | `keypool_priority_requests_in_flight` | `priority` | |
//! | `keypool_requests_in_flight`, `keypool_waiters` | | now |
//! | `keypool_requests_total` | | requests that went out and ended |
//! | `keypool_verdicts_total` | `verdict` | what answers meant; every kind from the start |
//! | `keypool_limit_hits_total` | | verdicts `rate_limited` and `quota_exhausted` |
//! | `keypool_spills_total` | | requests that went over to a later priority |
//! | `keypool_exhausted_total` | | demands that no key could serve |
//! | `keypool_events_lost_total` | | events that slow subscribers missed |
//! | `keypool_exit_rest_until_timestamp_seconds` | `verdict` | there while every key rests |
//! | `keypool_day_end_timestamp_seconds` | | when the quotas of days begin anew |
//! | `keypool_memory_bytes` | | |
//! | `keypool_omitted_keys`, `keypool_omitted_lanes` | | what has no series of its own |
//! | `keypool_lane_available_keys`, `_requests_in_flight`, `_waiters` | `lane` | now |
//! | `keypool_lane_requests_total`, `_spills_total` | `lane` | as above |
//! | `keypool_lane_limit`, `keypool_lane_limit_used` | `lane`, `unit`, `span` | summed over the owners |
//! | `keypool_lane_rest_until_timestamp_seconds` | `lane`, `verdict` | there while the lane rests |
//! | `keypool_key_info` | `key`, `owner`, `priority` | 1 |
//! | `keypool_key_state` | `key`, `state` | 1 for `ready`, `partly`, `busy`, `resting` or `disabled`, 0 for the others |
//! | `keypool_key_weight`, `keypool_key_configured_weight` | `key` | with ramp and learning, and without |
//! | `keypool_key_requests_in_flight` | `key` | |
//! | `keypool_key_requests_total`, `_successes_total`, `_failures_total`, `_limit_hits_total` | `key` | |
//! | `keypool_key_rest_until_timestamp_seconds` | `key`, `scope`, `verdict`, `lane` | there while it rests; `inf`: without end |
//! | `keypool_key_lane_ready` | `key`, `lane` | 1: it may carry a request now |
//! | `keypool_key_lane_limit`, `keypool_key_lane_limit_used` | `key`, `lane`, `unit`, `span`, `origin` | of its owner |
//!
//! `lane` is a model that is configured or that the provider has confirmed, `(none)` for requests without a model, `*`
//! for the lane that models share for which there is no room; what callers name and nobody confirmed counts in the
//! totals alone. So a pool has at most 256 lanes, and series are bounded by keys × lanes: beyond
//! [`max_keys`](PoolCollector::max_keys) and [`max_key_lanes`](PoolCollector::max_key_lanes) those of single keys are
//! left out, and `keypool_omitted_…` says so.

mod collector;
mod family;
mod key;
mod lane;
mod name;
mod total;

pub use collector::PoolCollector;
