//! What the binary goes by: a file, then the environment, then options.

mod address;
mod beside;
mod find;
mod loaded;
mod sections;
mod show;
mod store;
mod variables;

pub use beside::{Beside, ProviderEntry};
use loaded::secret_of;
pub use loaded::{Inputs, Loaded};
pub use sections::{BatchSection, CompatMode, Config, GatewaySection, Level, LogSection, ProviderName};
pub use show::Effective;

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
