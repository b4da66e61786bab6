//! What the binary goes by: a file, then the environment, then options.

mod address;
mod find;
mod loaded;
mod sections;
mod show;
mod store;
mod tenants;
mod variables;

use loaded::secret_of;
pub use loaded::{Inputs, Loaded};
pub use sections::{BatchSection, CompatMode, Config, GatewaySection, Level, LogSection, ProviderName, UnknownNames};
pub use show::Effective;
pub use tenants::TenantEntry;
pub(crate) use tenants::{is_model, moment as moment_of};

/// The JSON schema of the file, for editors.
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Config).to_value();
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("title".to_owned(), "keypool.toml".into());
    }
    schema
}

/// So many of something.
pub(crate) fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}
