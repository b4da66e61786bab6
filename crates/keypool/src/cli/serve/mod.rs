//! `keypool serve`: the gateway.

mod begun;
mod certificate;
mod descriptors;
mod duties;
mod ending;
mod freed;
mod no_key;
mod opened;
mod opening;
mod options;
mod ports;
mod setups;
mod standing;

use std::path::Path;

use anyhow::Context;

use self::begun::Begun;
pub(super) use self::{
    no_key::NoKey,
    opening::{join, pool},
    options::{Serve, strategies},
};
use super::Failure;
use crate::{
    config::{Inputs, Loaded},
    reload::Hangups,
    telemetry,
};

impl Serve {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut inputs = self.inputs();
        inputs.stay();
        let loaded = inputs.load_to_serve().map_err(|errors| super::config::wrong(&errors))?;
        let _written = telemetry::start(&loaded.config.log)
            .with_context(|| {
                let directory = loaded.config.log.directory.as_deref().unwrap_or(Path::new(""));
                format!("log.directory (LOG_DIRECTORY) {}", directory.display())
            })
            .map_err(Failure::config)?;
        super::runtime_to_serve(loaded.config.gateway.threads)?.block_on(serve(inputs, loaded))
    }
}

/// From the first look at the store to the last count in it.
async fn serve(inputs: Inputs, loaded: Loaded) -> Result<(), Failure> {
    // Heard from here on: nothing but what a process listens to ends the first one of a container.
    let mut stopped = Box::pin(super::interrupted());
    let hangups = Hangups::heard();
    let begun = tokio::select! {
        begun = Begun::of(inputs, loaded) => begun?,
        () = &mut stopped => {
            tracing::info!("ended before anybody was let in");
            return Ok(());
        }
    };
    begun.serve(stopped, hangups).await
}
