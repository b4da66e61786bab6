//! Configuration from a file, the environment and options, in one schema (feature `config`).
//!
//! A [`Document`] is a TOML file with [`Setting`]s laid over it: variables, then options. It is read into types that
//! know what is allowed, and everything that is wrong is said at once, each thing by file and line. [`PoolConfig`] is
//! what makes a pool; a program reads its own tables beside it into a type of its own, from the same document.
//!
//! Keys come from several [`Source`]s; a pool's are their union by secret, a [`KeySet`].

mod amounts;
mod checks;
mod document;
mod environment;
mod import;
mod interval;
mod key_entry;
pub mod key_file;
mod key_spec;
mod key_variables;
mod limits_by_model;
mod model_entry;
mod origin;
mod patterns;
mod plain_values;
mod pool_config;
mod problem;
mod reading;
mod scalar;
mod sections;
mod source;
mod store_section;
mod store_url;
mod tables;
mod whole;
mod wording;

pub use crate::whole_file::{read_bytes, read_text};
pub use amounts::{Amounts, WindowEntry};
pub use checks::is_model_name;
pub use document::{Document, Setting};
pub use environment::{Environment, Variable};
pub use import::Imported;
pub use interval::Interval;
pub use key_entry::KeyEntry;
pub use key_spec::KeySpec;
pub use key_variables::KeyVariables;
pub use limits_by_model::LimitsByModel;
pub use model_entry::ModelEntry;
pub use origin::Origin;
pub use plain_values::{Amount, Concurrent, KeyName, Name, Place, SecretText, TierName, Weight, ZoneName};
pub use pool_config::PoolConfig;
pub use problem::{ConfigErrors, Problem};
pub use sections::{LimitsSection, PoolSection, RestRow, RestsSection, RetrySection};
pub use source::{KeySet, Rank, Source};
pub use store_section::{StoreSection, WhenLost, WhenMissing};
pub use store_url::StoreUrl;
pub use whole::Whole;
pub use wording::is_key_for_path;

#[cfg(test)]
mod tests;
