//! Property tests of the pool's invariants: random operations against an oracle that remembers everything.
//!
//! `PROPTEST_CASES` (default 256) scales the number of cases, as for all property tests of the workspace.

mod laws;
mod oracle;
mod queue;

use proptest::test_runner::Config;

fn config() -> Config {
    Config { cases: Config::default().cases / 2, failure_persistence: None, ..Config::default() }
}
