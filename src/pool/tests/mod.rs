//! The invariants of DESIGN.md, section 8, as properties: random operations against an oracle that remembers everything.
//!
//! `POOL_CASES=5000 cargo test pool::tests` tries more.

mod laws;
mod oracle;
mod queue;

use proptest::test_runner::Config;

/// So many cases, unless the environment says otherwise.
fn cases(cases: u32) -> Config {
    let cases = std::env::var("POOL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(cases);
    Config { cases, failure_persistence: None, ..Config::default() }
}
