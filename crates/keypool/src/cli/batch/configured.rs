//! A batch as the configuration has it.

use anyhow::anyhow;
use keypool_client::{
    Client,
    batch::{self, Prices},
};
use tower_keypool::KeyPool;

use super::super::Failure;
use crate::{
    client::Calls,
    config::{Loaded, ProviderName},
};

/// What the configuration says; `calls`: how it is sent.
pub(super) fn configured(loaded: &Loaded, pool: &KeyPool, calls: &Calls) -> Result<batch::Batch, Failure> {
    let settings = &loaded.config.batch;
    let model = match (&settings.model, loaded.config.gateway.provider) {
        (Some(model), _) => model.as_str(),
        (None, ProviderName::Gemini) => keypool_client::DEFAULT_MODEL,
        (None, _) => {
            return Err(Failure::config(anyhow!("which model? Say --model, or batch.model in keypool.toml")));
        }
    };
    let client = Client::builder(pool)
        .model(model)
        .timeout(settings.timeout.0)
        .transport(calls.clone())
        .fallback(loaded.config.pool().fallback())
        .build();
    let mut batch = batch::Batch::new(client)
        .temperature(settings.temperature)
        .max_retries(settings.max_retries.0.into())
        .retry_invalid(settings.retry_invalid)
        .timeout(settings.timeout.0);
    if let Some(system) = &settings.system {
        batch = batch.system(system);
    }
    if let Some(slots) = settings.workers_per_key {
        batch = batch.workers_per_key(slots.0.into());
    }
    if let Some(interval) = settings.rate_limit_per_slot {
        batch = batch.rate_limit_per_slot(interval.0.as_secs_f64());
    }
    if let Some(requests) = settings.concurrency {
        batch = batch.concurrency(requests.0.into());
    }
    if let Some(wait) = settings.max_wait {
        batch = batch.max_wait(wait.0);
    }
    if settings.price_input.or(settings.price_output).is_some() {
        let known = Prices::known(model).unwrap_or(Prices { input: 0.0, output: 0.0 });
        let input = settings.price_input.unwrap_or(known.input);
        let output = settings.price_output.unwrap_or(known.output);
        batch = batch.prices(Prices { input, output });
    }
    Ok(batch)
}
