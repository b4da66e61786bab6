//! What a setting names that stands outside of it: certificates, a provider.

use std::sync::Arc;

use tower_keypool::{Anthropic, Gemini, OpenAi, Provider, config::Document};

use super::{Config, ProviderName, reading::Reading};
use crate::client::Roots;

/// The certificates to trust. What is wrong with their file is noted.
pub(super) fn roots(config: &Config, reading: &mut Reading<'_>) -> Roots {
    let Some(path) = &config.gateway.cacert else { return Roots::mozilla() };
    let path = reading.path("gateway.cacert", path);
    let roots = Roots::from_file(&path).unwrap_or_else(|error| {
        reading.problem("gateway.cacert", format!("{}: {error}", path.display()));
        Roots::mozilla()
    });
    reading.files.insert(path);
    roots
}

/// The provider at an address, which stands at `place`.
pub(super) fn provider_at(
    name: ProviderName,
    upstream: Option<&str>,
    place: &str,
    document: &mut Document<'_>,
) -> Arc<dyn Provider> {
    let made = match (name, upstream) {
        (ProviderName::Gemini, None) => return Arc::new(Gemini::new()),
        (ProviderName::OpenAi, None) => return Arc::new(OpenAi::new()),
        (ProviderName::Anthropic, None) => return Arc::new(Anthropic::new()),
        (ProviderName::Gemini, Some(base)) => Gemini::at(base).map(|made| Arc::new(made) as Arc<dyn Provider>),
        (ProviderName::OpenAi, Some(base)) => OpenAi::at(base).map(|made| Arc::new(made) as Arc<dyn Provider>),
        (ProviderName::Anthropic, Some(base)) => Anthropic::at(base).map(|made| Arc::new(made) as Arc<dyn Provider>),
    };
    made.unwrap_or_else(|error| {
        document.problem(place, error.to_string());
        Arc::new(Gemini::new())
    })
}
