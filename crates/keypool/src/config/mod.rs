//! The configuration: a file, the environment over it, and options of the command line over both.
//!
//! [`Inputs`] says where settings come from, and [`Inputs::load`] reads them all, at start and at every reload. Everything that
//! is wrong is told at once, each thing with its place.

mod check;
mod inputs;
mod loaded;
mod schema;
mod values;

pub use check::parse_time;
pub use inputs::Inputs;
pub use loaded::{Loaded, PoolPlan, Problems};
pub use schema::{BatchSection, Config, ExitEntry, GatewaySection, Level, OnStoreLoss, ProviderKind, TenantEntry};
pub use values::{SecretText, Span};
