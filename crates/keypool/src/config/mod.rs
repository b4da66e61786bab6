//! The configuration: a file, environment variables and command-line options. Later sources override earlier ones.
//!
//! [`Inputs`] lists the sources. [`Inputs::load`] reads them at startup and at every reload, and reports all problems
//! at once, each with its place.

mod check;
mod inputs;
mod loaded;
mod pattern;
mod schema;
mod values;

pub use check::parse_time;
pub use inputs::Inputs;
pub use loaded::{DEFAULT_KEY_FILE, Loaded, NO_EXIT, OWN_TOKEN, PoolSettings, Problems, default_models};
pub use pattern::matches;
pub use schema::{BatchSection, Config, ExitEntry, GatewaySection, Level, OnStoreLoss, ProviderKind, TenantEntry};
pub use values::{HumanDuration, SecretText, TokenHash, hash};
