//! The handle of a simulator.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::server::Server;
use crate::simulator::Simulator;
use crate::{Builder, Log, Refusal, Report, Rule, SimService};

/// A simulated Gemini API.
///
/// Its port is closed when it is dropped. Services that were taken from it can still be used.
pub struct GeminiSim {
    pub(crate) simulator: Arc<Simulator>,
    pub(crate) server: Option<Server>,
}

impl GeminiSim {
    /// Returns a builder.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Returns the base URL without a trailing slash: `http://127.0.0.1:PORT`. Without a server, it is
    /// `http://gemini-sim.invalid`; the service only uses the path of a URL.
    pub fn url(&self) -> String {
        self.server
            .as_ref()
            .map_or_else(|| "http://gemini-sim.invalid".to_owned(), |server| format!("http://{}", server.address))
    }

    /// Returns the simulator as a service in this process.
    pub fn service(&self) -> SimService {
        SimService::new(Arc::clone(&self.simulator))
    }

    /// Returns the counts so far.
    pub fn report(&self) -> Report {
        self.simulator.report()
    }

    /// Returns the log of arrivals.
    pub fn log(&self) -> Log {
        self.simulator.log()
    }

    /// Adds rules, or [`Fault`](crate::Fault)s that apply to every request.
    pub fn script(&self, rules: impl IntoIterator<Item = impl Into<Rule>>) {
        let seed = self.simulator.settings.seed;
        self.simulator.lock().rules.add(rules.into_iter().map(Into::into), seed);
    }

    /// Removes all rules. Refused keys stay refused.
    pub fn clear_script(&self) {
        self.simulator.lock().rules.clear();
    }

    /// Refuses the key with this label from now on, or accepts it again (`None`). Returns `false` if there is no such
    /// key.
    pub fn refuse_key(&self, label: &str, refusal: Option<Refusal>) -> bool {
        let index = self.simulator.accounts.keys.iter().position(|key| key.label == label);
        index.map(|index| self.simulator.lock().refused[index] = refusal).is_some()
    }

    /// Returns the time since the simulator was built, as used by its rules and its log.
    pub fn elapsed(&self) -> Duration {
        self.simulator.clock.elapsed()
    }

    /// Closes the port: new connections are refused, and open responses have two seconds to end. The report can still
    /// be read from the returned handle.
    #[must_use = "the handle still holds report and log"]
    pub async fn shutdown(mut self) -> Self {
        if let Some(server) = self.server.take() {
            server.shutdown().await;
        }
        self
    }
}

impl fmt::Debug for GeminiSim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GeminiSim")
            .field("url", &self.url())
            .field("keys", &self.simulator.accounts.keys.len())
            .finish_non_exhaustive()
    }
}
